"""Clears away what a crash left of mail that nobody was promised: objects and keys without a row.

The store is looked through letter by letter and the keystore in the order of ids, a page at a time, so that memory
stays flat; a ``part`` of them at each run, so that a large practice's day holds one full round. When the rows were put
back to an older state, nothing is cleared away (``high_water``): it may be the mail that came since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from mailstore import message_records
from mailstore.database import Database
from mailstore.failpoint import reached
from mailstore.high_water import HighWaterMark
from mailstore.keystore import BEYOND_ALL_IDS, Keystore
from mailstore.message import MessageId
from mailstore.object_layout import BEGINNINGS
from mailstore.object_store import ObjectStore
from mailstore.wall_clock import Clock

ORPHAN_AGE = timedelta(hours=1)
"""What has no row for this long was left by a crash: a promotion or a deposit takes seconds."""

ORPHANS_EXPLAINED = 256
"""More keys without rows than crashes leave (64 each): rather a row database from an old backup. Touch nothing."""

_SUSPECTS_KEPT = 10_000

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Swept:
    """What a sweep removed. ``unexplained_keys``: keys without rows, too many to be a crash's, left as they are.

    ``rows_are_older``: the rows were put back to an older state, so nothing at all was removed.
    """

    objects: int = 0
    keys: int = 0
    unexplained_keys: int = 0
    rows_are_older: bool = False


class OrphanSweep:
    """Remembers from one run to the next which objects had no row. Of one worker; safe beside promotions."""

    def __init__(self, database: Database, keystore: Keystore, objects: ObjectStore, *, clock: Clock) -> None:
        self._database = database
        self._keystore = keystore
        self._objects = objects
        self._clock = clock
        self._water = HighWaterMark(database, keystore)
        self._suspects: dict[str, datetime] = {}

    def run(self, *, part: int = 0, of: int = 1) -> Swept:
        """Sweep one part of so many, which are at most as many as there are ``BEGINNINGS``.

        An object goes when it had no row in two looks an hour apart: at the first one its promotion may be under
        way. A key goes when it is older than an hour; depositing checks its keys in the transaction that writes
        the rows, and this one holds that lock, so that no message comes to rest on a swept key.
        """
        if not self._water.keep():
            return Swept(rows_are_older=True)
        first, end = len(BEGINNINGS) * part // of, len(BEGINNINGS) * (part + 1) // of
        swept = BEGINNINGS[first:end]
        objects = sum(self._sweep_objects(beginning) for beginning in swept)
        until = BEGINNINGS[end] if end < len(BEGINNINGS) else BEYOND_ALL_IDS
        keys, unexplained = self._sweep_keys(swept[0], until)
        return Swept(objects, keys, unexplained)

    def _sweep_objects(self, beginning: str) -> int:
        now = self._clock.now()
        seen = {name: self._suspects.pop(name, now) for name in self._without_row(beginning)}
        left_over = [name for name, since in seen.items() if now - since >= ORPHAN_AGE]
        for name in left_over:
            self._objects.delete(name)
            reached("orphan_sweep.after_object")
        waiting = {name: since for name, since in seen.items() if name not in set(left_over)}
        room = _SUSPECTS_KEPT - len(self._suspects)
        self._suspects.update(islice(waiting.items(), max(0, room)))
        return len(left_over)

    def _without_row(self, beginning: str) -> Iterator[str]:
        for names in _pages(self._objects.names(beginning)):
            with self._database.read() as connection:
                known = message_records.known_objects(connection, names)
            yield from (name for name in names if name not in known)

    def _sweep_keys(self, since: str, until: str) -> tuple[int, int]:
        before = self._clock.now() - ORPHAN_AGE
        orphans: list[MessageId] = []
        for page in _pages(self._keystore.messages_keyed_before(before, since=since, until=until)):
            orphans += self._rowless(page)
        if len(orphans) > ORPHANS_EXPLAINED:
            return 0, len(orphans)
        return (self._keys_destroyed(orphans), 0) if orphans else (0, 0)

    def _rowless(self, messages: Sequence[MessageId]) -> list[MessageId]:
        with self._database.read() as connection:
            known = message_records.known_ids(connection, messages)
        return [message for message in messages if message not in known]

    def _keys_destroyed(self, orphans: Sequence[MessageId]) -> int:
        with self._database.write() as connection:
            known = message_records.known_ids(connection, orphans)
            dying = [message for message in orphans if message not in known]
            self._keystore.destroy(dying, at=self._clock.now())
        reached("orphan_sweep.after_keys")
        return len(dying)


def _pages(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    iterator = iter(things)
    while page := list(islice(iterator, message_records.AT_ONCE)):
        yield page
