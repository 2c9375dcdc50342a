"""Puts together what follows an unsealing: the drain of the sealed spool, the door list, and what is told of tries."""

from __future__ import annotations

from collections.abc import Callable

from appliance import alert_wiring
from appliance.drain_progress import DrainProgress
from appliance.front_door_wiring import FrontDoorParts
from appliance.sealed_drain import SealedDrain
from appliance.unseal_report import UnsealReport
from appliance.unseal_tries import UnsealTries
from appliance.wiring import Appliance
from mailstore.addresses import Address
from mailstore.sealed_spool import SealedSegments


def drain(appliance: Appliance, front: FrontDoorParts, *, should_stop: Callable[[], bool]) -> SealedDrain:
    """The drain of the sealed spool, through this process's front door."""
    return SealedDrain(
        segments=SealedSegments(appliance.data.sealed_spool, appliance.opener),
        acceptance=front.acceptance,
        directory=front.directory,
        database=appliance.database,
        progress=DrainProgress(appliance.data.drain_progress),
        clock=appliance.clock,
        postmaster=_postmaster(appliance),
        should_stop=should_stop,
    )


def report(appliance: Appliance, front: FrontDoorParts) -> UnsealReport:
    """What is told of tries at unsealing."""
    return UnsealReport(
        tries=UnsealTries(appliance.data.unseal_tries, appliance.clock),
        database=appliance.database,
        mail=alert_wiring.mail(appliance, front),
        clock=appliance.clock,
    )


def _postmaster(appliance: Appliance) -> Address:
    return Address("postmaster", appliance.settings.practice.domain)
