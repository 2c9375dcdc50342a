"""Holds rows, keys, objects and the audit log against each other. Changes nothing.

Mail may come and go meanwhile: what looks wrong is looked at again in a new transaction before it is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import MetaData

from mailstore import audit_trail, message_records
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, StrongroomError, TamperedError
from mailstore.keystore import Keystore
from mailstore.message import MessageId, StoredMessage, StoredObject
from mailstore.object_store import ObjectStore
from mailstore.orphan_sweep import ORPHANS_EXPLAINED
from mailstore.sealed_copies import SealedCopy, copies_of, read_copy
from mailstore.sealed_rows import DamagedRow
from mailstore.spool import Place
from mailstore.tables import METADATA

SETTLED_AFTER = timedelta(hours=1)
"""A key without a row for this long was left by a crash, or its row was taken away."""


class Weight(StrEnum):
    """FAIL: something promised does not hold. WARN: a left-over that harms nobody and can be swept."""

    FAIL = "fail"
    WARN = "warn"


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold together. ``check`` groups findings, ``problem`` names the object."""

    check: str
    weight: Weight
    problem: str


@dataclass(frozen=True)
class Stores:
    """All that is held against each other. ``metadatas`` are the tables of the floors above.

    ``prove_key`` unwraps a message's key and raises a ``StrongroomError`` when it is not the one that was kept.
    """

    database: Database
    keystore: Keystore
    spool_directory: Path
    objects: ObjectStore
    audit_public_key: bytes
    checkpoints_path: Path
    prove_key: Callable[[MessageId], None]
    metadatas: tuple[MetaData, ...] = ()


def check(
    stores: Stores, *, now: datetime, accepted_events: Collection[str], reads_objects: bool
) -> tuple[Finding, ...]:
    """Everything that is found wrong, worst first.

    ``accepted_events`` are the audit events that say a message became ours. With ``reads_objects`` every sealed
    object is read and hashed; without, only its presence is looked at.
    """
    groups = {
        "database": (_file_findings(stores),),
        "rows": (_row_findings(stores),),
        "audit": (_audit_findings(stores),),
        "messages": (
            _message_findings(stores, reads_objects=reads_objects),
            _lost_message_findings(stores, accepted_events),
        ),
        "keys": (_key_findings(stores, now), _tombstone_findings(stores)),
        "objects": (_object_findings(stores),),
    }
    found = [finding for group, looks in groups.items() for look in looks for finding in _in_any_case(group, look)]
    return tuple(sorted(found, key=lambda finding: finding.weight is not Weight.FAIL))


