"""The audit log: append-only, in the transaction of the fact, checked against its tree and its checkpoints."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection, and_, func, select, true

from mailstore.audit_check import AuditFault, LogCheck
from mailstore.audit_entry import AuditEntry, AuditFact, detail_of, detail_text, placed
from mailstore.audit_tree import (
    Checkpoint,
    Frontier,
    checkpoint_from,
    inclusion_proof,
    root_of,
    signed_checkpoint,
)
from mailstore.database import Database
from mailstore.document_signing import DocumentSigner
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError
from mailstore.sealed_rows import DamagedRow, SealedRow, rows_of
from mailstore.tables import audit_entries, audit_state

STATE_ID: Final = 1
CHECKPOINT_ENTRIES: Final = 1_000
"""A checkpoint follows this many entries at the latest."""

_LONGEST_LINE: Final = 4096
"""More bytes than two lines of the checkpoint file have."""

NO_ENTRIES: Final = {"id": STATE_ID, "size": 0, "frontier": b""}


@dataclass(frozen=True)
class AuditReport:
    """What verifying found: entries that hold, in order from 0, their root, and the first fault if any."""

    entries: int
    tree_root: str
    first_bad: AuditFault | None


@dataclass(frozen=True)
class Wanted:
    """Which entries to show: those of one event, about one object, by one actor. An empty text asks for all."""

    event: str = ""
    object: str = ""
    actor: str = ""


@dataclass(frozen=True)
class InclusionProof:
    """That one entry is in the log of a certain size; anyone can check it with ``verify_inclusion``."""

    sequence: int
    size: int
    leaf: bytes
    proof: tuple[bytes, ...]
    root: bytes


def append(connection: Connection, facts: Iterable[AuditFact], *, now: datetime) -> range:
    """Write facts at the end of the log, in the caller's transaction. Answers their sequence numbers."""
    given = list(facts)
    rows: list[dict[str, Any]] = []

    def grown(state: SealedRow) -> dict[str, Any]:
        frontier = _frontier_of(state)
        rows.extend(_added(given, frontier, now))
        return {"size": frontier.size, "frontier": frontier.to_bytes()}

    if given:
        rows_of(connection).change(connection, audit_state, NO_ENTRIES, grown)
        rows_of(connection).insert_many(connection, audit_entries, rows)
    return range(rows[0]["sequence"], rows[-1]["sequence"] + 1) if rows else range(0)


def tail(connection: Connection, count: int) -> list[AuditEntry]:
    """The last entries, oldest of them first."""
    found = rows_of(connection).select(connection, audit_entries, order_by=audit_entries.c.sequence.desc(), limit=count)
    return [_entry(row) for row in reversed(found)]


def size(connection: Connection) -> int:
    """How many entries there are."""
    return _frontier(connection).size


def leaf_at(connection: Connection, sequence: int) -> bytes | None:
    """The hash of one entry as the tree has it; None when there is no such entry."""
    row = rows_of(connection).one(connection, audit_entries, audit_entries.c.sequence == sequence)
    return None if row is None else row["leaf"]


def about(connection: Connection, object_: str) -> list[AuditEntry]:
    """All that happened to one object, oldest first."""
    where = audit_entries.c.object == object_
    found = rows_of(connection).select(connection, audit_entries, where, order_by=audit_entries.c.sequence)
    return [_entry(row) for row in found]


def of_events(
    connection: Connection, events: Iterable[str], *, after: int = -1, limit: int | None = None
) -> list[AuditEntry]:
    """The entries of one of these events beyond a sequence, oldest first."""
    where = audit_entries.c.event.in_(list(events)) & (audit_entries.c.sequence > after)
    order = audit_entries.c.sequence
    found = rows_of(connection).select(connection, audit_entries, where, order_by=order, limit=limit)
    return [_entry(row) for row in found]


def newest(connection: Connection, wanted: Wanted, *, limit: int, before: int | None = None) -> list[AuditEntry]:
    """The newest entries of a kind, newest first; ``before`` goes on behind the entry of that sequence."""
    columns = {"event": wanted.event, "object": wanted.object, "actor": wanted.actor}
    conditions = [audit_entries.c[name] == value for name, value in columns.items() if value]
    if before is not None:
        conditions.append(audit_entries.c.sequence < before)
    where = and_(true(), *conditions)
    order = audit_entries.c.sequence.desc()
    found = rows_of(connection).select(connection, audit_entries, where, order_by=order, limit=limit)
    return [_entry(row) for row in found]


def events(connection: Connection) -> list[str]:
    """Every event that the log knows, by name."""
    asked = select(audit_entries.c.event).distinct().order_by(audit_entries.c.event)
    return list(connection.execute(asked).scalars())


def write_checkpoint(database: Database, path: Path, *, signer: DocumentSigner, now: datetime) -> Checkpoint:
    """Have the present size and root signed, and add the statement to the checkpoint file, durably.

    One process does so at a time, so that no statement is smaller than the one before it. Raises as ``signer`` does.
    """
    try:
        with _last_in(path) as file:
            with database.read() as connection:
                frontier = _frontier(connection)
            checkpoint = signed_checkpoint(frontier, at=now, signer=signer)
            file.write(f"{checkpoint.line()}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageUnavailableError("the audit checkpoint could not be written") from error
    return checkpoint


def write_checkpoint_when_due(
    database: Database, path: Path, *, signer: DocumentSigner, now: datetime, after: timedelta
) -> Checkpoint | None:
    """Have the log signed when entries wait for it and are many, or when the oldest of them waits for ``after``."""
    newest = newest_checkpoint(path)
    with database.read() as connection:
        count, since = entries_after(connection, newest.size if newest else 0)
    is_due = since is not None and (newest is None or count >= CHECKPOINT_ENTRIES or now - since >= after)
    return write_checkpoint(database, path, signer=signer, now=now) if is_due else None


def newest_checkpoint(path: Path) -> Checkpoint | None:
    """The last statement in the checkpoint file, or None. Its signature is looked at by ``verify``."""
    lines = _checkpoint_lines(path, last_bytes=_LONGEST_LINE)
    try:
        return checkpoint_from(lines[-1]) if lines else None
    except ValueError as error:
        raise TamperedError("the newest audit checkpoint is not one") from error


def entries_after(connection: Connection, size: int) -> tuple[int, datetime | None]:
    """How many entries came after the first ``size``, and when the first of them did."""
    where = audit_entries.c.sequence >= size
    count = connection.execute(select(func.count()).select_from(audit_entries).where(where)).scalar_one()
    found = rows_of(connection).select(connection, audit_entries, where, order_by=audit_entries.c.sequence, limit=1)
    return count, found[0]["at"] if found else None


def prove_inclusion(connection: Connection, sequence: int, size: int | None = None) -> InclusionProof:
    """Prove that an entry is in the log of ``size`` entries (now, when not given). Raises NotFoundError."""
    asked = select(audit_entries.c.leaf).order_by(audit_entries.c.sequence).limit(size)
    leaves = list(connection.execute(asked).scalars())
    if not 0 <= sequence < len(leaves) or (size is not None and len(leaves) != size):
        raise NotFoundError("the audit log has no such entry")
    return InclusionProof(
        sequence=sequence,
        size=len(leaves),
        leaf=leaves[sequence],
        proof=inclusion_proof(leaves, sequence),
        root=root_of(leaves),
    )


def verify(database: Database, *, public_key: bytes, checkpoints_path: Path) -> AuditReport:
    """Recompute the whole log and hold it against the frontier and every signed checkpoint."""
    return verify_against(database, _checkpoint_lines(checkpoints_path), public_key=public_key)


def verify_against(database: Database, checkpoint_lines: Iterable[str], *, public_key: bytes) -> AuditReport:
    """As ``verify``, against checkpoints from elsewhere."""
    check = LogCheck(checkpoint_lines)
    with database.read() as connection:
        fault = (
            _check_entries(connection, check)
            or _check_state(connection, check)
            or check.against_checkpoints(public_key)
        )
    return AuditReport(check.frontier.size, check.frontier.root().hex(), fault)


def _check_entries(connection: Connection, check: LogCheck) -> AuditFault | None:
    """Feed every row to the check, in order, up to the first that does not hold."""
    found = rows_of(connection).examine(connection, audit_entries, order_by=audit_entries.c.sequence)
    faults = (_check_row(row, check) for row in found)
    return next((fault for fault in faults if fault is not None), None)


def _check_row(row: SealedRow | DamagedRow, check: LogCheck) -> AuditFault | None:
    if isinstance(row, DamagedRow):
        expected = check.frontier.size
        return AuditFault(expected, f"entry {expected} is missing or was changed: {row.name} breaks its seal")
    try:
        entry = _entry(row)
    except TamperedError:
        return AuditFault(row["sequence"], f"entry {row['sequence']} cannot be read")
    return check.take(entry, row["leaf"])


def _check_state(connection: Connection, check: LogCheck) -> AuditFault | None:
    try:
        frontier = _frontier(connection)
    except TamperedError as error:
        return AuditFault(None, error.message)
    return check.against_state(frontier.size, frontier.to_bytes())


def _frontier(connection: Connection) -> Frontier:
    """The frontier as recorded."""
    row = rows_of(connection).one(connection, audit_state, audit_state.c.id == STATE_ID)
    return _frontier_of(NO_ENTRIES if row is None else row)


def _frontier_of(state: SealedRow) -> Frontier:
    try:
        return Frontier.from_bytes(state["size"], state["frontier"])
    except ValueError as error:
        raise TamperedError("the recorded audit tree is not one") from error


def _added(facts: Iterable[AuditFact], frontier: Frontier, now: datetime) -> Iterator[dict[str, Any]]:
    """The rows of new entries; the frontier grows with each."""
    for fact in facts:
        entry = placed(fact, sequence=frontier.size, at=now)
        leaf = entry.leaf()
        frontier.append(leaf)
        yield _values(entry, leaf)


def _values(entry: AuditEntry, leaf: bytes) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": entry.at,
        "actor": entry.actor,
        "event": entry.event,
        "object": entry.object,
        "detail": detail_text(entry.detail),
        "leaf": leaf,
    }


def _entry(row: SealedRow) -> AuditEntry:
    try:
        detail = detail_of(row["detail"])
    except ValueError as error:
        raise TamperedError(f"audit entry {row['sequence']} cannot be read") from error
    return AuditEntry(row["sequence"], row["at"], row["event"], row["actor"], row["object"], detail)


def _checkpoint_lines(path: Path, last_bytes: int | None = None) -> list[str]:
    """The finished lines of the checkpoint file; what a crash left of one more is not a statement.

    With ``last_bytes`` only the end of the file is read, whose first line may lack its beginning.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - last_bytes) if last_bytes else 0)
            text = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageUnavailableError("the audit checkpoints cannot be read") from error
    return text.decode("utf-8", errors="replace").split("\n")[:-1]


@contextmanager
def _last_in(path: Path) -> Iterator[IO[bytes]]:
    """The checkpoint file at its end, for this process alone; what a crash left of an unfinished line is cut off."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        yield file
