"""The door list on the disk, kept equal to the addresses that have a mailbox here.

It is written before the transaction that adds an address ends: should that be cut short, mail for an address that
never came to be is taken while sealed and laid before the caretaker later. The other way round it would be bounced.
For the same reason it is written after the transaction that takes an address away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from appliance import door_list
from appliance.door_list import DoorList
from mailstore import durable_file, mailboxes
from mailstore.addresses import BadAddressError, canonical_domain, parse_mailbox
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import address_index
from mailstore.sealed_format import Randomness
from portal import account_records
from portal.access_rules import STAFF
from portal.account_records import AccountRecords


@dataclass(frozen=True)
class DoorListFile:
    """``door.json`` and what it is made from."""

    path: Path
    records: AccountRecords
    domain: str
    lookup_key: bytes = field(repr=False)
    row_key: bytes = field(repr=False)
    randomness: Randomness

    def is_current(self, connection: Connection) -> bool:
        """True when the file says what it should."""
        there = self._there()
        return there is not None and self._wanted(connection, there) == there

    def bring_up_to_date(self, connection: Connection) -> None:
        """Write the file when it says anything else. Inside a write transaction, so that no older list comes last.

        Raises ``StorageUnavailableError``.
        """
        there = self._there()
        wanted = self._wanted(connection, there)
        if wanted == there:
            return
        try:
            durable_file.replace(self.path, door_list.to_text(wanted, row_key=self.row_key).encode())
        except OSError as error:
            raise StorageUnavailableError(f"{self.path.name} cannot be written: {error.strerror}") from error
        reached("door_list.after_write")

    def _there(self) -> DoorList | None:
        """The list in the file; None when there is none that we wrote."""
        try:
            return door_list.verified(self.path.read_text("utf-8"), row_key=self.row_key)
        except (FileNotFoundError, UnicodeDecodeError, TamperedError):
            return None
        except OSError as error:
            raise StorageUnavailableError(f"{self.path.name} cannot be read: {error.strerror}") from error

    def _wanted(self, connection: Connection, there: DoorList | None) -> DoorList:
        return door_list.brought_up_to_date(
            there,
            self._addresses(connection),
            has_caretaker=account_records.caretaker(connection) is not None,
            lookup_key=self.lookup_key,
            randomness=self.randomness,
        )

    def _addresses(self, connection: Connection) -> list[str]:
        known = mailboxes.address_indexes(connection)
        found = []
        for account in self.records.of_roles(connection, STAFF):
            try:
                address = parse_mailbox(account.person.email)
                is_ours = canonical_domain(address.domain) == canonical_domain(self.domain)
            except BadAddressError:
                continue
            if is_ours and address_index(self.lookup_key, address) in known:
                found.append(address.canonical)
        return found