def _in_any_case(check: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """What was found, and what stopped the looking: one damaged row must not hide what else is damaged."""
    try:
        yield from found
    except StrongroomError as error:
        yield Finding(check, Weight.FAIL, error.message)


def _file_findings(stores: Stores) -> Iterator[Finding]:
    for problem in stores.database.problems():
        yield Finding("database", Weight.FAIL, problem)


def _row_findings(stores: Stores) -> Iterator[Finding]:
    """Every row of every table, seal by seal."""
    tables = [table for metadata in (METADATA, *stores.metadatas) for table in metadata.sorted_tables]
    with stores.database.read() as connection:
        for table in tables:
            for row in stores.database.rows.examine(connection, table):
                if isinstance(row, DamagedRow):
                    yield Finding("rows", Weight.FAIL, f"the row {row.name} is not what was written")


def _audit_findings(stores: Stores) -> Iterator[Finding]:
    report = audit_trail.verify(
        stores.database, public_key=stores.audit_public_key, checkpoints_path=stores.checkpoints_path
    )
    if report.first_bad is not None:
        yield Finding("audit", Weight.FAIL, report.first_bad.problem)


def _message_findings(stores: Stores, *, reads_objects: bool) -> Iterator[Finding]:
    """Every message has its key and its sealed bytes."""
    for message in _all_ids(stores):
        problem = _problem_of(stores, message, reads_objects=reads_objects)
        if problem is not None:  # promoted or disposed of at this moment? Look again.
            problem = _problem_of(stores, message, reads_objects=reads_objects)
        if problem is not None:
            yield Finding("messages", Weight.FAIL, f"message {message}: {problem}")


def _problem_of(stores: Stores, message: MessageId, *, reads_objects: bool) -> str | None:
    """What is wrong with one message; None when nothing is, or when it was disposed of meanwhile."""
    try:
        with stores.database.read() as connection:
            stored = message_records.stored(connection, message)
    except (NotFoundError, DestroyedError, TamperedError):
        return None  # gone meanwhile, or reported with the rows
    if not stores.keystore.has_key(message):
        return "its key is not there"
    try:
        stores.prove_key(message)
        return _problem_with_bytes(stores, stored, reads_objects=reads_objects)
    except StrongroomError as error:
        return error.message


def _problem_with_bytes(stores: Stores, stored: StoredMessage, *, reads_objects: bool) -> str | None:
    """Every copy must be whole. One in a segment that is gone is none, where the object store has the other."""
    for copy in copies_of(stored):
        if stored.object is not None and _is_released(stores, copy):
            continue
        if reads_objects:
            read_copy(copy, spool_directory=stores.spool_directory, objects=stores.objects)
        elif not _is_there(stores, copy):
            return f"{copy.name} is not there or too short"
    return None


def _is_released(stores: Stores, copy: SealedCopy) -> bool:
    return isinstance(copy.lies_in, Place) and not (stores.spool_directory / copy.lies_in.segment).exists()


def _is_there(stores: Stores, copy: SealedCopy) -> bool:
    match copy.lies_in:
        case StoredObject(name=name):
            return stores.objects.exists(name)
        case Place(segment=segment, offset=offset, length=length):
            path = stores.spool_directory / segment
            return path.is_file() and path.stat().st_size >= offset + length


def _lost_message_findings(stores: Stores, accepted_events: Collection[str]) -> Iterator[Finding]:
    """Every message that the log says became ours has its row, or was disposed of."""
    with stores.database.read() as connection:
        accepted = {entry.object for entry in audit_trail.of_events(connection, accepted_events)}
        missing = accepted - set(message_records.all_ids(connection))
        lost = [each for each in missing if not message_records.is_disposed(connection, MessageId(each))]
    for message in sorted(lost):
        yield Finding("messages", Weight.FAIL, f"message {message}: accepted, not disposed of, and its row is gone")


def _key_findings(stores: Stores, now: datetime) -> Iterator[Finding]:
    """No key without a row, and none of a message that was disposed of."""
    keys = list(stores.keystore.messages_keyed_before(now - SETTLED_AFTER))
    orphans = sorted(set(keys).difference(_all_ids(stores)))
    with stores.database.read() as connection:
        back = [message for message in orphans if message_records.is_disposed(connection, message)]
    for message in back:
        yield Finding("keys", Weight.FAIL, f"the key of disposed message {message} is back")
    unexplained = [message for message in orphans if message not in set(back)]
    if len(unexplained) > ORPHANS_EXPLAINED:
        told = f"{len(unexplained)} keys have no message, more than a crash leaves behind: rows were lost or put back"
        yield Finding("keys", Weight.FAIL, told)
        return
    for message in unexplained:
        yield Finding("keys", Weight.WARN, f"a key without a message: {message}")


def _tombstone_findings(stores: Stores) -> Iterator[Finding]:
    """What the rows say was disposed of has the keystore's mark of destruction."""
    with stores.database.read() as connection:
        disposed = message_records.disposed_ids(connection)
    for message in sorted(disposed.difference(stores.keystore.destroyed())):
        yield Finding("keys", Weight.FAIL, f"the keystore's mark of destruction of message {message} is gone")


def _object_findings(stores: Stores) -> Iterator[Finding]:
    """No object without a row; one that is being promoted at this moment may show up."""
    names = list(stores.objects.names())
    with stores.database.read() as connection:
        known = message_records.object_names(connection)
    for name in _without(names, known):
        yield Finding("objects", Weight.WARN, f"an object without a message: {name}")


def _all_ids(stores: Stores) -> list[MessageId]:
    with stores.database.read() as connection:
        return message_records.all_ids(connection)


def _without(names: Iterable[str], known: Collection[str]) -> list[str]:
    return sorted(name for name in names if name not in known)
