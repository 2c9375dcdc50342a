"""What any thread hands in, stored in groups by one thread: whoever waits for it hears when it is durable.

Whatever waits goes together, up to a group; under load a group forms by itself while the disk is busy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from mailstore.errors import StorageUnavailableError
from mailstore.message import MessageId

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Waiting(Generic[_Item]):
    item: _Item
    future: Future[MessageId]


class GroupWriter(Generic[_Item]):
    """Calls ``store`` in a thread of its own, never twice at a time, and tells each who waits its answer.

    ``store`` answers for each item of a group with its name, or with why it could not be stored. It raises nothing.
    ``is_full`` says that nothing more goes into a group.
    """

    def __init__(
        self,
        store: Callable[[Sequence[_Item]], Sequence[MessageId | Exception]],
        *,
        is_full: Callable[[Sequence[_Item]], bool],
        name: str,
    ) -> None:
        self._store = store
        self._is_full = is_full
        self._waiting: queue.SimpleQueue[_Waiting[_Item] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._write_groups, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: _Item) -> Future[MessageId]:
        """Have it stored. The future raises ``StorageUnavailableError`` when it could not be: nothing was promised."""
        waiting = _Waiting(item, Future())
        with self._gate:
            if self._is_closed:
                raise StorageUnavailableError("mail is no longer taken in: shutting down")
            self._waiting.put(waiting)
        return waiting.future

    def close(self) -> None:
        """Store what is waiting, then stop."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._waiting.put(None)
        self._thread.join()

    def _write_groups(self) -> None:
        while (group := self._next_group()) is not None:
            wanted = [each for each in group if each.future.set_running_or_notify_cancel()]
            if wanted:
                _settle(wanted, self._store([each.item for each in wanted]))

    def _next_group(self) -> list[_Waiting[_Item]] | None:
        first = self._waiting.get()
        if first is None:
            return None
        group, items = [first], [first.item]
        while not self._is_full(items):
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._waiting.put(None)
                break
            group.append(following)
            items.append(following.item)
        return group


def _settle(group: Sequence[_Waiting[_Item]], answers: Sequence[MessageId | Exception]) -> None:
    for each, answer in zip(group, answers, strict=True):
        if isinstance(answer, Exception):
            refusal = StorageUnavailableError("the message could not be stored", fix="See the log and doctor.")
            refusal.__cause__ = answer
            each.future.set_exception(refusal)
        else:
            each.future.set_result(answer)
