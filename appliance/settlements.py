"""Wakes the loop that serves the peers once for all messages that became durable together, not once for each."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Settlements:
    """What was settled in other threads and its waiters have not heard of yet. For one loop."""

    def __init__(self) -> None:
        self._settled: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()

    async def of(self, begun: Future[_Result]) -> _Result:
        """Wait for what another thread does. Giving up waiting does not stop it."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        begun.add_done_callback(partial(self._note, loop, waiter))
        await waiter
        return begun.result()

    def _note(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], _begun: Future[Any]) -> None:
        with self._lock:
            self._settled.append(waiter)
            is_first = len(self._settled) == 1
        if is_first and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            settled, self._settled = self._settled, []
        for waiter in settled:
            if not waiter.done():
                waiter.set_result(None)
