"""Takes in what came while the appliance was sealed: through the ordinary front door, in order, each message once.

1. Wait until nobody writes to a segment any more: the sealed smtp roles end when the appliance is opened.
2. Of each series go on behind what is ours already (``mailstore.sealed_series``), all of them by time of receipt.
3. Up to 64 messages at a time: to the front door with their own time of receipt, then wait until they are durable.
4. A segment whose messages are all ours is overwritten and removed; one with a group that does not open is set aside,
   and what is missing of its series is kept in mind: it is taken in when it opens later.

A crash at any step is taken up by running again. What the front door refuses now is not lost: its recipients who are
unknown meanwhile are replaced by the caretaker, and a message that cannot be taken in even so is kept where it is.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from appliance.acceptance import Acceptance
from appliance.delivery_plan import Place
from appliance.directory import Directory
from appliance.drain_progress import Drained, DrainProgress
from mailstore import audit_trail, sealed_series
from mailstore.actor import SYSTEM
from mailstore.addresses import Address
from mailstore.arrival_group import GroupHead
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import LimitExceededError, StorageUnavailableError, TamperedError, WrongKeyError
from mailstore.failpoint import reached
from mailstore.message import MessageId, ReceivedMessage
from mailstore.sealed_series import Arrival, Taken
from mailstore.sealed_spool import SealedGroup, SealedSegments
from mailstore.spool import Place as SpoolPlace
from mailstore.wall_clock import Clock
from portal.front_door import Refused

logger = logging.getLogger(__name__)

AT_ONCE: Final = 64
AT_ONCE_BYTES: Final = 16 * 1024 * 1024
LOOK_SECONDS: Final = 0.1
OBJECT: Final = "sealed_spool"


class StoppedError(StorageUnavailableError):
    """Told to end before all was drained."""

    code = "stopped"


@dataclass(frozen=True)
class _Waiting:
    """A message that is to be taken in."""

    arrival: Arrival
    received: ReceivedMessage = field(repr=False)


@dataclass(frozen=True)
class _Finished:
    """Behind the last message of a segment. ``is_damaged``: some group in it does not open."""

    segment: str
    is_damaged: bool


@dataclass(frozen=True)
class _Gap:
    """The messages of a series up to ``until`` are not to be had."""

    series: str
    until: int


_Step = tuple[datetime, _Waiting | _Finished | _Gap]
"""With the time by which the series are merged."""


@dataclass
class _Segment:
    """A segment, where its groups lie, and what its first and its last say about their series.

    ``is_damaged``: it holds what may have been a group as well.
    """

    name: str
    places: list[tuple[SpoolPlace, GroupHead]]
    is_damaged: bool
    series: str = ""
    before: int = 0
    after: int = 0


@dataclass
class SealedDrain:
    """Drains one sealed spool. For one thread of one process."""

    segments: SealedSegments
    acceptance: Acceptance
    directory: Directory
    database: Database
    progress: DrainProgress
    clock: Clock
    postmaster: Address
    should_stop: Callable[[], bool]
    _done: int = 0
    _of: int = 0
    _damaged: int = 0

    def run(self) -> Drained:
        """Drain all that waits; answers how much that was.

        Raises ``SpoolFullError`` when nothing can be taken in for now, any other ``StorageUnavailableError`` likewise,
        and ``StoppedError``. Run it again then.
        """
        self._done = self._of = self._damaged = 0
        self._until_closed()
        by_series = self._by_series()
        self._of = sum(self._left(series, segments) for series, segments in by_series.items())
        self._tell()
        self._take_in(by_series)
        drained = Drained(self._done, self._of, is_over=True)
        self.progress.tell(drained)
        if self._done or self._damaged:
            self._note("sealed_spool.drained", {"messages": self._done, "damaged_segments": self._damaged})
        return drained

    def _until_closed(self) -> None:
        while not all(map(self.segments.is_closed, self.segments.names())):
            self._stop_when_told()
            time.sleep(LOOK_SECONDS)

    def _by_series(self) -> Mapping[str, list[_Segment]]:
        """The segments of each series in their order. One that holds no group that opens is cleared away."""
        found: dict[str, list[_Segment]] = {}
        for name in self.segments.names():
            self._stop_when_told()
            places = self.segments.places(name)
            segment = _Segment(name, places, self.segments.holds_more(name, places))
            first, last = self._first_of(places), self._first_of(places[::-1])
            if first is None or last is None:
                self._clear_away(name, is_damaged=bool(places) or segment.is_damaged)
                continue
            segment.series, segment.before, segment.after = (
                first.index.standing.series,
                first.index.standing.before,
                last.after,
            )
            found.setdefault(segment.series, []).append(segment)
        for segments in found.values():
            segments.sort(key=lambda each: each.before)
        return found

    def _first_of(self, places: Iterable[tuple[SpoolPlace, GroupHead]]) -> SealedGroup | None:
        return next((group for place, head in places if (group := self._opened(place, head))), None)

    def _opened(self, place: SpoolPlace, head: GroupHead) -> SealedGroup | None:
        try:
            return self.segments.group(place, head)
        except (TamperedError, WrongKeyError):
            return None

    def _left(self, series: str, segments: Sequence[_Segment]) -> int:
        taken = self._taken(series)
        return sum(taken.lacks(each.before, each.after) for each in segments)

    def _taken(self, series: str) -> Taken:
        with self.database.read() as connection:
            return sealed_series.taken(connection, series)

    def _take_in(self, by_series: Mapping[str, list[_Segment]]) -> None:
        waiting: list[_Waiting] = []
        for _at, step in heapq.merge(
            *(self._steps(series, segments) for series, segments in by_series.items()), key=lambda step: step[0]
        ):
            self._stop_when_told()
            if isinstance(step, _Waiting):
                waiting.append(step)
                if len(waiting) < AT_ONCE and sum(len(each.received.content) for each in waiting) < AT_ONCE_BYTES:
                    continue
            self._settle(waiting)
            waiting = []
            if isinstance(step, _Finished):
                self._clear_away(step.segment, is_damaged=step.is_damaged)
            elif isinstance(step, _Gap):
                self._go_on_behind(step)
        self._settle(waiting)

    def _steps(self, series: str, segments: Sequence[_Segment]) -> Iterator[_Step]:
        """What is to be done for one series, in its order."""
        taken, at = self._taken(series), datetime.min.replace(tzinfo=UTC)
        for segment in segments:
            is_damaged = segment.is_damaged
            for place, head in segment.places:
                group = self._opened(place, head)
                if group is None or group.index.standing.series != series:
                    is_damaged = True
                    continue
                if not taken.lacks(group.index.standing.before, group.after):
                    continue
                messages = self._messages(group)
                if messages is None:
                    is_damaged = True
                    continue
                before = group.index.standing.before
                if before > taken.count:
                    taken = taken.passing_over(before)
                    yield at, _Gap(series, before)
                for number, received in enumerate(messages, before):
                    if not taken.has(number):
                        taken, at = taken.taking(number), received.received_at
                        yield at, _Waiting(Arrival(series, number), received)
            yield at, _Finished(segment.name, is_damaged)

    def _messages(self, group: SealedGroup) -> list[ReceivedMessage] | None:
        try:
            return self.segments.messages(group)
        except (TamperedError, WrongKeyError, LimitExceededError):
            return None

    def _settle(self, waiting: Sequence[_Waiting]) -> None:
        """Have these become ours, in their order; return when all are durable."""
        begun = [self._begin(each) for each in waiting]
        for each in begun:
            each.result()
        if begun:
            reached("sealed_drain.after_rows")
            self._done += len(begun)
            self._tell()

    def _begin(self, waiting: _Waiting) -> Future[MessageId]:
        begun = self.acceptance.submit(waiting.received, arrival=waiting.arrival)
        if isinstance(begun, Refused):
            begun = self.acceptance.submit(self._readdressed(waiting.received), arrival=waiting.arrival)
            self._note("sealed_spool.readdressed", {"refusal": begun.code if isinstance(begun, Refused) else "none"})
        if isinstance(begun, Refused):
            raise StorageUnavailableError(
                f"mail that came while sealed is refused: {begun.code}", fix="see that somebody reads postmaster's mail"
            )
        return begun

    def _readdressed(self, received: ReceivedMessage) -> ReceivedMessage:
        """The caretaker in the place of those who are not here any more: the sender was promised delivery."""
        ours = [each for each in received.envelope.recipients if self.directory.locate(each).place is Place.HERE]
        return replace(received, envelope=replace(received.envelope, recipients=(*ours, self.postmaster)))

    def _clear_away(self, segment: str, *, is_damaged: bool) -> None:
        if not is_damaged:
            self.segments.erase(segment)
            reached("sealed_drain.after_erase")
            return
        self._damaged += 1
        logger.error("a segment of the sealed spool is damaged", extra={"segment": segment})
        self._note("sealed_spool.damaged", {"segment": segment})
        self.segments.set_aside(segment)

    def _go_on_behind(self, gap: _Gap) -> None:
        logger.error("messages of the sealed spool are missing", extra={"series": gap.series})
        with self.database.write() as connection:
            missing = gap.until - sealed_series.taken(connection, gap.series).count
            sealed_series.pass_over(connection, gap.series, until=gap.until)
            audit_trail.append(connection, [_fact("sealed_spool.missing", {"messages": missing})], now=self.clock.now())

    def _note(self, event: str, detail: Detail) -> None:
        with self.database.write() as connection:
            audit_trail.append(connection, [_fact(event, detail)], now=self.clock.now())

    def _tell(self) -> None:
        self.progress.tell(Drained(self._done, self._of, is_over=False))

    def _stop_when_told(self) -> None:
        if self.should_stop():
            raise StoppedError("told to end")


def _fact(event: str, detail: Detail) -> AuditFact:
    return AuditFact(event=event, actor=SYSTEM.account, object=OBJECT, detail=detail)
