"""Disposals, what became of each record, and certificates: the only module that touches those three tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Table

from archive.tables import certificates, disposal_items, disposals
from mailstore.errors import NotFoundError
from mailstore.message import AccountId, MessageId
from mailstore.sealed_rows import SealedRow, rows_of


class DisposalState(StrEnum):
    """The life of a disposal. A running one that was interrupted is run again and goes on."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    RUNNING = "running"
    COMPLETED = "completed"
    WITHDRAWN = "withdrawn"


class ItemState(StrEnum):
    """What became of one record of the set."""

    LISTED = "listed"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    KEPT = "kept"


@dataclass(frozen=True)
class DisposalRecord:
    """One disposal as recorded. ``cooled_off_at`` is the earliest moment at which it may run."""

    id: str
    state: DisposalState
    schedule: str
    set_hash: bytes
    messages: int
    held: int
    proposed_by: AccountId
    proposed_at: datetime
    approved_by: AccountId | None = None
    approved_at: datetime | None = None
    cooled_off_at: datetime | None = None
    run_by: AccountId | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    certificate: str | None = None


@dataclass(frozen=True)
class DisposalItem:
    """One record of the set. ``salt`` and ``destroyed_at`` are there from the moment its destruction began."""

    message: MessageId
    state: ItemState
    sealed_digest: bytes = field(repr=False)
    received_at: datetime
    category: str
    due_at: datetime
    why: str | None = None
    salt: bytes | None = field(default=None, repr=False)
    destroyed_at: datetime | None = None


@dataclass(frozen=True)
class CertificateRecord:
    """A certificate as issued: ``document`` is the very file."""

    id: str
    disposal: str
    issued_at: datetime
    document: bytes = field(repr=False)


def insert(connection: Connection, record: DisposalRecord, items: Iterable[DisposalItem]) -> None:
    """Record a new disposal with its exact set."""
    rows_of(connection).insert(connection, disposals, vars(record))
    told = [{"disposal": record.id, **vars(item)} for item in items]
    rows_of(connection).insert_many(connection, disposal_items, told)


def of(connection: Connection, disposal: str) -> DisposalRecord:
    """The disposal by that id. Raises ``NotFoundError``."""
    row = rows_of(connection).one(connection, disposals, disposals.c.id == disposal)
    if row is None:
        raise NotFoundError("there is no such disposal", fix="name the id that strongroom disposal propose answered")
    return DisposalRecord(**{**row, "state": DisposalState(row["state"])})


def find(connection: Connection, disposal: str) -> DisposalRecord | None:
    """The disposal by that id, or None."""
    row = rows_of(connection).one(connection, disposals, disposals.c.id == disposal)
    return None if row is None else DisposalRecord(**{**row, "state": DisposalState(row["state"])})


def put(connection: Connection, record: DisposalRecord, its_items: Iterable[DisposalItem]) -> None:
    """Record a disposal as a ledger tells of it, in the place of older rows of it."""
    _put_row(connection, disposals, vars(record), key={"id"})
    for each in its_items:
        _put_row(connection, disposal_items, {"disposal": record.id, **vars(each)}, key={"disposal", "message"})


def all_disposals(connection: Connection) -> list[DisposalRecord]:
    """Every disposal, newest first."""
    order = [disposals.c.proposed_at.desc(), disposals.c.id]
    found = rows_of(connection).select(connection, disposals, order_by=order)
    return [DisposalRecord(**{**row, "state": DisposalState(row["state"])}) for row in found]


def change(connection: Connection, disposal: str, **changes: Any) -> None:
    """Write what a step changed of a disposal."""
    rows_of(connection).update(connection, disposals, disposals.c.id == disposal, changes)


def items(connection: Connection, disposal: str) -> list[DisposalItem]:
    """The records of a disposal, in the order of their ids."""
    where = disposal_items.c.disposal == disposal
    return [_item(row) for row in rows_of(connection).select(connection, disposal_items, where, order_by=_BY_ID)]


def item(connection: Connection, disposal: str, message: MessageId) -> DisposalItem:
    """One record of a disposal. Raises ``NotFoundError``."""
    where = (disposal_items.c.disposal == disposal) & (disposal_items.c.message == message)
    row = rows_of(connection).one(connection, disposal_items, where)
    if row is None:
        raise NotFoundError("there is no such record in this disposal")
    return _item(row)


def change_item(connection: Connection, disposal: str, message: MessageId, **changes: Any) -> None:
    """Write what became of one record."""
    where = (disposal_items.c.disposal == disposal) & (disposal_items.c.message == message)
    rows_of(connection).update(connection, disposal_items, where, changes)


def items_about(connection: Connection, message: MessageId) -> list[tuple[str, DisposalItem]]:
    """The disposals that a message stands in, with what became of it in each."""
    found = rows_of(connection).select(connection, disposal_items, disposal_items.c.message == message)
    return [(row["disposal"], _item(row)) for row in found]


def insert_certificate(connection: Connection, record: CertificateRecord) -> None:
    """Record a certificate. A disposal has one at the most."""
    rows_of(connection).insert(connection, certificates, vars(record))


def certificate_of(connection: Connection, disposal: str) -> CertificateRecord | None:
    """The certificate of a disposal, or None when none was issued."""
    row = rows_of(connection).one(connection, certificates, certificates.c.disposal == disposal)
    return None if row is None else CertificateRecord(**row)


def _put_row(connection: Connection, table: Table, row: Mapping[str, Any], *, key: Collection[str]) -> None:
    told = {name: value for name, value in row.items() if name not in key}
    rows_of(connection).change(connection, table, row, lambda _row: told)


_BY_ID = disposal_items.c.message.asc()


def _item(row: SealedRow) -> DisposalItem:
    told = {name: value for name, value in row.items() if name != "disposal"}
    return DisposalItem(**{**told, "state": ItemState(row["state"]), "message": MessageId(row["message"])})
