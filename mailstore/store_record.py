"""A small record of ours beside the objects of a bucket, which may be written again. No object: it is never listed."""

from __future__ import annotations

from mailstore.failpoint import reached
from mailstore.s3_bucket import RefusedByStore, S3Bucket


class StoreRecord:
    """One record by its name. The newest version counts; older ones are removed when it is written."""

    def __init__(self, bucket: S3Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name

    def read(self) -> bytes | None:
        """What was written last; None when nothing was. Raises ``StorageUnavailableError``."""
        try:
            return self._bucket.request("GET", self._name, expects=(404,)).body
        except RefusedByStore as refusal:
            if refusal.fault.code == "NoSuchKey":
                return None
            raise refusal.fault.as_error() from refusal

    def write(self, content: bytes) -> None:
        """Put it there, and rid the bucket of what was there before. Raises ``StorageUnavailableError``."""
        before = [each.version_id for each in self._bucket.versions(self._name)]
        written = self._bucket.request("PUT", self._name, body=content).headers.get("x-amz-version-id")
        reached("store_record.after_write")
        for version in before:
            if version and version not in {"null", written}:
                self._bucket.request("DELETE", self._name, query={"versionId": version}, expects=())
