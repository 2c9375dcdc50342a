"""Picks the object store: the local disk, or a server that speaks S3, whose client only then is loaded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import Settings
from mailstore import object_store_url
from mailstore.errors import StorageUnavailableError, StrongroomError
from mailstore.guard_work import GuardWork
from mailstore.object_guard import NoGuard, ObjectGuard
from mailstore.object_store import ObjectStore
from mailstore.object_store_awaited import AwaitedObjects
from mailstore.object_store_local import LocalObjectStore
from mailstore.time_witnesses import OBJECT_STORE, dated
from mailstore.trusted_time import Witness

if TYPE_CHECKING:
    from mailstore.s3_bucket import S3Bucket
    from mailstore.store_probe import Probe


def objects(data: DataDirectory, settings: Settings, row_key: bytes) -> ObjectStore:
    """Where sealed messages lie for good."""
    store = server(data, settings, row_key) if settings.object_store.url else LocalObjectStore(data.objects)
    return AwaitedObjects.over(store, data.restore_plan)


def server(data: DataDirectory, settings: Settings, row_key: bytes) -> ObjectStore:
    """The object store that the settings name. Only for an appliance whose objects lie on a server."""
    from mailstore.object_store_s3 import S3ObjectStore  # noqa: PLC0415 - half a second that a local store does not pay
    from mailstore.store_claim import StoreClaim, owner_of  # noqa: PLC0415 - as above
    from mailstore.store_probe import Enforced  # noqa: PLC0415 - as above

    store = bucket(data, settings)
    seen = remembered(data, settings)
    return S3ObjectStore(
        store,
        claim=StoreClaim(store, owner_of(row_key)),
        refuses_taken_names=seen is None or Enforced.NO_OVERWRITE in seen.enforces,
    )


def guard(data: DataDirectory, settings: Settings) -> ObjectGuard:
    """The second guard of what lies there."""
    if not settings.object_store.url:
        return NoGuard()
    from mailstore.object_guard_s3 import S3ObjectGuard  # noqa: PLC0415 - half a second that a local store does not pay

    return S3ObjectGuard(bucket(data, settings), is_enforced=lambda: _has_second_guard(data, settings))


def guard_work(settings: Settings) -> GuardWork:
    """Whether a change of schedule or holds is work for the store. A server may yet learn to lock, a disk may not."""
    return GuardWork(is_wanted=bool(settings.object_store.url))


def bucket(data: DataDirectory, settings: Settings) -> S3Bucket:
    """The bucket that the settings name. Only for an appliance whose objects lie on a server."""
    from mailstore.s3_bucket import Limits, S3Bucket  # noqa: PLC0415 - half a second that a local store does not pay
    from mailstore.s3_credentials import CredentialsFile  # noqa: PLC0415 - as above

    told = settings.object_store
    return S3Bucket(
        object_store_url.parsed(told.url),
        CredentialsFile(data.object_store_credentials),
        region=told.region,
        ca_file=Path(told.ca_file) if told.ca_file else None,
        limits=Limits(connections=told.connections, silence_seconds=told.silence_seconds),
    )


def time_witness(data: DataDirectory, settings: Settings) -> tuple[Witness, ...]:
    """What time the object store says it is: another machine that proved its name. One on this machine says nothing.

    Asks the server; nothing when it does not answer.
    """
    url = object_store_url.parsed(settings.object_store.url) if settings.object_store.url else None
    if url is None or not url.is_tls or url.is_on_this_machine:
        return ()
    try:
        answer = bucket(data, settings).request("GET", None, query={"location": ""})
    except StrongroomError:
        return ()
    return dated(OBJECT_STORE, answer.headers.get("Date"))


def remembered(data: DataDirectory, settings: Settings) -> Probe | None:
    """What the store was last seen to enforce; None for a local store, and before the first look."""
    if not settings.object_store.url:
        return None
    from mailstore import store_probe  # noqa: PLC0415 - half a second that a local store does not pay

    return store_probe.remembered(data.object_store_probe, url=str(object_store_url.parsed(settings.object_store.url)))


def enforced(data: DataDirectory, settings: Settings, *, now: datetime) -> list[str]:
    """What the store enforces, in the words of ``store_probe.Enforced``; tried out unless that was done before.

    Nothing for a local disk, which stops nobody who may write, and for a server that is away.
    """
    if not settings.object_store.url:
        return []
    seen = remembered(data, settings)
    if seen is None:
        try:
            seen = look(data, settings, now=now)
        except StorageUnavailableError:
            return []
    return seen.words


def look(data: DataDirectory, settings: Settings, *, now: datetime) -> Probe:
    """Try out what the store enforces and remember it. ``StorageUnavailableError`` when it is away."""
    from mailstore import store_probe  # noqa: PLC0415 - half a second that a local store does not pay

    found = store_probe.probe(bucket(data, settings), now=now, randomness=RANDOMNESS)
    store_probe.remember(data.object_store_probe, found)
    return found


def look_anew(data: DataDirectory, settings: Settings, *, now: datetime) -> bool:
    """As ``look``, and clear away what earlier looks left. True when the store locks what it did not lock before."""
    from mailstore import store_probe  # noqa: PLC0415 - half a second that a local store does not pay

    before = remembered(data, settings)
    found = look(data, settings, now=now)
    store_probe.clear(bucket(data, settings))
    return found.has_second_guard and not (before is not None and before.has_second_guard)


def _has_second_guard(data: DataDirectory, settings: Settings) -> bool:
    seen = remembered(data, settings)
    return seen is not None and seen.has_second_guard
