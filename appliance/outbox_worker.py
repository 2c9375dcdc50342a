"""Does the follow-up work that was committed with its cause, item by item, until told to stop.

An item is never dropped for a fault of ours: it is put off with a growing pause and stays visible to ``doctor``.
When the object store as a whole is down, the kind of work that needs it rests, and no other. While mail pours in,
batches wait a moment (``giving_way``); mail on its way to others does not. The work itself must stand being done twice
(``mailstore.outbox``), and several workers may share one database, each under a name of its own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.giving_way import GivingWay
from mailstore import message_records, outbox
from mailstore.database import Database
from mailstore.errors import DestroyedError, ObjectStoreDownError, StrongroomError
from mailstore.failpoint import reached
from mailstore.message import MessageId
from mailstore.outbox import Kind, OutboxItem
from mailstore.wall_clock import Clock

logger = logging.getLogger(__name__)

FAULT = "fault."
"""Begins the word that says why an item was put off, when the fault was ours."""

Batch = Callable[[Sequence[MessageId]], None]
"""Work on whole messages, done in a thread. Returning means done; the items are finished here."""

Errand = Callable[[Sequence[OutboxItem]], Awaitable[None]]
"""Work on recipients of one message, which finishes or postpones its items itself."""


@dataclass(frozen=True)
class BatchWork:
    """``size`` messages at most are handed over together; one batch of a kind runs at a time.

    After a batch that was not full comes a pause of ``gather_seconds``, in which the next one gathers: what a batch
    costs is mostly its transactions, however many messages share them.
    """

    do: Batch
    size: int = 1
    gather_seconds: float = 0.0


@dataclass(frozen=True)
class ErrandWork:
    """``at_once`` messages at most are worked on at a time."""

    do: Errand
    at_once: int = 10


@dataclass(frozen=True)
class WorkerRules:
    """``lease`` must outlast the longest errand. A fault's pause doubles from the first to the longest.

    So does the rest of a kind of work while the object store is down; it is spread by a quarter either way, so that
    several workers do not come back at once.
    """

    poll_seconds: float = 0.2
    lease: timedelta = timedelta(minutes=30)
    first_pause: timedelta = timedelta(seconds=5)
    longest_pause: timedelta = timedelta(minutes=10)
    first_rest_seconds: float = 5.0
    longest_rest_seconds: float = 300.0
    look_ahead_seconds: float = 300.0
    stop_seconds: float = 20.0


class Worker:
    """One worker of a data directory; ``others`` are the names of the rest. ``run`` returns after ``stop``.

    ``seconds`` is the monotonic clock that pauses, rests and the pace of incoming mail go by.
    """

    def __init__(
        self,
        database: Database,
        work: Mapping[Kind, BatchWork | ErrandWork],
        *,
        clock: Clock,
        rules: WorkerRules | None = None,
        name: str = "worker",
        others: Collection[str] = (),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._database = database
        self._work = dict(work)
        self._clock = clock
        self._rules = rules or WorkerRules()
        self._name = name
        self._others = frozenset(others)
        self._giving_way = GivingWay()
        self._rests: dict[Kind, int] = {}
        self._running: dict[asyncio.Task[None], Kind] = {}
        self._gathers_until: dict[Kind, float] = {}
        self._woken = asyncio.Event()
        self._is_stopping = False
        self._looks_ahead_at = 0.0
        self._not_put_off: list[tuple[Sequence[OutboxItem], Exception]] = []
        self._putting_off = threading.Lock()

    async def run(self) -> None:
        """Work until stopped. Storage that fails makes a pause, never an end."""
        await self._tended(self._take_back)
        while not self._is_stopping:
            self._woken.clear()
            begun = await self._tended(self._begin_due)
            if not begun:
                await self._pause()
        await self._wind_down()

    def stop(self) -> None:
        """Begin nothing more; ``run`` returns when what is under way has ended or was broken off."""
        self._is_stopping = True
        self._woken.set()

    @property
    def is_idle(self) -> bool:
        """True when nothing is under way."""
        return not self._running

    async def _tended(self, step: Callable[[], Awaitable[int]]) -> int:
        try:
            return await step()
        except Exception:
            logger.exception("outbox unavailable")
            return 0

    async def _take_back(self) -> int:
        def take_back() -> int:
            with self._database.write() as connection:
                return outbox.take_back(connection, tuple(self._work), others=self._others)

        return await asyncio.to_thread(take_back)

    async def _begin_due(self) -> int:
        """Begin what is due as far as there is room; answers how many pieces of work were begun."""
        if self._not_put_off:
            await asyncio.to_thread(self._put_off_now)
        if self._seconds() >= self._looks_ahead_at:
            await asyncio.to_thread(self._pull_forward)
        due = await asyncio.to_thread(self._kinds_due, [kind for kind in self._work if self._room(kind)])
        begun = 0
        for kind, work in self._work.items():
            if kind not in due:
                continue
            items = await self._claimed(kind)
            self._gather(kind, work, len(items))
            for group in _groups(items, work):
                self._begin(kind, work, group)
                begun += 1
        return begun

    async def _claimed(self, kind: Kind) -> list[OutboxItem]:
        return await asyncio.to_thread(
            outbox.claim,
            self._database,
            [kind],
            now=self._clock.now(),
            limit=self._room(kind),
            lease=self._rules.lease,
            worker=self._name,
        )

    def _gather(self, kind: Kind, work: BatchWork | ErrandWork, begun: int) -> None:
        if isinstance(work, BatchWork) and 0 < begun < work.size:
            self._gathers_until[kind] = self._seconds() + work.gather_seconds

    def _pull_forward(self) -> None:
        """Free what was written while the clock stood ahead."""
        with self._database.write() as connection:
            pulled = outbox.pull_forward(connection, tuple(self._work), now=self._clock.now())
        self._looks_ahead_at = self._seconds() + self._rules.look_ahead_seconds
        if pulled:
            logger.warning("outbox work of a time to come made due", extra={"items": pulled})

    def _room(self, kind: Kind) -> int:
        """How many more messages may be begun now, of this kind of work."""
        if self._seconds() < self._gathers_until.get(kind, 0.0):
            return 0
        work, running = self._work[kind], sum(1 for other in self._running.values() if other is kind)
        return max(work.at_once - running, 0) if isinstance(work, ErrandWork) else work.size * (not running)

    def _kinds_due(self, kinds: Collection[Kind]) -> set[Kind]:
        with self._database.read() as connection:
            came = message_records.came_so_far(connection)
            due = outbox.kinds_due(connection, kinds, now=self._clock.now())
        if self._giving_way.stands_back(came, at=self._seconds()):
            return {kind for kind in due if isinstance(self._work[kind], ErrandWork)}
        return due

    def _begin(self, kind: Kind, work: BatchWork | ErrandWork, items: Sequence[OutboxItem]) -> None:
        doing = self._errand(work, items) if isinstance(work, ErrandWork) else self._batch(work, items)
        task = asyncio.create_task(doing)
        self._running[task] = kind
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._woken.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error("outbox work broke off", exc_info=task.exception())

    async def _errand(self, work: ErrandWork, items: Sequence[OutboxItem]) -> None:
        try:
            await work.do(items)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the items stay and the worker goes on
            await asyncio.to_thread(self._put_off, items, error)

    async def _batch(self, work: BatchWork, items: Sequence[OutboxItem]) -> None:
        await asyncio.to_thread(self._do_batch, work, items)

    def _do_batch(self, work: BatchWork, items: Sequence[OutboxItem]) -> None:
        """A batch that fails is done one by one, so that one message cannot hold up the others."""
        try:
            work.do([item.message for item in items if item.message is not None])
        except ObjectStoreDownError as error:
            self._rest(items, error)
            return
        except DestroyedError:
            if len(items) == 1:
                self._finish(items)
                return
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the items stay and the worker goes on
            if len(items) == 1:
                self._put_off(items, error)
                return
        else:
            reached("outbox.after_work")
            self._finish(items)
            return
        for item in items:
            self._do_batch(work, [item])

    def _rest(self, items: Sequence[OutboxItem], error: ObjectStoreDownError) -> None:
        """Ask nothing more of a store that is down for a while. The items are told apart by the pause they get."""
        kind = items[0].kind
        rests = self._rests.get(kind, 0)
        rest = min(self._rules.first_rest_seconds * (1 << min(rests, 16)), self._rules.longest_rest_seconds)
        self._rests[kind] = rests + 1
        self._gathers_until[kind] = self._seconds() + rest * (0.75 + secrets.randbelow(501) / 1000)
        extra = {"kind": kind.value, "items": len(items), "code": error.code, "problem": error.message}
        logger.error("object store down", extra={**extra, "rest_seconds": round(rest)})
        self._note_pauses(items, error)

    def _finish(self, items: Sequence[OutboxItem]) -> None:
        self._rests.pop(items[0].kind, None)
        with self._database.write() as connection:
            outbox.finish_many(connection, items)
        reached("outbox.after_finishing")

    def _put_off(self, items: Sequence[OutboxItem], error: Exception) -> None:
        code = _code(error)
        for item in items:
            extra = {"message_id": item.message, "kind": item.kind.value, "code": code, "attempts": item.attempts}
            logger.error("outbox work failed", extra=extra, exc_info=error)
        self._note_pauses(items, error)

    def _note_pauses(self, items: Sequence[OutboxItem], error: Exception) -> None:
        with self._putting_off:
            self._not_put_off.append((items, error))
        self._put_off_now()

    def _put_off_now(self) -> None:
        """Write down the pauses. When the rows cannot be written either, the next round tries it again."""
        with self._putting_off:
            now = self._clock.now()
            with self._database.write() as connection:
                for items, error in self._not_put_off:
                    for item in items:
                        why = f"{FAULT}{_code(error)}"
                        outbox.postpone(connection, item, self._pause_until(item, now), why)
            self._not_put_off = []

    def _pause_until(self, item: OutboxItem, now: datetime) -> datetime:
        doublings = min(item.attempts, 16)
        return now + min(self._rules.first_pause * (1 << doublings), self._rules.longest_pause)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._rules.poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _wind_down(self) -> None:
        """Let what is under way end; break off what takes too long, whose items are free again at the next start."""
        if not self._running:
            return
        _, late = await asyncio.wait(tuple(self._running), timeout=self._rules.stop_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _code(error: Exception) -> str:
    return error.code if isinstance(error, StrongroomError) else "internal"


def _groups(items: Sequence[OutboxItem], work: BatchWork | ErrandWork) -> list[tuple[OutboxItem, ...]]:
    """What is handed over together: a batch whole, errands message by message."""
    if isinstance(work, BatchWork):
        return [tuple(items)] if items else []
    by_message: dict[MessageId | None, list[OutboxItem]] = {}
    for item in items:
        by_message.setdefault(item.message, []).append(item)
    return [tuple(group) for group in by_message.values()]
