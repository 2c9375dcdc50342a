"""Removes whatever a server that speaks S3 holds under one name, and looks whether it is gone."""

from __future__ import annotations

from http import HTTPStatus

from mailstore.errors import ObjectLockedError, StorageUnavailableError
from mailstore.s3_bucket import RefusedByStore, S3Bucket
from mailstore.s3_lock import S3Lock

_LOCK_ANSWERS = (400, 403, 409)
"""What servers answer to the removal of a locked version: they do not agree on the code, only on refusing."""


def remove_all(bucket: S3Bucket, name: str) -> None:
    """Remove every version, delete marker and unfinished upload. Nothing there: nothing to do.

    Raises ``ObjectLockedError`` when the server keeps a version until a date or for a hold, and
    ``StorageUnavailableError`` when anything is listed afterwards.
    """
    for version in bucket.versions(name):
        _remove_version(bucket, name, version.version_id or "null")
    if uploads := bucket.unfinished_uploads(name):
        for upload in uploads:
            bucket.request("DELETE", name, query={"uploadId": upload}, expects=(404,))
        uploads = bucket.unfinished_uploads(name)
    if uploads or bucket.versions(name):
        raise StorageUnavailableError(
            f"the object store still holds {name} after its removal", fix="look into the object store's own log"
        )


def _remove_version(bucket: S3Bucket, name: str, version: str) -> None:
    try:
        bucket.request("DELETE", name, query={"versionId": version}, expects=(404, *_LOCK_ANSWERS))
    except RefusedByStore as refusal:
        if refusal.fault.status == HTTPStatus.NOT_FOUND and refusal.fault.code != "NoSuchBucket":
            return
        _refuse_locked(bucket, name, version)
        raise refusal.fault.as_error() from refusal


def _refuse_locked(bucket: S3Bucket, name: str, version: str) -> None:
    lock = S3Lock(bucket).of(name, version)
    if lock.is_held:
        raise ObjectLockedError(
            f"the object store holds {name} for a legal hold",
            fix="find out who placed the hold; run it again when it has ended",
        )
    if lock.retained_until is not None:
        raise ObjectLockedError(
            f"the object store keeps {name} until {lock.retained_until:%Y-%m-%d %H:%MZ}",
            fix="run it again after that day, or let whoever runs the object store end the lock",
        )
