"""What the worker does while mail that a restore still owes is brought back: it goes on with it, and puts off the rest.

Duties that read all mail, or let go of a copy of it because another is there, wait until all of it is.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from appliance import restore_check, restore_rest
from appliance.wiring import Appliance
from mailstore.errors import StrongroomError

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS: Final = 20.0
"""How soon it is gone on with when whoever did it until now was cut off, or the target did not answer."""


def when_whole(appliance: Appliance, duty: Callable[[], None]) -> Callable[[], None]:
    """The duty, put off while mail is brought back."""

    def do() -> None:
        if not appliance.data.restore_plan.exists():
            duty()

    return do


async def until_whole(appliance: Appliance, then: Callable[[], None], *, stopping: threading.Event) -> None:
    """Bring back what is still to come, and do ``then`` once all is there; nothing where nothing was to come.

    Last of all comes the look at everything, where the restore put it off.
    """
    if appliance.data.restore_plan.exists():
        await _bring_back(appliance, then, stopping)
    await asyncio.to_thread(_check, appliance, stopping)


async def _bring_back(appliance: Appliance, then: Callable[[], None], stopping: threading.Event) -> None:
    while not await asyncio.to_thread(_is_whole, appliance, stopping):  # noqa: ASYNC110 - it is tried again, not waited for
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    logger.info("restored mail is whole")
    await asyncio.to_thread(then)


def _check(appliance: Appliance, stopping: threading.Event) -> None:
    try:
        restore_check.make(appliance, should_stop=stopping.is_set)
    except StrongroomError:
        logger.exception("restored mail was not checked to the end; the next start does it")


def _is_whole(appliance: Appliance, stopping: threading.Event) -> bool:
    try:
        return restore_rest.go_on(appliance, should_stop=stopping.is_set)
    except StrongroomError:
        logger.exception("restored mail is not brought back")
        return False
