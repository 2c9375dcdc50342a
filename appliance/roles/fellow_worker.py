"""A further worker: what follows a message, beside the first worker, who alone writes the index and has the duties.

Each claims its work under a name of its own; the supervisor sees to it that there is one process of each name.
"""

from __future__ import annotations

import asyncio
import signal

from appliance import archive_wiring, delivery_wiring, store_wiring, wiring
from appliance.front_door_wiring import FrontDoorParts
from appliance.outbox_worker import Worker
from appliance.role_life import Station
from appliance.roles import worker
from appliance.wiring import Appliance
from mailstore.outbox import Kind


def work(station: Station) -> None:
    """Work until SIGTERM; what is under way ends or is taken up again at the next start."""
    worker.step_back()
    with wiring.in_role(station) as appliance, appliance.front_door() as front:
        asyncio.run(_run(appliance, front, station))


async def _run(appliance: Appliance, front: FrontDoorParts, station: Station) -> None:
    fellow = _fellow(appliance, front, station.name)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, fellow.stop)
    station.when_ready()
    await fellow.run()


def _fellow(appliance: Appliance, front: FrontDoorParts, name: str) -> Worker:
    promotion, intake = store_wiring.promotion(appliance), archive_wiring.intake(appliance)
    guarding = archive_wiring.desk(appliance).guarding
    kinds = {**worker.kinds_of(promotion, intake, guarding), **delivery_wiring.outbound(appliance, front).work()}
    del kinds[Kind.INDEX]
    others = worker.names(appliance.settings) - {name}
    return Worker(appliance.database, kinds, clock=appliance.clock, name=name, others=others)
