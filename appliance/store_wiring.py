"""Puts together what stands between the spool and the object store, from an open appliance: for the worker."""

from __future__ import annotations

from datetime import timedelta

from appliance import object_store_wiring, workplace_wiring
from appliance.front_door_wiring import RANDOMNESS
from appliance.wiring import Appliance
from appliance.workplace import WorksElsewhereError
from mailstore import store_state
from mailstore.dictionary_training import DictionaryTraining
from mailstore.high_water import HighWaterMark
from mailstore.orphan_sweep import OrphanSweep
from mailstore.part_records import PartLinks
from mailstore.promotion import Promotion
from mailstore.repacking import Repacking
from mailstore.spool_gauge import SpoolGauge
from mailstore.spool_release import SpoolRelease
from mailstore.store_state import StoreReport


def promotion(appliance: Appliance) -> Promotion:
    """What puts messages into the object store."""
    repack = Repacking.over(
        appliance.database,
        appliance.keystore,
        appliance.objects,
        appliance.message_keys,
        archive_key=appliance.ring.archive_key,
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


def dictionary_training(appliance: Appliance) -> DictionaryTraining:
    """What keeps a dictionary that fits the mail."""
    return DictionaryTraining(
        appliance.database,
        appliance.keystore,
        appliance.retrieval,
        appliance.message_keys,
        clock=appliance.clock,
        randomness=RANDOMNESS,
    )


def release(appliance: Appliance) -> SpoolRelease:
    """What lets go of the spool behind them."""
    return SpoolRelease(
        appliance.database,
        appliance.keystore,
        appliance.data.spool,
        appliance.objects,
        links=PartLinks(appliance.ring.archive_key, RANDOMNESS),
        clock=appliance.clock,
        dwell=dwell(appliance),
        is_pressed=gauge(appliance).is_pressed,
    )


def orphan_sweep(appliance: Appliance) -> OrphanSweep:
    """What clears away the left-overs of a crash."""
    return OrphanSweep(appliance.database, appliance.keystore, appliance.objects, clock=appliance.clock)


def high_water_mark(appliance: Appliance) -> HighWaterMark:
    """What notices rows that were put back."""
    return HighWaterMark(appliance.database, appliance.keystore)


def dwell(appliance: Appliance) -> timedelta:
    """How long a promoted message stays in the spool too: a second copy on the same disk would prove nothing."""
    if not appliance.settings.object_store.url:
        return timedelta(0)
    return timedelta(hours=appliance.settings.spool.dwell_hours)


def gauge(appliance: Appliance) -> SpoolGauge:
    """How full the spool is."""
    return SpoolGauge(appliance.data.spool, cap_bytes=appliance.settings.spool.cap_bytes)


def report(appliance: Appliance) -> StoreReport:
    """How the object store does, asked now."""
    return store_state.look(appliance.database, appliance.objects, gauge(appliance), now=appliance.clock.now())


def enforces(appliance: Appliance) -> list[str]:
    """What the object store was seen to enforce. A local disk stops nobody who may write."""
    return object_store_wiring.enforced(appliance.data, appliance.settings, now=appliance.clock.now())


def require_living(appliance: Appliance) -> None:
    """Before something is destroyed: ask the store as well whether the appliance was moved away from here.

    Raises ``WorksElsewhereError``, and ``StorageUnavailableError`` for a store that is away.
    """
    living = workplace_wiring.claim(appliance.data, appliance.settings, appliance.database, appliance.ring.row_key)
    if living is not None and (token := living.token()) and not living.is_ours(token):
        raise WorksElsewhereError(
            "the appliance was moved to another place", fix="destroy nothing from here; use the living one"
        )
