"""The second guard by S3's object lock: GOVERNANCE retention until a date, and legal hold, on the object itself.

GOVERNANCE, and never the header that bypasses it: see docs/decisions/object-lock.md.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import md5
from xml.etree import ElementTree as ET

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mailstore.errors import NotFoundError, StorageUnavailableError
from mailstore.object_guard import NOT_GUARDED, Guard
from mailstore.object_layout import checked_object_name
from mailstore.s3_bucket import RefusedByStore, S3Bucket

MODE = "GOVERNANCE"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_SECOND = timedelta(seconds=1)
_NO_LOCK_HERE = frozenset(
    {
        "NoSuchObjectLockConfiguration",
        "NoSuchObjectLegalHold",
        "NoSuchRetention",
        "ObjectLockConfigurationNotFoundError",
        "InvalidRequest",
        "NoSuchVersion",
    }
)
"""What servers answer for an object that is not locked, or lies in a bucket that cannot lock."""


class S3ObjectGuard:
    """Locks the objects of one bucket. ``is_enforced`` is what the probe of the server found."""

    def __init__(self, bucket: S3Bucket, *, is_enforced: bool = True) -> None:
        self._bucket = bucket
        self._is_enforced = is_enforced

    @property
    def is_enforced(self) -> bool:
        """True when the server was seen to refuse the removal of what is locked."""
        return self._is_enforced

    def retain_until(self, name: str, until: datetime) -> datetime | None:
        """Let nobody remove the object before ``until``; whole seconds, rounded up. A lock is never shortened."""
        if not self._is_enforced:
            return None
        whole = until if until.microsecond == 0 else until.replace(microsecond=0) + _SECOND
        told = _element("Retention", Mode=MODE, RetainUntilDate=whole.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        try:
            self._change(name, "retention", told)
        except RefusedByStore as refusal:
            found = self.guard_of(name).retained_until
            if found is None or found < whole:
                raise refusal.fault.as_error() from refusal
            return found
        return whole

    def hold(self, name: str) -> None:
        """Let nobody remove the object until ``release``."""
        self._set_hold(name, "ON")

    def release(self, name: str) -> None:
        """End the hold. What is retained stays so until its date."""
        self._set_hold(name, "OFF")

    def guard_of(self, name: str) -> Guard:
        """What guards the object now."""
        return lock_of(self._bucket, checked_object_name(name)) if self._is_enforced else NOT_GUARDED

    def _set_hold(self, name: str, status: str) -> None:
        if not self._is_enforced:
            return
        try:
            self._change(name, "legal-hold", _element("LegalHold", Status=status))
        except RefusedByStore as refusal:
            raise refusal.fault.as_error() from refusal

    def _change(self, name: str, what: str, told: bytes) -> None:
        headers = {"Content-MD5": b64encode(md5(told, usedforsecurity=False).digest()).decode()}
        try:
            self._bucket.request(
                "PUT",
                checked_object_name(name),
                body=told,
                headers=headers,
                query={what: ""},
                expects=(400, 403, 404, 409),
            )
        except RefusedByStore as refusal:
            if refusal.fault.code == "NoSuchKey":
                raise NotFoundError(f"there is no object {name}") from None
            raise


def lock_of(bucket: S3Bucket, name: str, version: str | None = None) -> Guard:
    """What locks an object, or one version of it. ``NotFoundError`` when the server says that there is none."""
    until = _told(bucket, name, "retention", version, "RetainUntilDate")
    return Guard(
        retained_until=None if until is None else _instant(until),
        is_held=_told(bucket, name, "legal-hold", version, "Status") == "ON",
    )


def _told(bucket: S3Bucket, name: str, what: str, version: str | None, field: str) -> str | None:
    query = {what: ""} if version is None else {what: "", "versionId": version}
    try:
        reply = bucket.request("GET", name, query=query, expects=(400, 404))
    except RefusedByStore as refusal:
        if refusal.fault.code == "NoSuchKey":
            raise NotFoundError(f"there is no object {name}") from None
        if refusal.fault.code in _NO_LOCK_HERE:
            return None
        raise refusal.fault.as_error() from refusal
    found = _parsed(reply.body).find(f"{{*}}{field}")
    return None if found is None else (found.text or "").strip() or None


def _parsed(body: bytes) -> ET.Element:
    try:
        return fromstring(body) if body else ET.Element("Nothing")
    except (ET.ParseError, DefusedXmlException) as error:
        raise StorageUnavailableError(
            "the object store gave an answer that is not S3's", fix="look at what answers in the object store's place"
        ) from error


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise StorageUnavailableError(
            "the object store names a lock date that is no date", fix="look into the object store's own log"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _element(name: str, **fields: str) -> bytes:
    root = ET.Element(name, xmlns=_NAMESPACE)
    for field, text in fields.items():
        ET.SubElement(root, field).text = text
    return ET.tostring(root)
