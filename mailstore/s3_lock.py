"""The lock that a server that speaks S3 puts on a version of an object: retention until a date, and legal hold.

Retention is asked for in GOVERNANCE mode, and never with the header that bypasses it: docs/decisions/object-lock.md.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import md5
from xml.etree import ElementTree as ET

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from mailstore.errors import NotFoundError, StorageUnavailableError
from mailstore.object_guard import Guard
from mailstore.s3_bucket import RefusedByStore, S3Bucket

MODE = "GOVERNANCE"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
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


class S3Lock:
    """Sets and reads locks, of the newest version unless another is named."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    def set_retention(self, name: str, until: datetime) -> None:
        """Ask the server to keep an object until a whole second. ``RefusedByStore`` when it says no."""
        date = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._set(name, "retention", _element("Retention", Mode=MODE, RetainUntilDate=date))

    def set_hold(self, name: str, *, is_on: bool) -> None:
        """Place or lift the legal hold. ``RefusedByStore`` when the server says no."""
        self._set(name, "legal-hold", _element("LegalHold", Status="ON" if is_on else "OFF"))

    def of(self, name: str, version: str | None = None) -> Guard:
        """What locks an object. ``NotFoundError`` when the server says that there is none."""
        until = self._told(name, "retention", version, "RetainUntilDate")
        return Guard(
            retained_until=None if until is None else _instant(until),
            is_held=self._told(name, "legal-hold", version, "Status") == "ON",
        )

    def _set(self, name: str, what: str, told: bytes) -> None:
        """S3 wants an MD5 with these requests, as a checksum of the transfer."""
        headers = {"Content-MD5": b64encode(md5(told, usedforsecurity=False).digest()).decode()}
        try:
            self._bucket.request(
                "PUT", name, body=told, headers=headers, query={what: ""}, expects=(400, 403, 404, 409, 501)
            )
        except RefusedByStore as refusal:
            _refuse_absent(name, refusal)
            raise

    def _told(self, name: str, what: str, version: str | None, field: str) -> str | None:
        query = {what: ""} if version is None else {what: "", "versionId": version}
        try:
            reply = self._bucket.request("GET", name, query=query, expects=(400, 404, 501))
        except RefusedByStore as refusal:
            _refuse_absent(name, refusal)
            if refusal.fault.code in _NO_LOCK_HERE:
                return None
            raise refusal.fault.as_error() from refusal
        found = _parsed(reply.body).find(f"{{*}}{field}")
        return None if found is None else (found.text or "").strip() or None


def _refuse_absent(name: str, refusal: RefusedByStore) -> None:
    if refusal.fault.code == "NoSuchKey":
        raise NotFoundError(f"there is no object {name}") from None


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
