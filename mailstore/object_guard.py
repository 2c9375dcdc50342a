"""The port of the second guard: what the object store itself refuses to let go, whoever asks.

The rows are the first guard, and decide alone. A store that can lock objects is told what the rows say, so that a
stolen access key or a slip of the hand destroys nothing that the schedule or a hold keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Guard:
    """What holds one object in the store: until when it cannot be removed, and whether a hold forbids it besides."""

    retained_until: datetime | None = None
    is_held: bool = False

    def refuses_removal(self, now: datetime) -> bool:
        """True when the store would refuse to remove the object now."""
        return self.is_held or (self.retained_until is not None and self.retained_until > now)


NOT_GUARDED = Guard()


class ObjectGuard(Protocol):
    """Locks objects where they lie. Every call may be repeated, and raises ``StorageUnavailableError`` when not done.

    ``NotFoundError`` when there is no such object.
    """

    @property
    def is_enforced(self) -> bool:
        """True when the store really refuses. False: every call is taken and changes nothing."""
        ...

    def retain_until(self, name: str, until: datetime) -> datetime | None:
        """Let nobody remove the object before ``until``. A lock is never shortened.

        Answers until when the store keeps it: later than asked when it was locked longer before. None: not enforced.
        """
        ...

    def hold(self, name: str) -> None:
        """Let nobody remove the object until ``release``."""
        ...

    def release(self, name: str) -> None:
        """End the hold. What is retained stays so until its date."""
        ...

    def guard_of(self, name: str) -> Guard:
        """What guards the object now."""
        ...


class NoGuard:
    """The guard of a store that cannot lock: a local disk, where whoever may write may also remove."""

    @property
    def is_enforced(self) -> bool:
        """False: nothing here stops a removal."""
        return False

    def retain_until(self, name: str, until: datetime) -> datetime | None:
        """Nothing is locked."""
        del name, until
        return None

    def hold(self, name: str) -> None:
        """Nothing is locked."""

    def release(self, name: str) -> None:
        """Nothing was locked."""

    def guard_of(self, name: str) -> Guard:
        """Nothing is locked."""
        del name
        return NOT_GUARDED
