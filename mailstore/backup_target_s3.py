"""Backups in a bucket, under credentials that may add, read and list, and neither overwrite nor delete.

What is too old is removed by the bucket itself, by a lifecycle rule: whoever takes this machine cannot remove a backup.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from xml.etree import ElementTree as ET

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mailstore.backup_listing import checked_name, is_name
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError
from mailstore.s3_bucket import RefusedByStore, S3Bucket

_TAKEN = 412
_NO_RULES = (403, 404, 501)


class S3Target:
    """Files in a bucket, below its prefix."""

    may_remove = False

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
        self.url = str(bucket.url)

    def put(self, name: str, data: bytes) -> None:
        """As the port says: one PUT that the server refuses when the name is taken, and a GET."""
        checked_name(name)
        headers = {"If-None-Match": "*", "Content-Type": "application/octet-stream"}
        if not self._is_there(name):
            with self._telling(), suppress(RefusedByStore):  # taken, perhaps by us: what is there decides
                self._bucket.request("PUT", name, body=data, headers=headers, expects=(_TAKEN,))
        if self.get(name) != data:
            raise RefusedError(
                f"{name} is in the target already with other bytes, or was not kept as it was written",
                fix="run: strongroom backup verify; look into the log of the bucket's server, or name another bucket",
            )

    def get(self, name: str) -> bytes:
        """As the port says."""
        try:
            with self._telling():
                return self._bucket.request("GET", checked_name(name), expects=(404,)).body
        except RefusedByStore as refusal:
            if refusal.fault.code == "NoSuchKey":
                raise NotFoundError(f"{name} is not in the target {self.url}") from None
            fault = refusal.fault.as_error()
            raise StorageUnavailableError(f"the target {self.url}: {fault.message}", fix=fault.fix) from refusal

    def held(self, beginning: str) -> Iterator[tuple[str, int]]:
        """As the port says."""
        with self._telling():
            yield from ((name, size) for name, size in self._bucket.current(beginning) if is_name(name))

    def remove(self, name: str) -> None:
        """Never: the credentials do not allow it, and shall not."""
        raise RefusedError(
            f"{name} is removed by the bucket's own rules", fix="let a lifecycle rule of the bucket do it"
        )

    def tidy(self, *, before: float) -> None:
        """Nothing: a PUT is there whole, or not."""
        del before

    def days_until_removed(self, beginning: str) -> int | None:
        """What the bucket's lifecycle says of these names, where we may read it."""
        try:
            reply = self._bucket.request("GET", None, query={"lifecycle": ""}, expects=_NO_RULES)
        except RefusedByStore:
            return None
        return min(_rules(reply.body, self._bucket.key(beginning)), default=None)

    def _is_there(self, name: str) -> bool:
        """Asked before a body is sent: a server that does not know conditions would overwrite (and so may not)."""
        with self._telling():
            return any(found == name for found, _ in self._bucket.current(name))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Says which target it is that fails: the errors below speak of an object store."""
        try:
            yield
        except StorageUnavailableError as error:
            raise StorageUnavailableError(f"the target {self.url}: {error.message}", fix=error.fix) from error


def _rules(body: bytes, key: str) -> Iterator[int]:
    """Days of every enabled rule that covers all keys that begin so."""
    try:
        root = fromstring(body)
    except (ET.ParseError, DefusedXmlException) as error:
        raise StorageUnavailableError(
            "the bucket gave an answer that is not S3's", fix="look at what answers in the server's place"
        ) from error
    for rule in root.findall("{*}Rule"):
        days = rule.findtext("{*}Expiration/{*}Days")
        prefix = rule.findtext("{*}Filter/{*}Prefix") or rule.findtext("{*}Prefix") or ""
        narrower = rule.find("{*}Filter/{*}And") is not None or rule.find("{*}Filter/{*}Tag") is not None
        if rule.findtext("{*}Status") == "Enabled" and days and not narrower and key.startswith(prefix):
            yield int(days)
