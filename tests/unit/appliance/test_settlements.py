from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from appliance.settlements import Settlements

PROMISES = 300


def test_everybody_hears_however_many_threads_settle_at_once() -> None:
    async def hear() -> list[int]:
        settlements = Settlements()
        begun: list[Future[int]] = [Future() for _ in range(PROMISES)]
        threads = [threading.Thread(target=settle, args=(begun[part::4],)) for part in range(4)]
        waiting = [asyncio.create_task(settlements.of(each)) for each in begun]
        await asyncio.sleep(0)
        for thread in threads:
            thread.start()
        async with asyncio.timeout(20):
            return await asyncio.gather(*waiting)

    def settle(futures: list[Future[int]]) -> None:
        for future in futures:
            future.set_result(1)

    assert sum(asyncio.run(hear())) == PROMISES


def test_what_was_settled_before_anybody_waited_is_heard() -> None:
    settled: Future[str] = Future()
    settled.set_result("stored")
    assert asyncio.run(Settlements().of(settled)) == "stored"


def test_failure_reaches_the_one_who_waits() -> None:
    failed: Future[str] = Future()
    failed.set_exception(OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        asyncio.run(Settlements().of(failed))


def test_one_who_gave_up_waiting_does_not_stop_what_was_begun() -> None:
    async def give_up() -> Future[str]:
        begun: Future[str] = Future()
        waiting = asyncio.create_task(Settlements().of(begun))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        begun.set_result("stored")
        await asyncio.sleep(0)
        return begun

    assert asyncio.run(give_up()).result() == "stored"
