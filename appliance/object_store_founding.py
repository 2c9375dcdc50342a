"""What ``init`` does about an object store on a server: credentials, bucket, our mark in it, and what it enforces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from appliance import object_store_wiring
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.given_file import document_in
from appliance.settings import ObjectStoreSettings, Settings
from mailstore import durable_file, object_store_url
from mailstore.errors import RefusedError

CREDENTIALS_BYTES = 4096


def settings_of(url: str | None, credentials: str | None) -> ObjectStoreSettings:
    """The settings that two options of ``init`` mean. ``RefusedError`` when one of them says nothing of use."""
    if url is None and credentials is None:
        return ObjectStoreSettings()
    if url is None or credentials is None:
        raise RefusedError(
            "--object-store and --object-store-credentials go together", fix="say both, or neither for the local disk"
        )
    return ObjectStoreSettings(url=str(object_store_url.parsed(url)))


@contextmanager
def founded(
    place: DataDirectory, settings: Settings, *, row_key: bytes, credentials: str | None, now: datetime
) -> Iterator[None]:
    """Make the bucket unless it is there, and claim it. The claim is withdrawn when what follows goes wrong.

    Raises ``RefusedError`` for a store of another appliance, and ``StorageUnavailableError``.
    """
    if credentials is None:
        yield
        return
    from mailstore import s3_credentials, store_probe  # noqa: PLC0415 - half a second that a local store does not pay
    from mailstore.store_claim import StoreClaim, owner_of  # noqa: PLC0415 - as above

    key, secret = s3_credentials.checked(document_in(credentials, at_most=CREDENTIALS_BYTES))
    durable_file.write_new(place.object_store_credentials, f"{key}\n{secret}\n".encode("ascii"))
    store = object_store_wiring.bucket(place, settings)
    store.make()
    claim = StoreClaim(store, owner_of(row_key))
    claim.make()
    try:
        store_probe.remember(place.object_store_probe, store_probe.probe(store, now=now, randomness=RANDOMNESS))
        yield
    except BaseException:
        claim.withdraw()
        raise
