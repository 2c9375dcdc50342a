"""Asks the DNS within a bounded time, and tells an answer that was proved from one that anybody could have given.

An answer counts as proved (DNSSEC, RFC 4035) when the settings name a validating resolver on this very machine and it
says so by the AD bit (RFC 6840 section 5.8): on any other way the bit is what somebody on the way made of it. An answer
that is missing is never taken for "no": what a validating resolver finds forged is SERVFAIL, and mail waits
(promise I9).
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass, field
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver

EDNS_BYTES = 1232
"""What fits everywhere without fragments (the DNS flag day of 2020)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class LookupFailed:
    """Nobody could say. Try again later."""

    problem: str


@dataclass(frozen=True)
class Answer:
    """What the DNS says: no ``records`` means that there are none. ``name`` is where aliases led to."""

    name: str
    exists: bool
    is_proved: bool
    records: tuple[Any, ...] = field(default=())


@dataclass(frozen=True)
class Addresses:
    """The addresses of a host that we may connect to, IPv6 and IPv4; ``name`` is where aliases led to."""

    name: str
    is_proved: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class LookupSettings:
    """``nameservers`` empty means those of the system. ``own_name`` is ours among mail servers.

    ``proves``: the nameservers are on this machine and prove answers. ``inner_networks`` are the private networks that
    a stranger's records may lead to; ``mail_port`` is another one than 25 in rehearsals alone.
    """

    own_name: str
    seconds: float = 10.0
    nameservers: tuple[str, ...] = ()
    nameserver_port: int = 53
    proves: bool = False
    inner_networks: tuple[Network, ...] = ()
    mail_port: int = 25


class NameLookup:
    """Asks the resolver of the settings. May be used by any event loop."""

    def __init__(self, settings: LookupSettings) -> None:
        self._settings = settings

    async def ask(self, name: str, kind: str) -> Answer | LookupFailed:
        """What there is of one kind at a name."""
        try:
            async with asyncio.timeout(self._settings.seconds):
                found = await self._resolver().resolve(name, kind, raise_on_no_answer=False)
        except TimeoutError:
            return LookupFailed("the DNS did not answer in time")
        except dns.resolver.NXDOMAIN as error:
            responses: dict[Any, dns.message.Message] = error.kwargs["responses"]
            return Answer(name, exists=False, is_proved=self._all_proved(list(responses.values())))
        except (dns.exception.DNSException, OSError) as error:
            return LookupFailed(f"the DNS could not be asked: {type(error).__name__}")
        return Answer(
            found.canonical_name.to_text(omit_final_dot=True).lower(),
            exists=True,
            is_proved=self._all_proved([found.response]),
            records=tuple(found),
        )

    async def addresses_of(self, host: str) -> Addresses | LookupFailed:
        """Where a host is. A family that could not be asked is left out while the other answers.

        That takes nothing from the proof: both lie in one zone, which is signed or is not.
        """
        answers = await asyncio.gather(*(self.ask(host, kind) for kind in ("AAAA", "A")))
        told = [answer for answer in answers if isinstance(answer, Answer)]
        if not told:
            return next(answer for answer in answers if isinstance(answer, LookupFailed))
        found = [record.to_text() for answer in told for record in answer.records]
        is_proved = all(answer.is_proved for answer in told)
        return Addresses(told[0].name, is_proved, tuple(address for address in found if self._may_connect(address)))

    def _all_proved(self, responses: list[dns.message.Message]) -> bool:
        return self._settings.proves and bool(responses) and all(each.flags & dns.flags.AD for each in responses)

    def _may_connect(self, address: str) -> bool:
        """A stranger's record must not make us knock on doors inside the practice's network."""
        parsed = ipaddress.ip_address(address)
        return is_public(address) or any(parsed in network for network in self._settings.inner_networks)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._settings.nameservers)
        if self._settings.nameservers:
            resolver.nameservers = list(self._settings.nameservers)
            resolver.port = self._settings.nameserver_port
        if self._settings.proves:
            resolver.flags = dns.flags.RD | dns.flags.AD
            resolver.use_edns(0, dns.flags.DO, EDNS_BYTES)
        resolver.lifetime = self._settings.seconds
        return resolver


def is_public(address: str) -> bool:
    """True for a unicast address of the public internet; an IPv4 address in IPv6 clothes counts as itself."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast
