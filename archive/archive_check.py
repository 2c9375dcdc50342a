"""Holds the archive, its index, its holds and its disposals against the messages that are here. Changes nothing.

Everything is read in pages. What looks wrong is looked at again before it is told: mail comes in meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from archive import archive_records, disposal_records, hold_records
from archive.disposal_decision import classified
from archive.disposal_records import DisposalState
from archive.due_records import DueRecords
from archive.index_care import RebuildMark
from archive.legal_hold import Hold, covers
from archive.object_guarding import LongLock, MissingLock, ObjectGuarding
from archive.query_conditions import AnyOf, IdIs
from archive.retention_schedule import Schedule
from archive.search_index import IndexOutdatedError, SearchIndex
from mailstore import message_pages, message_records, outbox
from mailstore.consistency_check import Progress, in_any_case
from mailstore.consistency_problem import Finding, Kind
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, StorageUnavailableError, TamperedError
from mailstore.message import MessageId

INDEX = "index"
"""What a finding names that is about the search index as a whole."""


@dataclass(frozen=True)
class ArchiveStores:
    """What is held against each other. ``opened`` opens the index as it lies on the disk now."""

    database: Database
    opened: Callable[[], SearchIndex]
    rebuild_mark: RebuildMark
    due_records: DueRecords
    guarding: ObjectGuarding


def check(
    stores: ArchiveStores, *, opens_messages: bool, progress: Progress = lambda _what, _count: None
) -> Iterator[Finding]:
    """Everything that is found wrong, as it is found. Coverage by holds is looked at when messages may be opened."""
    looks: Mapping[str, Callable[[], Iterator[Finding]]] = {
        "archive": lambda: _captures(stores, partial(progress, "archived messages")),
        "search index": lambda: _index(stores, partial(progress, "indexed messages")),
        "holds": lambda: _holds(stores, opens_messages=opens_messages, tell=partial(progress, "held messages")),
        "disposals": lambda: _disposals(stores),
        "locks": lambda: _locks(stores, partial(progress, "locks")) if opens_messages else iter(()),
    }
    for what, look in looks.items():
        yield from in_any_case(what, look)


def _captures(stores: ArchiveStores, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Every message is in the archive and in the index, or the work that brings it there waits."""
    after, seen = 0, 0
    while True:
        with stores.database.read() as connection:
            found = message_pages.id_page(connection, after=after, limit=message_pages.PAGE)
            here = [message for _, message in found]
            captured = archive_records.captured(connection, here)
            unindexed = archive_records.unindexed_of(connection, here)
            queued = outbox.work_on(connection, here, (outbox.Kind.CAPTURE, outbox.Kind.INDEX))
        if not found:
            return
        waiting = {(kind, message) for kind, message, _ in queued}
        for message in here:
            if message not in captured and (outbox.Kind.CAPTURE, message) not in waiting:
                told = f"message {message}: the archive has not seen it, and nothing will show it"
                yield Finding(Kind.CAPTURE_NOT_QUEUED, message, told, message)
            if message in unindexed and (outbox.Kind.INDEX, message) not in waiting:
                told = f"message {message}: nothing will put it into the index"
                yield Finding(Kind.INDEX_NOT_QUEUED, message, told, message)
        after, seen = found[-1][0], seen + len(found)
        tell(seen)


def _locks(stores: ArchiveStores, tell: Callable[[int], None]) -> Iterator[Finding]:
    """The object store keeps what the rows keep, and no longer."""
    for page in message_pages.all_messages(stores.database, tell):
        for found in stores.guarding.differences(page):
            match found:
                case MissingLock():
                    told = f"object {found.object_name} of message {found.message} is not locked as it must be"
                    yield Finding(Kind.LOCK_MISSING, found.object_name, told, found.message)
                case LongLock():
                    until = f"kept until {found.locked_until:%Y-%m-%d}, its record is due {found.due_at:%Y-%m-%d}"
                    told = f"object {found.object_name} of message {found.message} is {until}"
                    yield Finding(Kind.LOCK_OUTLASTS_SCHEDULE, found.object_name, told, found.message)


def _index(stores: ArchiveStores, tell: Callable[[int], None]) -> Iterator[Finding]:
    """The index holds what the rows say, and nothing that was disposed of. Not looked at while it is made anew."""
    if stores.rebuild_mark.progress() is not None:
        return
    try:
        index = stores.opened()
        held = index.document_count()
        with stores.database.read() as connection:
            indexed = archive_records.counts(connection).indexed
        if 2 * held < indexed:
            yield Finding(Kind.INDEX_DAMAGED, INDEX, f"the index holds {held} of {indexed} messages")
            return
        yield from _gaps(stores, index, tell)
        yield from _surplus(stores, index, held, tell)
    except (TamperedError, IndexOutdatedError, StorageUnavailableError) as error:
        yield Finding(Kind.INDEX_DAMAGED, INDEX, error.message)


