"""Duties of the worker's clock outlive whatever one of their turns dies of."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta

import pytest

from appliance.roles import worker


@pytest.mark.parametrize("error", [ValueError("a typo in a record of somebody else"), OSError(5, "Input/output error")])
def test_duty_goes_on_after_an_error_that_nobody_expected(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []
    went_on = threading.Event()

    def duty() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise error
        went_on.set()

    async def some_turns() -> None:
        going = asyncio.create_task(worker._every(timedelta(milliseconds=1), duty))
        assert await asyncio.to_thread(went_on.wait, 60)
        going.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(some_turns())
    assert [record.message for record in caplog.records] == ["duty failed"]
