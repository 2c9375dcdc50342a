"""Looks whether the copies of single messages are whole. What is wrong is looked at twice: mail moves meanwhile."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mailstore import message_records
from mailstore.consistency_problem import Finding, Kind
from mailstore.database import Database
from mailstore.errors import BeingRestoredError, DestroyedError, NotFoundError, TamperedError
from mailstore.message import MessageId, StoredMessage, StoredObject
from mailstore.object_store import ObjectStore
from mailstore.part_records import SharedPart
from mailstore.sealed_copies import SealedCopy, copies_of, read_copy
from mailstore.spool import Place


@dataclass(frozen=True)
class BadCopy:
    """A copy that is not what was written."""

    copy: SealedCopy
    is_missing: bool


@dataclass(frozen=True)
class CopyState:
    """What was found of the copies of one message."""

    whole: tuple[SealedCopy, ...]
    bad: tuple[BadCopy, ...]


class CopyCheck:
    """Reads copies. Raises ``StorageUnavailableError`` when the object store or the spool does not answer now."""

    def __init__(self, database: Database, spool_directory: Path, objects: ObjectStore) -> None:
        self._database = database
        self._spool_directory = spool_directory
        self._objects = objects

    def findings(self, message: MessageId, *, reads_objects: bool) -> Iterator[Finding]:
        """What is wrong with the copies of one message; nothing when it was disposed of or moved meanwhile."""
        for _ in range(2):
            stored = self._stored(message)
            if stored is None:
                return
            state = self.state(stored, reads_objects=reads_objects)
            if not state.bad:
                return
        yield from _told(message, state)

    def part_findings(self, part: SharedPart) -> Iterator[Finding]:
        """What is wrong with the object of a shared part. One that nothing needs any more is dying."""
        name = part.object.name
        if not part.uses or self._is_part_whole(part):
            return
        with self._database.read() as connection:
            is_still_there = bool(message_records.known_objects(connection, [name]))
        if is_still_there:
            told = f"object {name} of shared part {part.id} is missing or not what was written"
            yield Finding(Kind.PART_BYTES_BAD, name, told)

    def _is_part_whole(self, part: SharedPart) -> bool:
        """One that a restore still brings back is held against its digest when it comes."""
        try:
            sealed = self._objects.get(part.object.name)
        except NotFoundError:
            return False
        except BeingRestoredError:
            return True
        return hmac.compare_digest(hashlib.sha256(sealed).digest(), part.object.digest)

    def state(self, stored: StoredMessage, *, reads_objects: bool = True) -> CopyState:
        """Which copies are whole. With ``reads_objects`` every byte is read; without, presence is looked at."""
        whole: list[SealedCopy] = []
        bad: list[BadCopy] = []
        for copy in copies_of(stored):
            if stored.object is not None and self._is_released(copy):
                continue
            if not self._is_there(copy):
                bad.append(BadCopy(copy, is_missing=True))
            elif reads_objects and not self._is_whole(copy):
                bad.append(BadCopy(copy, is_missing=False))
            else:
                whole.append(copy)
        return CopyState(tuple(whole), tuple(bad))

    def _stored(self, message: MessageId) -> StoredMessage | None:
        """None for a row that is gone by now, or damaged: that is told with the rows."""
        try:
            with self._database.read() as connection:
                return message_records.stored(connection, message)
        except (NotFoundError, DestroyedError, TamperedError):
            return None

    def _is_released(self, copy: SealedCopy) -> bool:
        """A segment that is gone is no copy, where the object store has the other."""
        return isinstance(copy.lies_in, Place) and not (self._spool_directory / copy.lies_in.segment).exists()

    def _is_there(self, copy: SealedCopy) -> bool:
        match copy.lies_in:
            case StoredObject(name=name):
                return self._objects.exists(name)
            case Place(segment=segment, offset=offset, length=length):
                path = self._spool_directory / segment
                return path.is_file() and path.stat().st_size >= offset + length

    def _is_whole(self, copy: SealedCopy) -> bool:
        try:
            read_copy(copy, spool_directory=self._spool_directory, objects=self._objects)
        except TamperedError:
            return False
        except BeingRestoredError:
            return True
        return True


def _told(message: MessageId, state: CopyState) -> Iterator[Finding]:
    """A finding a bad copy while another is whole; one for the message when none is."""
    if state.whole:
        for bad in state.bad:
            kind = Kind.COPY_MISSING if bad.is_missing else Kind.COPY_ALTERED
            yield Finding(kind, _object(bad.copy), f"message {message}: {_problem(bad)}", message)
        return
    kind = Kind.BYTES_MISSING if all(bad.is_missing for bad in state.bad) else Kind.BYTES_ALTERED
    problems = "; ".join(_problem(bad) for bad in state.bad)
    yield Finding(kind, _object(state.bad[0].copy), f"message {message}: {problems}", message)


def _problem(bad: BadCopy) -> str:
    return f"{bad.copy.name} " + ("is not there or too short" if bad.is_missing else "is not what was written")


def _object(copy: SealedCopy) -> str:
    match copy.lies_in:
        case StoredObject(name=name):
            return name
        case Place(segment=segment):
            return segment
