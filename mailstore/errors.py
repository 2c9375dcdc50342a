"""Core: what can go wrong on the ground floor, and what the caller may do about it.

A floor above has a family of its own that derives from ``StrongroomError``. Nobody outside
``appliance.smtp_replies``, ``portal.error_pages`` and ``appliance.cli`` turns one of these into words for a
stranger.
"""

from __future__ import annotations

from typing import ClassVar


class StrongroomError(Exception):
    """A broken promise, named.

    ``code`` is a stable word for programs, ``fix`` one sentence for the person who can mend it, and
    ``retry_may_help`` tells a queue whether to try again.
    """

    code = "internal"
    retry_may_help = False

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class StorageUnavailableError(StrongroomError):
    """A disk, database or object store did not take or give what it should. Our own fault: a 4xx, never a bounce."""

    code = "storage_unavailable"
    retry_may_help = True


class ObjectStoreDownError(StorageUnavailableError):
    """The object store does not work as a whole: whatever else is asked of it now will most likely fail too."""

    code = "object_store_down"


class ObjectLockedError(StorageUnavailableError):
    """The object store itself refuses to remove an object before a date or while it holds it. Try again then."""

    code = "object_locked"


class BeingRestoredError(StorageUnavailableError):
    """It is among what a restore still brings back into a directory that is at work already. Try again soon."""

    code = "being_restored"


class SealedError(StorageUnavailableError):
    """The appliance is sealed: nothing that was stored can be opened until a person unseals it."""

    code = "sealed"

    def __init__(self, message: str = "temporarily unavailable", *, fix: str = "unseal it: strongroom unseal") -> None:
        """The same words for everything, so that they tell nothing of what was asked for."""
        super().__init__(message, fix=fix)


class TamperedError(StrongroomError):
    """Stored bytes, a row, an index file or a log entry are not what was written. Never answered with a guess."""

    code = "tampered"


class WrongKeyError(StrongroomError):
    """The key does not open this. Refuse: never wrong plain text, never a silent new key (promise I7)."""

    code = "wrong_key"


class DestroyedError(StrongroomError):
    """The message was disposed of; its key no longer exists anywhere."""

    code = "destroyed"
    SEE: ClassVar[str] = "The certificate of its disposal says when, why and by whom."


class NotFoundError(StrongroomError):
    """Nothing by that name here. Also said where the asker may not know that it exists."""

    code = "not_found"


class RefusedError(StrongroomError):
    """The request was understood and is not allowed, or is not possible as put."""

    code = "refused"


class DuplicateRowError(RefusedError):
    """A row with this key is there already."""

    code = "duplicate"


class LimitExceededError(RefusedError):
    """The input is larger, deeper or more numerous than a stated limit."""

    code = "limit_exceeded"
