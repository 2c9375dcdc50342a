"""Core: who may see the page that unseals, and what that page asks of the floor above."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

PATH: Final = "/unseal"
TOKEN_LIFE: Final = timedelta(minutes=30)
_TOKEN_PART: Final = "."  # noqa: S105 - what stands between the parts of a form's token

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Opened:
    """The secret was right: the appliance opens now."""


@dataclass(frozen=True)
class Wrong:
    """The secret opens nothing."""


@dataclass(frozen=True)
class TooSoon:
    """After wrong secrets the next one has to wait."""

    seconds: int


@dataclass(frozen=True)
class Busy:
    """It could not be tried now."""


Tried = Opened | Wrong | TooSoon | Busy


class Unsealer(Protocol):
    """Tries secrets. May block for seconds; asked in threads."""

    def try_passphrase(self, passphrase: str) -> Tried:
        """A passphrase."""
        ...

    def try_shares(self, words: str) -> Tried:
        """Recovery shares, one a line."""
        ...


@dataclass(frozen=True)
class Opening:
    """What an open portal tells those who may unseal of how far it is.

    ``percent``: how much of the mail that came while sealed has been taken in, from 0 to 99; None when nothing waits
    any more. Never how many messages that were: nobody has signed in there.
    """

    near: tuple[Network, ...]
    percent: Callable[[], int | None]


def networks_of(text: str) -> tuple[Network, ...]:
    """The networks that a setting names, apart by spaces or commas. ``ValueError`` for what is none."""
    return tuple(ipaddress.ip_network(each) for each in text.replace(",", " ").split())


def comes_from(address: str, networks: tuple[Network, ...]) -> bool:
    """True when an address lies in one of the networks. An IPv4 address in IPv6 clothes counts as what it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found.version == network.version and found in network for network in networks)


@dataclass(frozen=True)
class FormTokens:
    """Tokens of a form that nobody is signed in for: made by this process, for one address, for a while.

    A page of another site can neither read one nor be sent one from where the form is not shown.
    """

    key: bytes = field(repr=False)

    def made(self, address: str, now: datetime) -> str:
        """A token for the form that is shown to this address now."""
        until = str(int((now + TOKEN_LIFE).timestamp()))
        return until + _TOKEN_PART + self._mark(address, until)

    def is_good(self, token: str, address: str, now: datetime) -> bool:
        """True for one that was made for this address and is not too old."""
        until, _, mark = token.partition(_TOKEN_PART)
        is_ours = hmac.compare_digest(mark.encode("utf-8", "replace"), self._mark(address, until).encode())
        return is_ours and until.isdigit() and now.timestamp() <= int(until)

    def _mark(self, address: str, until: str) -> str:
        return hmac.new(self.key, f"{address}\0{until}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
