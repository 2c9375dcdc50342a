"""What a worker does first when the appliance was opened: takes in what came while it was sealed, before all else.

The drain holds other follow-up back, so that mail is found in the order in which it came. Where it cannot go on for now
(the spool is at its cap until mail is moved into the object store, say) the rest of the work begins, and it is tried
again beside it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Final

from appliance.sealed_drain import SealedDrain, StoppedError
from mailstore.errors import StrongroomError

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 5.0


async def drained_first(drain: SealedDrain, *, stopping: threading.Event) -> asyncio.Task[None] | None:
    """Drain; answers a task that goes on with it where it could not be ended at once."""
    if await _is_over(drain) or stopping.is_set():
        return None
    return asyncio.create_task(_until_over(drain))


async def _until_over(drain: SealedDrain) -> None:
    await asyncio.sleep(AGAIN_SECONDS)
    while not await _is_over(drain):  # noqa: ASYNC110 - it is tried again, not waited for
        await asyncio.sleep(AGAIN_SECONDS)


async def _is_over(drain: SealedDrain) -> bool:
    try:
        drained = await asyncio.to_thread(drain.run)
    except StoppedError:
        return True
    except StrongroomError:
        logger.exception("the sealed spool is not drained")
        return False
    if drained.done:
        logger.info("sealed spool drained", extra={"messages": drained.done})
    return True
