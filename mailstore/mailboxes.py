"""Mailboxes of people here, and what lies in their folders: the only module that touches those rows.

Addresses are given as blind indexes (``key_hierarchy.blind_index``): this module never sees one in clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, select

from mailstore.errors import NotFoundError
from mailstore.message import AccountId, MessageId
from mailstore.sealed_rows import rows_of
from mailstore.tables import mailbox_addresses, mailbox_entries, mailboxes

FEW = 8
"""Up to so many addresses, a ready-made statement for each is quicker than one for all that is compiled anew."""

AT_ONCE = 500
"""Addresses in one statement: far below SQLite's 32,766 parameters (https://www.sqlite.org/limits.html)."""


class Folder(StrEnum):
    """Where a message lies in a mailbox."""

    INBOX = "inbox"
    SENT = "sent"
    JUNK = "junk"


@dataclass(frozen=True)
class Mailbox:
    """One person's mailbox. An account has at most one; several addresses may name it."""

    id: str
    account: AccountId


@dataclass(frozen=True)
class Filing:
    """A message to be laid into a mailbox."""

    mailbox: str
    message: MessageId
    folder: Folder
    filed_at: datetime
    seen: bool = False


@dataclass(frozen=True)
class MailboxEntry:
    """A message in a mailbox. ``sequence`` grows with every filing: the cursor for reading page by page."""

    sequence: int
    mailbox: str
    folder: Folder
    message: MessageId
    filed_at: datetime
    seen: bool


def create(connection: Connection, account: AccountId, address_index: bytes) -> Mailbox:
    """Make the mailbox of an account, with its first address. A second one: DuplicateRowError."""
    mailbox = Mailbox(id=str(account), account=account)
    rows_of(connection).insert(connection, mailboxes, {"id": mailbox.id, "account": account})
    add_address(connection, mailbox, address_index)
    return mailbox


def add_address(connection: Connection, mailbox: Mailbox, address_index: bytes) -> None:
    """Let one more address name the mailbox. An address that is taken: DuplicateRowError."""
    values = {"address_index": address_index, "mailbox": mailbox.id}
    rows_of(connection).insert(connection, mailbox_addresses, values)


def remove_addresses(connection: Connection, mailbox: Mailbox) -> int:
    """Let no address name the mailbox any more; what lies in it stays. Answers how many there were."""
    return rows_of(connection).delete(connection, mailbox_addresses, mailbox_addresses.c.mailbox == mailbox.id)


def by_address(connection: Connection, address_index: bytes) -> Mailbox | None:
    """The mailbox that an address names, or None."""
    row = rows_of(connection).first(connection, mailbox_addresses, "address_index", address_index)
    return None if row is None else _mailbox(connection, row["mailbox"])


def named_by(connection: Connection, address_indexes: Iterable[bytes]) -> frozenset[str]:
    """The ids of the mailboxes that these addresses name; addresses that are not ours name none."""
    wanted = list(address_indexes)
    if len(wanted) <= FEW:
        rows = rows_of(connection)
        one_by_one = (rows.first(connection, mailbox_addresses, "address_index", each) for each in wanted)
        return frozenset(row["mailbox"] for row in one_by_one if row is not None)
    found: set[str] = set()
    for start in range(0, len(wanted), AT_ONCE):
        where = mailbox_addresses.c.address_index.in_(wanted[start : start + AT_ONCE])
        found.update(row["mailbox"] for row in rows_of(connection).select(connection, mailbox_addresses, where))
    return frozenset(found)


def of_account(connection: Connection, account: AccountId) -> Mailbox | None:
    """The mailbox of an account, or None."""
    row = rows_of(connection).one(connection, mailboxes, mailboxes.c.account == account)
    return None if row is None else Mailbox(id=row["id"], account=AccountId(row["account"]))


def address_indexes(connection: Connection) -> dict[bytes, str]:
    """Every address that is ours, with the id of its mailbox."""
    found = rows_of(connection).select(connection, mailbox_addresses)
    return {row["address_index"]: row["mailbox"] for row in found}


def file(
    connection: Connection, mailbox: str, message: MessageId, folder: Folder, *, now: datetime, seen: bool = False
) -> None:
    """Lay one message into a folder. Already there: DuplicateRowError."""
    file_many(connection, (Filing(mailbox, message, folder, now, seen),))


def file_many(connection: Connection, filings: Iterable[Filing]) -> None:
    """Lay many messages into folders with one statement."""
    rows = [
        {
            "mailbox": each.mailbox,
            "message": each.message,
            "folder": each.folder.value,
            "filed_at": each.filed_at,
            "seen": each.seen,
        }
        for each in filings
    ]
    rows_of(connection).insert_many(connection, mailbox_entries, rows)


def entries(
    connection: Connection, mailbox: str, folder: Folder, limit: int, before: int | None = None
) -> list[MailboxEntry]:
    """Up to ``limit`` entries, newest first, from below the sequence ``before`` on."""
    columns = mailbox_entries.c
    where = (columns.mailbox == mailbox) & (columns.folder == folder.value)
    if before is not None:
        where &= columns.sequence < before
    found = rows_of(connection).select(
        connection, mailbox_entries, where, order_by=columns.sequence.desc(), limit=limit
    )
    return [_entry(row) for row in found]


def holds(connection: Connection, mailbox: str, message: MessageId) -> bool:
    """True when the message lies in some folder of the mailbox: what access to it rests on."""
    where = (mailbox_entries.c.mailbox == mailbox) & (mailbox_entries.c.message == message)
    return bool(rows_of(connection).select(connection, mailbox_entries, where, limit=1))


def mark_seen(connection: Connection, mailbox: str, message: MessageId, *, seen: bool = True) -> None:
    """Mark a message as read, or unread again, in every folder of a mailbox. Raises NotFoundError."""
    where = (mailbox_entries.c.mailbox == mailbox) & (mailbox_entries.c.message == message)
    if not rows_of(connection).update(connection, mailbox_entries, where, {"seen": seen}):
        raise NotFoundError("no such message in this mailbox")


def count(connection: Connection, mailbox: str, folder: Folder, *, unseen: bool = False) -> int:
    """How many messages lie in a folder; with ``unseen``, only the unread ones."""
    columns = mailbox_entries.c
    asked = select(func.count()).where(columns.mailbox == mailbox, columns.folder == folder.value)
    if unseen:
        asked = asked.where(columns.seen.is_(False))
    return int(connection.execute(asked).scalar_one())


def _mailbox(connection: Connection, mailbox: str) -> Mailbox | None:
    row = rows_of(connection).first(connection, mailboxes, "id", mailbox)
    return None if row is None else Mailbox(id=row["id"], account=AccountId(row["account"]))


def _entry(row: Mapping[str, Any]) -> MailboxEntry:
    return MailboxEntry(
        sequence=row["sequence"],
        mailbox=row["mailbox"],
        folder=Folder(row["folder"]),
        message=MessageId(row["message"]),
        filed_at=row["filed_at"],
        seen=row["seen"],
    )
