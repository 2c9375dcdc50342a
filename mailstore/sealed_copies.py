"""The copies of a message's sealed bytes: in the spool, in the object store, or for a while in both.

Whatever gives what was written will do: the spool first, which is a local disk and needs no network, then the object
store. So a store that is down, slow or gives other bytes keeps nobody from the mail that the spool still has, and a
damaged spool keeps nobody from what is in the store. Where both would lie on one disk there is no second copy to speak
of: there the object is read alone, and one that was altered is told.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mailstore import spool
from mailstore.errors import NotFoundError, StorageUnavailableError, StrongroomError, TamperedError
from mailstore.message import MessageId, StoredMessage, StoredObject
from mailstore.object_store import ObjectStore
from mailstore.spool import Place


@dataclass(frozen=True)
class SealedCopy:
    """Where one copy lies, and the SHA-256 of its bytes. The two copies of a message need not have the same bytes."""

    message: MessageId
    lies_in: Place | StoredObject
    digest: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """How people are told which copy is meant."""
        match self.lies_in:
            case Place(segment=segment):
                return f"spool segment {segment}"
            case StoredObject(name=name):
                return f"object {name}"

    @property
    def is_in_store(self) -> bool:
        """True for the copy in the object store."""
        return isinstance(self.lies_in, StoredObject)


@dataclass(frozen=True)
class SealedBytes:
    """What one copy holds, proved to be what was written."""

    copy: SealedCopy
    sealed: bytes = field(repr=False)


def place_of(stored: StoredMessage) -> Place | None:
    """Where the copy in the spool lies; None when there is none any more."""
    if stored.segment is None:
        return None
    return Place(stored.segment, stored.offset, stored.sealed_length)


def copies_of(stored: StoredMessage) -> tuple[SealedCopy, ...]:
    """Every copy that the row knows of, the nearest first. Raises ``TamperedError`` when it knows of none."""
    place, kept = place_of(stored), stored.object
    found = []
    if place is not None:
        found.append(SealedCopy(stored.id, place, stored.sealed_digest))
    if kept is not None:
        found.append(SealedCopy(stored.id, kept, kept.digest))
    if not found:
        raise TamperedError(f"message {stored.id} is recorded nowhere")
    return tuple(found)


def read_copy(copy: SealedCopy, *, spool_directory: Path, objects: ObjectStore) -> bytes:
    """The bytes of one copy.

    Raises ``TamperedError`` naming the object or segment when it is missing or not what was written, and
    ``StorageUnavailableError`` when it cannot be read now.
    """
    try:
        match copy.lies_in:
            case Place() as place:
                sealed = spool.read(spool_directory, place)
            case StoredObject(name=name):
                sealed = objects.get(name)
    except NotFoundError:
        raise TamperedError(f"{copy.name} of message {copy.message} is missing") from None
    if not hmac.compare_digest(hashlib.sha256(sealed).digest(), copy.digest):
        raise TamperedError(f"{copy.name} of message {copy.message} is not what was written")
    return sealed


def read_any(copies: Iterable[SealedCopy], *, spool_directory: Path, objects: ObjectStore) -> SealedBytes:
    """The bytes of the first of these copies of one message that is whole.

    Raises as ``read_copy`` when none is: ``StorageUnavailableError`` while one of them may still turn up.
    """
    problems: list[StrongroomError] = []
    for copy in copies:
        try:
            return SealedBytes(copy, read_copy(copy, spool_directory=spool_directory, objects=objects))
        except (TamperedError, StorageUnavailableError) as error:
            problems.append(error)
    raise max(problems, key=lambda problem: isinstance(problem, StorageUnavailableError))
