"""The second guard by S3's object lock: retention until a date, and legal hold, on the object itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from mailstore.object_guard import NOT_GUARDED, Guard
from mailstore.object_layout import checked_object_name
from mailstore.s3_bucket import RefusedByStore, S3Bucket
from mailstore.s3_lock import S3Lock

_SECOND = timedelta(seconds=1)


class S3ObjectGuard:
    """Locks the objects of one bucket. ``is_enforced`` says what the probe of the server found."""

    def __init__(self, bucket: S3Bucket, *, is_enforced: Callable[[], bool]) -> None:
        self._lock = S3Lock(bucket)
        self._is_enforced = is_enforced

    @property
    def is_enforced(self) -> bool:
        """True when the server was seen to refuse the removal of what is locked."""
        return self._is_enforced()

    def retain_until(self, name: str, until: datetime) -> datetime | None:
        """Let nobody remove the object before ``until``; whole seconds, rounded up. A lock is never shortened."""
        checked_object_name(name)
        if not self.is_enforced:
            return None
        whole = until if until.microsecond == 0 else until.replace(microsecond=0) + _SECOND
        try:
            self._lock.set_retention(name, whole)
        except RefusedByStore as refusal:
            found = self._lock.of(name).retained_until
            if found is None or found < whole:
                raise refusal.fault.as_error() from refusal
            return found
        return whole

    def hold(self, name: str) -> None:
        """Let nobody remove the object until ``release``."""
        self._set_hold(name, is_on=True)

    def release(self, name: str) -> None:
        """End the hold. What is retained stays so until its date."""
        self._set_hold(name, is_on=False)

    def guard_of(self, name: str) -> Guard:
        """What guards the object now."""
        checked_object_name(name)
        return self._lock.of(name) if self.is_enforced else NOT_GUARDED

    def _set_hold(self, name: str, *, is_on: bool) -> None:
        checked_object_name(name)
        if not self.is_enforced:
            return
        try:
            self._lock.set_hold(name, is_on=is_on)
        except RefusedByStore as refusal:
            raise refusal.fault.as_error() from refusal
