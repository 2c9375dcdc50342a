"""Which addresses are ours, and whose mailbox each one names; asked by every RCPT and by every page that sends.

Rows hold blind indexes only, so the answer needs the lookup key and the exact address: nobody can list ours here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from sqlalchemy import Connection

from appliance import pickup_notice
from appliance.delivery_plan import Located, Place
from mailstore import mailboxes
from mailstore.addresses import Address, BadAddressError, canonical_domain
from mailstore.database import Database
from mailstore.key_hierarchy import address_index
from mailstore.message import AccountId

FRESH_SECONDS = 5.0
"""How long an answer is believed: a new colleague gets mail after this time at the latest."""

MOST_REMEMBERED = 10_000

CARETAKER_NAMES = frozenset({"postmaster", "abuse", pickup_notice.SENDER_NAME})
"""What somebody here must read though nobody has it as their own address (RFC 5321 section 4.5.1, RFC 2142)."""


Caretaker = Callable[[Connection], AccountId | None]
"""Who reads what is written to the practice as such."""


def nobody(_connection: Connection) -> None:
    """The caretaker of a directory without accounts."""


class Directory:
    """The addresses of one appliance. May be asked from any thread."""

    def __init__(
        self,
        database: Database,
        *,
        lookup_key: bytes,
        domains: Collection[str],
        caretaker: Caretaker = nobody,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._database = database
        self._lookup_key = lookup_key
        self._domains = frozenset(canonical_domain(domain) for domain in domains)
        self._caretaker = caretaker
        self._fresh_seconds = fresh_seconds
        self._remembered: dict[str, tuple[float, str | None]] = {}

    def locate(self, address: Address) -> Located:
        """Where an address belongs. Raises ``StorageUnavailableError`` when the rows cannot be read."""
        if not self.is_our_domain(address):
            return Located(address, Place.OUTSIDE)
        mailbox = self.mailbox_named(address)
        return Located(address, Place.UNKNOWN_HERE if mailbox is None else Place.HERE, mailbox)

    def find(self, address: Address, *, peer: str) -> Located:
        """As ``locate``, whoever asks."""
        del peer
        return self.locate(address)

    def is_our_domain(self, address: Address) -> bool:
        """True when mail for this domain ends here."""
        try:
            return canonical_domain(address.domain) in self._domains
        except BadAddressError:
            return False

    def mailbox_named(self, address: Address) -> str | None:
        """The mailbox that an address of ours names, or None."""
        canonical = address.canonical
        known = self._remembered.get(canonical)
        now = time.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        with self._database.read() as connection:
            found = mailboxes.by_address(connection, address_index(self._lookup_key, address))
            if found is None and is_for_caretaker(address):
                caretaker = self._caretaker(connection)
                found = mailboxes.of_account(connection, caretaker) if caretaker else None
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        mailbox = None if found is None else found.id
        self._remembered[canonical] = (now + self._fresh_seconds, mailbox)
        return mailbox

    def owns(self, account: AccountId, address: Address) -> bool:
        """True when the address names the mailbox of this account: what speaking in its name rests on."""
        if not self.is_our_domain(address):
            return False
        mailbox = self.mailbox_named(address)
        return mailbox is not None and mailbox == self.mailbox_of(account)

    def mailbox_of(self, account: AccountId) -> str | None:
        """The mailbox of an account, or None for those who have none, patients among them."""
        with self._database.read() as connection:
            found = mailboxes.of_account(connection, account)
        return None if found is None else found.id


def is_for_caretaker(address: Address) -> bool:
    """True for an address that somebody here must read though nobody has it as their own."""
    name, _, detail = address.canonical.rpartition("@")[0].partition("+")
    return name in CARETAKER_NAMES and (not detail or name == pickup_notice.SENDER_NAME)
