"""What a server that speaks S3 really enforces, tried out on objects of our own.

Two servers that claim the same differ, and differ again in the code with which they refuse. So nothing is read from a
configuration: a thing is enforced when the server was seen to refuse, and what it should have kept is still there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from pathlib import Path

from mailstore import durable_file
from mailstore.errors import ObjectLockedError, StorageUnavailableError
from mailstore.message import ID_BYTES, identifier_from
from mailstore.s3_bucket import RefusedByStore, S3Bucket
from mailstore.s3_lock import S3Lock
from mailstore.s3_removal import remove_all
from mailstore.sealed_format import Randomness

PREFIX = "probe-"
LOCK_SECONDS = 4
"""How long an object of the probe is locked. After that the next ``clear`` removes it."""

_REFUSALS = (*range(HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR), HTTPStatus.NOT_IMPLEMENTED)
_FORMAT = "strongroom/store-probe/v1"


class Enforced(StrEnum):
    """One thing that a server was seen to enforce."""

    VERSIONS = "versions"
    NO_OVERWRITE = "no_overwrite"
    RETENTION = "retention"
    LOCK_ONLY_GROWS = "lock_only_grows"
    LEGAL_HOLD = "legal_hold"


SECOND_GUARD = frozenset({Enforced.VERSIONS, Enforced.RETENTION, Enforced.LEGAL_HOLD})
"""Without all of these a lock would be a word: an object that can be overwritten in place is not kept."""


@dataclass(frozen=True)
class Probe:
    """What was seen, where and when."""

    url: str
    at: datetime
    enforces: frozenset[Enforced]

    @property
    def has_second_guard(self) -> bool:
        """True when the server keeps what it is told to keep."""
        return self.enforces >= SECOND_GUARD

    @property
    def words(self) -> list[str]:
        """What is enforced, in the order in which it is always listed."""
        return [each.value for each in Enforced if each in self.enforces]


def probe(bucket: S3Bucket, *, now: datetime, randomness: Randomness) -> Probe:
    """Try everything out; takes about twenty requests. Raises ``StorageUnavailableError`` when the server is away.

    One object stays locked for ``LOCK_SECONDS``: ``clear`` removes it later.
    """
    trial = _Trial(bucket, randomness)
    looks: dict[Enforced, Callable[[], bool]] = {
        Enforced.NO_OVERWRITE: trial.refuses_overwriting,
        Enforced.VERSIONS: trial.keeps_versions,
        Enforced.LEGAL_HOLD: trial.keeps_what_is_held,
        Enforced.RETENTION: trial.keeps_what_is_retained,
        Enforced.LOCK_ONLY_GROWS: trial.refuses_shortening,
    }
    enforces = frozenset(what for what, look in looks.items() if look())
    clear(bucket)
    return Probe(str(bucket.url), now, enforces)


def clear(bucket: S3Bucket) -> None:
    """Remove the objects of earlier probes whose locks have ended."""
    for name in list(bucket.names(PREFIX)):
        try:
            remove_all(bucket, name)
        except ObjectLockedError:
            continue


def remember(path: Path, found: Probe) -> None:
    """Write down what was seen, for ``store status`` and ``doctor``."""
    told = {"format": _FORMAT, "url": found.url, "at": found.at.isoformat(), "enforces": found.words}
    durable_file.replace(path, (json.dumps(told) + "\n").encode())


def remembered(path: Path, *, url: str) -> Probe | None:
    """What was seen last of this very store; None when nothing was, or the file says nothing of use."""
    try:
        told = json.loads(path.read_text("utf-8"))
        if told["format"] != _FORMAT or told["url"] != url:
            return None
        return Probe(url, datetime.fromisoformat(told["at"]), frozenset(Enforced(word) for word in told["enforces"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _Trial:
    """The questions, each asked of an object of its own."""

    def __init__(self, bucket: S3Bucket, randomness: Randomness) -> None:
        self._bucket = bucket
        self._randomness = randomness
        self._retained = ""

    def refuses_overwriting(self) -> bool:
        name = self._made()
        return not self._is_taken(
            lambda: self._bucket.request("PUT", name, body=b"2", headers={"If-None-Match": "*"}, expects=_REFUSALS)
        )

    def keeps_versions(self) -> bool:
        name = self._made()
        self._bucket.request("PUT", name, body=b"2")
        return len(self._bucket.versions(name)) > 1

    def keeps_what_is_held(self) -> bool:
        name, lock = self._made(), S3Lock(self._bucket)
        if not self._is_taken(lambda: lock.set_hold(name, is_on=True)):
            return False
        kept = self._is_kept(name)
        self._is_taken(lambda: lock.set_hold(name, is_on=False))
        return kept

    def keeps_what_is_retained(self) -> bool:
        name, lock = self._made(), S3Lock(self._bucket)
        until = self._their_time() + timedelta(seconds=LOCK_SECONDS)
        if not self._is_taken(lambda: lock.set_retention(name, until)) or not self._is_kept(name):
            return False
        self._retained = name
        return True

    def refuses_shortening(self) -> bool:
        if not self._retained:
            return False
        before = S3Lock(self._bucket).of(self._retained).retained_until
        soon = self._their_time() + timedelta(seconds=1)
        self._is_taken(lambda: S3Lock(self._bucket).set_retention(self._retained, soon))
        return before is not None and S3Lock(self._bucket).of(self._retained).retained_until == before

    def _made(self) -> str:
        name = f"{PREFIX}{identifier_from(self._randomness(ID_BYTES))}"
        self._bucket.request("PUT", name, body=b"1")
        return name

    def _is_kept(self, name: str) -> bool:
        """True when every version outlives an attempt to remove it."""
        before = [each.version_id for each in self._bucket.versions(name)]
        for version in before:
            self._is_taken(partial(self._removed, name, version or "null"))
        return bool(before) and [each.version_id for each in self._bucket.versions(name)] == before

    def _removed(self, name: str, version: str) -> None:
        self._bucket.request("DELETE", name, query={"versionId": version}, expects=_REFUSALS)

    def _is_taken(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except RefusedByStore:
            return False
        except StorageUnavailableError:
            if not self._bucket.exists():
                raise
            return False
        return True

    def _their_time(self) -> datetime:
        """The server's own clock, so that a lock of seconds is one even when the clocks differ."""
        reply = self._bucket.request("GET", None, query={"location": ""})
        told = reply.headers.get("Date")
        if told is None:
            raise StorageUnavailableError("the object store does not say what time it is", fix="look into its log")
        return parsedate_to_datetime(told).astimezone(UTC)
