"""Where mail waits that comes while nothing can be opened: segments of sealed groups (docs/formats/sealed-spool.md).

The writing side has the capture public key and nothing else. It needs no row and no keystore: what one append made
durable may be promised (RFC 5321 section 6.1). The reading side is used once the key agent has been opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mailstore import arrival_group, durable_file, file_erasure, spool
from mailstore.arrival_group import HEAD_BYTES, SEGMENT_HEADER, GroupHead, GroupIndex, Standing
from mailstore.errors import StorageUnavailableError, StrongroomError, TamperedError
from mailstore.failpoint import reached
from mailstore.group_writer import GroupWriter
from mailstore.key_hierarchy import MessageKey
from mailstore.key_opener import MessageKeyOpener
from mailstore.keystore import WrappedKey
from mailstore.message import ID_BYTES, MessageId, ReceivedMessage, identifier_from
from mailstore.sealed_format import Randomness
from mailstore.spool import Place, SpoolWriter

_GROUP_MESSAGES: Final = 64
_GROUP_BYTES: Final = 8 * 1024 * 1024
"""A group ends with the message that reaches either: its contents are opened together."""

_RESYNC_BYTES: Final = 1024 * 1024
DAMAGED: Final = "damaged"
"""The folder for segments that hold a group which does not open: kept for a person, never drained."""


class SealedSpool:
    """Takes messages in while everything is sealed. ``submit`` may be called from any thread."""

    def __init__(self, directory: Path, *, capture_public: bytes, randomness: Randomness) -> None:
        self._spool = SpoolWriter(directory, randomness, header=SEGMENT_HEADER)
        self._capture_public = capture_public
        self._randomness = randomness
        self._series, self._written = "", 0
        self._begin_series()
        self._writer = GroupWriter(self._stored, is_full=_is_full, name="sealed-spool")

    def submit(self, received: ReceivedMessage) -> Future[MessageId]:
        """Have a message sealed and stored; the future is set, to the name of its group, when it is durable.

        It raises a ``StrongroomError`` when the message could not be stored: nobody may be promised anything.
        """
        return self._writer.submit(received)

    def close(self) -> None:
        """Store what is waiting, then give the segment up."""
        self._writer.close()
        self._spool.close()

    def _begin_series(self) -> None:
        """A group that could not be stored may lie there all the same: what follows does not share its numbers.

        Nor its segment: all groups of a segment are of one series.
        """
        self._spool.close()
        self._series, self._written = identifier_from(self._randomness(ID_BYTES)), 0

    def _stored(self, group: Sequence[ReceivedMessage]) -> list[MessageId | Exception]:
        try:
            sealed = arrival_group.sealed_group(
                group,
                standing=Standing(self._series, self._written),
                capture_public=self._capture_public,
                randomness=self._randomness,
            )
            name = arrival_group.read_head(sealed).name
            self._spool.append([sealed])
            reached("sealed_spool.after_append")
        except Exception as error:  # noqa: BLE001 -- whatever it was, the senders must be told, and the thread go on
            self._begin_series()
            return [error] * len(group)
        self._written += len(group)
        return [name] * len(group)


def _is_full(group: Sequence[ReceivedMessage]) -> bool:
    return len(group) >= _GROUP_MESSAGES or sum(len(each.content) for each in group) >= _GROUP_BYTES


@dataclass(frozen=True)
class SealedGroup:
    """A group as it lies in a segment, its index opened."""

    place: Place
    head: GroupHead
    index: GroupIndex
    key: MessageKey = field(repr=False)

    @property
    def after(self) -> int:
        """How many messages the series has up to the end of this group."""
        return self.index.standing.before + len(self.index.messages)


class SealedSegments:
    """The segments that wait, read with the help of an opener. For one thread."""

    def __init__(self, directory: Path, opener: MessageKeyOpener) -> None:
        self._directory = directory
        self._opener = opener

    def names(self) -> list[str]:
        """All segments that wait, those that are still being written among them."""
        return spool.segments(self._directory)

    def is_closed(self, segment: str) -> bool:
        """True when nobody will append to it any more."""
        return spool.is_closed(self._directory, segment)

    def places(self, segment: str) -> list[tuple[Place, GroupHead]]:
        """Where groups lie in a closed segment, in their order.

        What was being written when the machine or the process stopped is passed over: it was promised to nobody. So
        is what no head announces, up to the next that does.
        """
        end, at = spool.length(self._directory, segment), len(SEGMENT_HEADER)
        found: list[tuple[Place, GroupHead]] = []
        while at + HEAD_BYTES <= end:
            head = self._head_at(segment, at)
            if head is None:
                at = self._next_magic(segment, at + 1, end)
                continue
            if at + head.total_bytes > end:
                break
            found.append((Place(segment, at, head.total_bytes), head))
            at += head.total_bytes
        return found

    def holds_more(self, segment: str, places: Sequence[tuple[Place, GroupHead]]) -> bool:
        """True when a closed segment holds what no head announces, and more than a write that was cut short leaves.

        A head that is not right any more may have been that of a whole group. What a cut leaves behind the last group
        is a part of a head, a head without all that it announces, or zeros.
        """
        at = len(SEGMENT_HEADER)
        for place, _ in places:
            if place.offset != at:
                return True
            at += place.length
        if at + HEAD_BYTES > spool.length(self._directory, segment) or self._head_at(segment, at) is not None:
            return False
        return any(spool.read(self._directory, Place(segment, at, HEAD_BYTES)))

    def group(self, place: Place, head: GroupHead) -> SealedGroup:
        """One group with its index opened.

        ``TamperedError``, ``WrongKeyError`` when it does not open; ``StorageUnavailableError`` while nothing can be.
        """
        wrapped = WrappedKey(head.name, head.batch, head.sealed_for, head.wrapped_batch_key, head.wrapped_key)
        (key,) = self._opener.opened([wrapped])
        if isinstance(key, StrongroomError):
            raise key
        sealed = spool.read(self._directory, Place(place.segment, place.offset + HEAD_BYTES, head.index_bytes))
        return SealedGroup(place, head, arrival_group.open_index(sealed, head=head, key=key), key)

    def messages(self, group: SealedGroup) -> list[ReceivedMessage]:
        """The messages of a group, opened. ``TamperedError`` when they are not what was written."""
        start = group.place.offset + HEAD_BYTES + group.head.index_bytes
        sealed = spool.read(self._directory, Place(group.place.segment, start, group.head.content_bytes))
        content = arrival_group.open_content(sealed, head=group.head, index=group.index, key=group.key)
        return [each.received(content) for each in group.index.messages]

    def erase(self, segment: str) -> None:
        """Overwrite a segment and remove it: its messages lie elsewhere now, under keys that can be destroyed.

        A group carries its own key, which the ring opens for as long as there is a ring.
        """
        try:
            file_erasure.erased(self._directory / segment)
        except OSError as error:
            raise StorageUnavailableError(f"a segment cannot be erased: {error.strerror}") from error

    def set_aside(self, segment: str) -> None:
        """Keep a segment for a person, out of the way."""
        try:
            durable_file.make_directory(self._directory / DAMAGED)
            (self._directory / segment).rename(self._directory / DAMAGED / segment)
            durable_file.sync_directory(self._directory / DAMAGED)
            durable_file.sync_directory(self._directory)
        except OSError as error:
            raise StorageUnavailableError(f"a segment cannot be set aside: {error.strerror}") from error

    def put_back(self, segment: str) -> None:
        """Have a segment that was set aside wait again. Said of the folder in which it lies aside."""
        try:
            (self._directory / segment).rename(self._directory.parent / segment)
            durable_file.sync_directory(self._directory.parent)
            durable_file.sync_directory(self._directory)
        except OSError as error:
            raise StorageUnavailableError(f"a segment cannot be put back: {error.strerror}") from error

    def _head_at(self, segment: str, at: int) -> GroupHead | None:
        try:
            return arrival_group.read_head(spool.read(self._directory, Place(segment, at, HEAD_BYTES)))
        except TamperedError:
            return None

    def _next_magic(self, segment: str, at: int, end: int) -> int:
        """Where the next head may begin; the end when nowhere."""
        overlap = len(arrival_group.MAGIC) - 1
        while at < end:
            data = spool.read(self._directory, Place(segment, at, min(_RESYNC_BYTES, end - at)))
            found = data.find(arrival_group.MAGIC)
            if found >= 0:
                return at + found
            at += max(len(data) - overlap, 1)
        return end


def set_aside_count(directory: Path) -> int:
    """How many segments wait for a person."""
    return len(spool.segments(directory / DAMAGED))


def waiting_since(directory: Path) -> Iterator[float]:
    """For every segment that waits, when it was last written to (seconds since 1970)."""
    for segment in spool.segments(directory):
        try:
            yield (directory / segment).stat().st_mtime
        except FileNotFoundError:
            continue
