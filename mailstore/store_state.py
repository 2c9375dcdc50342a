"""How the object store does, and how much mail waits for it: asked of the store itself and of the rows, now.

Nothing is remembered between two looks, so that a command sees the same whether ``serve`` runs or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from mailstore import audit_trail, message_records, outbox
from mailstore.database import Database
from mailstore.errors import StrongroomError
from mailstore.object_layout import NEVER_THERE
from mailstore.object_store import ObjectStore
from mailstore.outbox import Kind
from mailstore.spool_gauge import SpoolGauge
from mailstore.spool_release import LOST_EVENT

SLOW_SECONDS = 2.0
LOSS_IS_NEWS = timedelta(days=7)

_IN_THE_LOG = "look into log/worker.log; it is tried again by itself"
_MAKE_ROOM = "mend the object store, or raise spool.cap_bytes if the disk has room"
_FIND_OUT = "find out what happened to the object store before it loses more"


class StoreState(StrEnum):
    """OK: works. DEGRADED: works, and something is not as it should be. DOWN: does not answer us."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class StoreReport:
    """``problem`` and ``fix`` in plain words, empty when all is well. ``oldest``: when the oldest waiting mail came."""

    state: StoreState
    problem: str
    fix: str
    spooled: int
    promoted: int
    oldest: datetime | None
    spool_bytes: int
    cap_bytes: int


@dataclass(frozen=True)
class _Trouble:
    state: StoreState
    problem: str
    fix: str


_WELL = _Trouble(StoreState.OK, "", "")


def look(
    database: Database,
    objects: ObjectStore,
    gauge: SpoolGauge,
    *,
    now: datetime,
    seconds: Callable[[], float] = time.monotonic,
) -> StoreReport:
    """Ask the store and the rows. Raises ``StorageUnavailableError`` for rows or spool, never for the store."""
    with database.read() as connection:
        spooled = message_records.spooled(connection)
        total = message_records.count(connection)
        known = _troubles_recorded(connection, now)
    troubles = [*_troubles_of(objects, seconds), *known, *_troubles_of_spool(gauge)]
    found = next((each for each in troubles if each.state is StoreState.DOWN), (troubles or [_WELL])[0])
    return StoreReport(
        state=found.state,
        problem=found.problem,
        fix=found.fix,
        spooled=spooled.count,
        promoted=total - spooled.count,
        oldest=spooled.oldest,
        spool_bytes=gauge.used_bytes(),
        cap_bytes=gauge.cap_bytes,
    )


def _troubles_of(objects: ObjectStore, seconds: Callable[[], float]) -> list[_Trouble]:
    """What shows itself when one small thing is asked: reachable, our credentials good, quick."""
    begun = seconds()
    try:
        objects.exists(NEVER_THERE)
    except StrongroomError as error:
        return [_Trouble(StoreState.DOWN, error.message, error.fix or _IN_THE_LOG)]
    took = seconds() - begun
    if took < SLOW_SECONDS:
        return []
    told = f"the object store took {took:.1f} s for one small question"
    return [_Trouble(StoreState.DEGRADED, told, "look at the network and at the load of the object store")]


def _troubles_recorded(connection: Connection, now: datetime) -> list[_Trouble]:
    found = []
    put_off = {why: count for (kind, why), count in outbox.postponed(connection).items() if kind is Kind.PROMOTE}
    if put_off:
        told = f"{sum(put_off.values())} messages could not be put into it ({', '.join(sorted(put_off))})"
        found.append(_Trouble(StoreState.DEGRADED, told, _IN_THE_LOG))
    if lost := sum(entry.at > now - LOSS_IS_NEWS for entry in audit_trail.of_events(connection, [LOST_EVENT])):
        told = f"it lost {lost} objects within a week that it had acknowledged; all were put again from the spool"
        found.append(
            _Trouble(StoreState.DEGRADED, told, "find out what happened to the object store before it loses more")
        )
    return found


def _troubles_of_spool(gauge: SpoolGauge) -> list[_Trouble]:
    if not gauge.has_room():
        told = "the spool is full: mail is put off"
        return [
            _Trouble(StoreState.DEGRADED, told, "mend the object store, or raise spool.cap_bytes if the disk has room")
        ]
    if gauge.is_pressed():
        told = f"the spool is {gauge.used_bytes() * 100 // gauge.cap_bytes} % full; at 100 % mail is put off"
        return [
            _Trouble(StoreState.DEGRADED, told, "mend the object store, or raise spool.cap_bytes if the disk has room")
        ]
    return []
