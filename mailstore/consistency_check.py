"""Holds rows, keys, objects and the audit log against each other. Changes nothing.

Mail may come and go meanwhile: what looks wrong is looked at again in a new transaction before it is reported.
Everything is read in pages, so that memory stays flat for any number of messages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, MetaData

from mailstore import audit_trail, message_pages, message_records, outbox, part_records, spool
from mailstore.consistency_problem import Finding, Kind
from mailstore.copy_check import CopyCheck
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, StrongroomError, TamperedError
from mailstore.keystore import Keystore
from mailstore.message import MessageId, RecipientState, Route, StoredMessage
from mailstore.object_store import ObjectStore
from mailstore.orphan_sweep import ORPHAN_AGE, ORPHANS_EXPLAINED
from mailstore.part_records import SharedPart
from mailstore.recipe import PartId
from mailstore.sealed_rows import DamagedRow
from mailstore.tables import METADATA

PAGE = message_records.AT_ONCE
SUSPECTS_KEPT = 10_000
"""Objects without a row that are told at most: the sweep takes them away, and the next check tells the rest."""

WAITING = frozenset({RecipientState.QUEUED, RecipientState.DEFERRED})
SENDING = (outbox.Kind.DELIVER, outbox.Kind.NOTIFY)

Progress = Callable[[str, int], None]
"""Told what is being looked at, and how many of it were."""

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Stores:
    """All that is held against each other. ``metadatas`` are the tables of the floors above.

    ``prove_key`` unwraps a message's key and raises a ``StrongroomError`` when it is not the one that was kept;
    ``prove_dictionary`` opens a dictionary of the mail by its number and raises likewise. ``is_dying`` says that a
    disposal has begun with a message and will go on with it; ``miscounted_parts`` names the shared parts whose uses
    are not as many as the messages that need them; ``users_of_part`` names the messages that need one.
    """

    database: Database
    keystore: Keystore
    spool_directory: Path
    objects: ObjectStore
    audit_public_key: bytes
    checkpoints_path: Path
    prove_key: Callable[[MessageId], None]
    metadatas: tuple[MetaData, ...] = ()
    is_dying: Callable[[MessageId], bool] = lambda _message: False
    prove_dictionary: Callable[[int], None] = lambda _number: None
    miscounted_parts: Callable[[Connection], Iterator[str]] = lambda _connection: iter(())
    users_of_part: Callable[[Connection, PartId], list[MessageId]] = lambda _connection, _part: []

    @property
    def copies(self) -> CopyCheck:
        """What looks at the copies of single messages."""
        return CopyCheck(self.database, self.spool_directory, self.objects)


@dataclass(frozen=True)
class Depth:
    """How closely to look. ``accepted_events`` are the audit events that say a message became ours.

    With ``reads_objects`` every sealed byte is read and hashed; without, only its presence is looked at.
    ``kept_elsewhere`` are checkpoints that a person kept outside this machine. ``settle_seconds``: how long to wait
    before an object without a row is looked at again, when somebody else may be promoting it.
    """

    accepted_events: Collection[str]
    reads_objects: bool
    kept_elsewhere: Sequence[str] = ()
    settle_seconds: float = 0.0


def check(
    stores: Stores, depth: Depth, *, now: datetime, progress: Progress = lambda _what, _count: None
) -> Iterator[Finding]:
    """Everything that is found wrong, as it is found."""
    looks: Mapping[str, Callable[[], Iterator[Finding]]] = {
        "database": lambda: _database(stores),
        "rows": lambda: _rows(stores, partial(progress, "rows")),
        "audit log": lambda: _audit(stores, depth),
        "accepted messages": lambda: _lost(stores, depth, partial(progress, "accepted messages")),
        "messages": lambda: _messages(stores, depth, partial(progress, "messages")),
        "keys": lambda: _keys(stores, now, partial(progress, "keys")),
        "tombstones": lambda: _tombstones(stores, partial(progress, "tombstones")),
        "shared parts": lambda: _parts(stores, depth, partial(progress, "shared parts")),
        "dictionaries": lambda: _dictionaries(stores),
        "objects": lambda: _objects(stores, depth, partial(progress, "objects")),
        "spool": lambda: _segments(stores, now),
    }
    for what, look in looks.items():
        yield from in_any_case(what, look)


def in_any_case(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What was found, and what stopped the looking: one damaged row must not hide what else is damaged."""
    try:
        yield from look()
    except StrongroomError as error:
        yield Finding(Kind.NOT_CHECKED, what, f"{what} could not be looked at to the end: {error.message}")


