"""Whose an object store is: one small object in it names the appliance, so that two never share one.

An appliance that works on another's bucket would find objects without rows there, and sweep them away. So nothing is
asked of a store until it was seen to be ours.
"""

from __future__ import annotations

import hmac
import threading

from mailstore.errors import ObjectStoreDownError, RefusedError
from mailstore.object_layout import is_object_name
from mailstore.s3_bucket import RefusedByStore, S3Bucket
from mailstore.s3_removal import remove_all

NAME = "appliance"
_LABEL = b"strongroom/store-owner/v1"
_OWNER_BYTES = 16


def owner_of(row_key: bytes) -> str:
    """What an appliance calls itself in its store: the same for as long as its keys are, and says nothing of them."""
    return hmac.digest(row_key, _LABEL, "sha256")[:_OWNER_BYTES].hex()


class StoreClaim:
    """One appliance's claim to the objects below one prefix of a bucket."""

    def __init__(self, bucket: S3Bucket, owner: str) -> None:
        self._bucket = bucket
        self._owner = owner.encode()
        self._is_proved = False
        self._lock = threading.Lock()

    def make(self) -> None:
        """Claim a store that nobody has. ``RefusedError`` when it is another's, or holds objects already."""
        found = self._found()
        if found is None:
            self._refuse_objects()
            self._write()
            found = self._found()
        if found != self._owner:
            raise _taken(self._bucket)

    def withdraw(self) -> None:
        """Leave the store as it was found. For an ``init`` that did not come to its end."""
        if self._found() == self._owner:
            remove_all(self._bucket, NAME)

    def prove(self) -> None:
        """Once for each process: the store is ours. ``ObjectStoreDownError`` when it says otherwise, or nothing."""
        if self._is_proved:
            return
        with self._lock:
            found = self._found()
            if found is None:
                raise ObjectStoreDownError(
                    "the object store does not hold this appliance's mark",
                    fix="make sure that [object_store] url names the right bucket; restore the bucket if it was lost",
                )
            if found != self._owner:
                raise ObjectStoreDownError(
                    "the object store belongs to another appliance", fix="correct [object_store] url in strongroom.toml"
                )
            self._is_proved = True

    def _found(self) -> bytes | None:
        try:
            return self._bucket.request("GET", NAME, expects=(404,)).body
        except RefusedByStore as refusal:
            if refusal.fault.code == "NoSuchKey":
                return None
            raise refusal.fault.as_error() from refusal

    def _write(self) -> None:
        try:
            self._bucket.request("PUT", NAME, body=self._owner, headers={"If-None-Match": "*"}, expects=(412,))
        except RefusedByStore:
            return

    def _refuse_objects(self) -> None:
        if any(is_object_name(name) for name in self._bucket.names()):
            raise _taken(self._bucket)


def _taken(bucket: S3Bucket) -> RefusedError:
    return RefusedError(
        f"{bucket.url} holds the objects of another appliance", fix="name another bucket, or another ?prefix="
    )
