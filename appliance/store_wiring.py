"""Puts together what stands between the spool and the object store, from an open appliance: for the worker."""

from __future__ import annotations

from datetime import timedelta

from appliance import object_store_wiring
from appliance.front_door_wiring import RANDOMNESS
from appliance.wiring import Appliance
from mailstore.object_store_local import LocalObjectStore
from mailstore.orphan_sweep import OrphanSweep
from mailstore.promotion import Promotion
from mailstore.repacking import Repacking
from mailstore.spool_release import SpoolRelease


def promotion(appliance: Appliance) -> Promotion:
    """What puts messages into the object store."""
    repack = Repacking.over(
        appliance.database,
        appliance.keystore,
        appliance.objects,
        appliance.ring,
        clock=appliance.clock,
        randomness=RANDOMNESS,
    )
    return Promotion(
        appliance.database,
        appliance.data.spool,
        appliance.objects,
        clock=appliance.clock,
        randomness=RANDOMNESS,
        repack=repack,
        guard_work=object_store_wiring.guard_work(appliance.settings),
    )


def release(appliance: Appliance) -> SpoolRelease:
    """What lets go of the spool behind them."""
    return SpoolRelease(
        appliance.database,
        appliance.keystore,
        appliance.data.spool,
        appliance.objects,
        clock=appliance.clock,
        dwell=dwell(appliance),
    )


def orphan_sweep(appliance: Appliance) -> OrphanSweep:
    """What clears away the left-overs of a crash."""
    return OrphanSweep(appliance.database, appliance.keystore, appliance.objects, clock=appliance.clock)


def dwell(appliance: Appliance) -> timedelta:
    """How long a promoted message stays in the spool too: a second copy on the same disk would prove nothing."""
    if isinstance(appliance.objects, LocalObjectStore):
        return timedelta(0)
    return timedelta(hours=appliance.settings.spool.dwell_hours)