def _gaps(stores: ArchiveStores, index: SearchIndex, tell: Callable[[int], None]) -> Iterator[Finding]:
    for page in message_pages.walked(stores.database, _indexed_beyond, start="", place=str, tell=tell):
        missing = set(page) - _found(index, page)
        for message in sorted(_still_indexed(stores, missing)):
            yield Finding(Kind.INDEX_GAP, message, f"message {message}: the index does not hold it", message)


def _indexed_beyond(connection: Connection, after: str) -> list[MessageId]:
    return archive_records.indexed_page(connection, after=after, limit=message_pages.PAGE)


def _still_indexed(stores: ArchiveStores, messages: Collection[MessageId]) -> list[MessageId]:
    """Those that the rows still say are in the index: one may have been disposed of meanwhile."""
    with stores.database.read() as connection:
        entries = archive_records.entries(connection, messages)
    return [entry.message for entry in entries if entry.indexed_at is not None]


def _surplus(stores: ArchiveStores, index: SearchIndex, held: int, tell: Callable[[int], None]) -> Iterator[Finding]:
    """What died must not be found. What else the index holds too much of can only be counted."""
    dead = 0
    for page in message_pages.all_disposed(stores.database, tell):
        for message in sorted(_found(index, page)):
            dead += 1
            told = f"message {message}: it was disposed of, and the index still holds it"
            yield Finding(Kind.INDEX_SURPLUS, message, told, message)
    with stores.database.read() as connection:
        archived = archive_records.counts(connection).archived
    if held - dead > archived:
        told = f"the index holds {held - dead} messages, the archive {archived}"
        yield Finding(Kind.INDEX_SURPLUS, INDEX, told)


def _found(index: SearchIndex, messages: Sequence[MessageId]) -> set[MessageId]:
    asked = AnyOf(tuple(IdIs(message) for message in messages))
    found = index.search(asked, limit=len(messages))
    if not found.is_complete:
        raise StorageUnavailableError("the search index is too slow now to be looked at")
    return {hit.id for hit in found.items}


def _holds(stores: ArchiveStores, *, opens_messages: bool, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Every hold looked at all mail, and lists what it covers. Unlisted mail is held all the same (promise I3)."""
    with stores.database.read() as connection:
        rules = stores.due_records.rules(connection)
        evaluated = {each.id for each in hold_records.all_holds(connection) if each.evaluated_at is not None}
    for hold in rules.holds:
        if hold.id not in evaluated:
            told = f"hold {hold.id} was not held against all mail yet"
            yield Finding(Kind.HOLD_NOT_EVALUATED, hold.id, told)
    holds = [hold for hold in rules.holds if hold.id in evaluated]
    if not holds or not opens_messages:
        return
    for page in message_pages.all_messages(stores.database, tell):
        for message in page:
            yield from _uncovered(stores, holds, message, rules.schedule)


def _uncovered(
    stores: ArchiveStores, holds: Sequence[Hold], message: MessageId, schedule: Schedule | None
) -> Iterator[Finding]:
    """Only of what was captured: mail that just came in joins its holds then."""
    try:
        with stores.database.read() as connection:
            is_captured = archive_records.find(connection, message) is not None
            stored = message_records.stored(connection, message)
    except (NotFoundError, DestroyedError, TamperedError):
        return
    if not is_captured:
        return
    told = classified(stores.due_records.evidence_of(stored), schedule)
    covering = [hold.id for hold in holds if covers(hold, told) is not False]
    with stores.database.read() as connection:
        listed = {held.hold for held in hold_records.holds_of(connection, message)}
    for hold in covering:
        if hold not in listed:
            problem = f"hold {hold} covers message {message} and does not list it"
            yield Finding(Kind.HOLD_COVERAGE_MISSING, hold, problem, message)


def _disposals(stores: ArchiveStores) -> Iterator[Finding]:
    with stores.database.read() as connection:
        for record in disposal_records.all_disposals(connection):
            if record.state is DisposalState.RUNNING:
                yield Finding(Kind.DISPOSAL_UNFINISHED, record.id, f"disposal {record.id} was begun and not completed")
            if record.state is DisposalState.COMPLETED and record.certificate is not None:
                certificate = disposal_records.certificate_of(connection, record.id)
                if certificate is None:
                    yield Finding(Kind.CERTIFICATE_MISSING, record.id, f"disposal {record.id} has no certificate")