def pages(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    """The same things, some at a time."""
    iterator = iter(things)
    while page := list(islice(iterator, PAGE)):
        yield page


def _database(stores: Stores) -> Iterator[Finding]:
    for problem in stores.database.problems():
        yield Finding(Kind.DATABASE_DAMAGED, "row database", problem)


def _rows(stores: Stores, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Every row of every table, seal by seal."""
    seen = 0
    tables = [table for metadata in (METADATA, *stores.metadatas) for table in metadata.sorted_tables]
    with stores.database.read() as connection:
        for table in tables:
            for row in stores.database.rows.examine(connection, table):
                if isinstance(row, DamagedRow):
                    yield Finding(Kind.ROW_ALTERED, row.name, f"the row {row.name} is not what was written")
                seen += 1
                if seen % PAGE == 0:
                    tell(seen)


def _audit(stores: Stores, depth: Depth) -> Iterator[Finding]:
    yield from _put_back(stores)
    database, key = stores.database, stores.audit_public_key
    report = audit_trail.verify(database, public_key=key, checkpoints_path=stores.checkpoints_path)
    if report.first_bad is not None:
        yield Finding(Kind.LOG_BROKEN, _entry_name(report.first_bad.sequence), report.first_bad.problem)
    if depth.kept_elsewhere:
        report = audit_trail.verify_against(database, depth.kept_elsewhere, public_key=key)
        if report.first_bad is not None:
            told = f"against the checkpoints kept elsewhere: {report.first_bad.problem}"
            yield Finding(Kind.CHECKPOINT_CONTRADICTED, _entry_name(report.first_bad.sequence), told)


def _put_back(stores: Stores) -> Iterator[Finding]:
    """The keystore notes how far the rows had come (``high_water``)."""
    noted = stores.keystore.high_water()
    if noted is None:
        return
    with stores.database.read() as connection:
        is_there = audit_trail.leaf_at(connection, noted.entries - 1) == noted.leaf
    if not is_there:
        told = f"the keystore has seen {noted.entries} audit entries that these rows do not hold"
        yield Finding(Kind.ROWS_PUT_BACK, "row database", told)


def _entry_name(sequence: int | None) -> str:
    return "audit log" if sequence is None else f"audit entry {sequence}"


def _lost(stores: Stores, depth: Depth, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Every message that the log says became ours has its row, or was disposed of."""
    after, seen = -1, 0
    while True:
        with stores.database.read() as connection:
            found = audit_trail.of_events(connection, depth.accepted_events, after=after, limit=PAGE)
            if not found:
                return
            named = [MessageId(entry.object) for entry in found]
            missing = sorted(set(named) - message_records.known_ids(connection, named))
            lost = [each for each in missing if not message_records.is_disposed(connection, each)]
        for message in lost:
            told = f"message {message}: accepted, not disposed of, and its row is gone"
            yield Finding(Kind.MESSAGE_GONE, message, told, message)
        after, seen = found[-1].sequence, seen + len(found)
        tell(seen)


def _messages(stores: Stores, depth: Depth, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Every message has its key, its sealed bytes, its recipients, and the work that it still waits for."""
    for page in message_pages.all_messages(stores.database, tell):
        for message in page:
            yield from _key_of(stores, message)
            yield from stores.copies.findings(message, reads_objects=depth.reads_objects)
        yield from _waiting(stores, page)


def _key_of(stores: Stores, message: MessageId) -> Iterator[Finding]:
    """Without a key the row is looked at once more: the message may be disposed of at this moment."""
    if stores.keystore.has_key(message):
        try:
            stores.prove_key(message)
        except (DestroyedError, NotFoundError):
            return
        except StrongroomError as error:
            yield Finding(Kind.KEY_ALTERED, message, f"message {message}: {error.message}", message)
        return
    if _stored(stores, message) is None or stores.is_dying(message):
        return
    if stores.keystore.is_destroyed(message):
        told = f"message {message}: its key was destroyed, and it is still here"
        yield Finding(Kind.KEY_DESTROYED, message, told, message)
    else:
        yield Finding(Kind.KEY_MISSING, message, f"message {message}: its key is not there", message)


def _stored(stores: Stores, message: MessageId) -> StoredMessage | None:
    try:
        with stores.database.read() as connection:
            return message_records.stored(connection, message)
    except (NotFoundError, DestroyedError, TamperedError):
        return None


def _waiting(stores: Stores, messages: Sequence[MessageId]) -> Iterator[Finding]:
    """Rows and work of one moment: both change in one transaction, so no look falls in between."""
    with stores.database.read() as connection:
        known = message_records.known_ids(connection, messages)
        addressed = message_pages.addressed(connection, messages)
        spooled = message_pages.only_in_spool(connection, messages)
        queued = outbox.work_on(connection, messages, (outbox.Kind.PROMOTE, *SENDING))
        unsent = message_pages.recipients_in(connection, messages, WAITING)
    for message in sorted(known - addressed):
        told = f"message {message}: it has no recipients"
        yield Finding(Kind.MESSAGE_WITHOUT_RECIPIENTS, message, told, message)
    for message in sorted(spooled - {message for kind, message, _ in queued if kind is outbox.Kind.PROMOTE}):
        told = f"message {message}: nothing brings it to the object store"
        yield Finding(Kind.PROMOTION_NOT_QUEUED, message, told, message)
    sent = {(message, position) for kind, message, position in queued if kind in SENDING}
    for message, position, route in unsent:
        if route is not Route.MAILBOX and (message, position) not in sent:
            told = f"message {message}: recipient {position} waits for a copy that nothing sends"
            yield Finding(Kind.DELIVERY_NOT_QUEUED, message, told, message, position)


def _keys(stores: Stores, now: datetime, tell: Callable[[int], None]) -> Iterator[Finding]:
    """No key without a row, and none of a message that was disposed of."""
    unexplained: list[MessageId] = []
    more = seen = 0
    for page in pages(stores.keystore.messages_keyed_before(now - ORPHAN_AGE)):
        with stores.database.read() as connection:
            orphans = sorted(set(page) - message_records.known_ids(connection, page))
            back = [message for message in orphans if message_records.is_disposed(connection, message)]
        for message in back:
            told = f"the key of disposed message {message} is back"
            yield Finding(Kind.DISPOSED_KEY_BACK, message, told, message)
        left = [message for message in orphans if message not in back]
        room = ORPHANS_EXPLAINED - len(unexplained)
        unexplained, more = unexplained + left[:room], more + len(left[room:])
        seen += len(page)
        tell(seen)
    yield from _orphans(unexplained, more)


def _orphans(unexplained: Sequence[MessageId], more: int) -> Iterator[Finding]:
    if more:
        number = len(unexplained) + more
        told = f"{number} keys have no message, more than a crash leaves behind: rows were lost or put back"
        yield Finding(Kind.KEYS_WITHOUT_MESSAGES, "keystore", told)
        return
    for message in unexplained:
        yield Finding(Kind.KEY_WITHOUT_MESSAGE, message, f"a key without a message: {message}", message)


def _tombstones(stores: Stores, tell: Callable[[int], None]) -> Iterator[Finding]:
    """What the rows say was disposed of has the keystore's mark of destruction."""
    for page in message_pages.all_disposed(stores.database, tell):
        for message in page:
            if not stores.keystore.is_destroyed(message):
                told = f"the keystore's mark of destruction of message {message} is gone"
                yield Finding(Kind.DESTRUCTION_MARK_MISSING, message, told, message)


def _parts(stores: Stores, depth: Depth, tell: Callable[[int], None]) -> Iterator[Finding]:
    """Every shared part is counted as often as it is needed, has its key, and its object is whole."""
    with stores.database.read() as connection:
        for problem in stores.miscounted_parts(connection):
            yield Finding(Kind.PART_MISCOUNTED, "shared parts", problem)
    for page in message_pages.walked(stores.database, _parts_beyond, start="", place=attrgetter("id"), tell=tell):
        for part in page:
            yield from _part_key(stores, part)
            if depth.reads_objects:
                yield from stores.copies.part_findings(part)


def _parts_beyond(connection: Connection, after: str) -> list[SharedPart]:
    return part_records.page(connection, after=after, limit=PAGE)


def _part_key(stores: Stores, part: SharedPart) -> Iterator[Finding]:
    """The row is looked at once more: the part may be dying at this moment."""
    try:
        stores.prove_key(MessageId(part.id))
    except StrongroomError as error:
        with stores.database.read() as connection:
            is_there = bool(message_records.known_ids(connection, [MessageId(part.id)]))
        if is_there and part.uses:
            yield Finding(Kind.PART_KEY_BAD, part.id, f"shared part {part.id}: {error.message}")


def _dictionaries(stores: Stores) -> Iterator[Finding]:
    with stores.database.read() as connection:
        needed = message_pages.dictionaries_needed(connection)
    for number in needed:
        try:
            stores.prove_dictionary(number)
        except StrongroomError as error:
            told = f"dictionary {number} of the mail: {error.message}"
            yield Finding(Kind.DICTIONARY_BAD, f"dictionary-{number}", told)


def _objects(stores: Stores, depth: Depth, tell: Callable[[int], None]) -> Iterator[Finding]:
    """No object without a row. One that is being promoted has its row soon."""
    seen = 0
    suspects: list[str] = []
    for names in pages(stores.objects.names()):
        suspects += _without_row(stores, names)[: SUSPECTS_KEPT - len(suspects)]
        seen += len(names)
        tell(seen)
    if suspects:
        time.sleep(depth.settle_seconds)
    for names in pages(suspects):
        for name in _without_row(stores, names):
            if stores.objects.exists(name):
                yield Finding(Kind.OBJECT_WITHOUT_MESSAGE, name, f"an object without a message: {name}")


def _without_row(stores: Stores, names: Sequence[str]) -> list[str]:
    with stores.database.read() as connection:
        known = message_records.known_objects(connection, names)
    return sorted(set(names) - known)


def _segments(stores: Stores, now: datetime) -> Iterator[Finding]:
    """Closed first, rows second: a closed segment gets no new rows, an open one may.

    One that was still written to, or erased in, a moment ago is released by the worker's next round.
    """
    settled = (now - ORPHAN_AGE).timestamp()
    there = spool.segments(stores.spool_directory)
    closed = [name for name in there if _is_closed(stores, name) and _changed_at(stores, name) <= settled]
    with stores.database.read() as connection:
        needed = set(message_records.segments_named(connection))
    for name in sorted(set(closed) - needed):
        yield Finding(Kind.SEGMENT_WITHOUT_MESSAGE, name, f"a finished spool segment without a message: {name}")


def _changed_at(stores: Stores, name: str) -> float:
    """When a segment was last written to; a released one was so for ever."""
    try:
        return (stores.spool_directory / name).stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _is_closed(stores: Stores, name: str) -> bool:
    try:
        return spool.is_closed(stores.spool_directory, name)
    except NotFoundError:
        return False
