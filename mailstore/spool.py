"""Where a message is durable first: segments that one process appends to, as docs/formats/spool-segment.md says.

Only sealed bytes come here. A segment belongs to its writer for as long as the writer's lock is on it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mailstore import durable_file
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError
from mailstore.object_layout import checked_segment_name, is_segment_name, new_segment_name
from mailstore.sealed_format import Randomness

_HEADER = b"SRSP\x01" + bytes(11)
_SEGMENT_BYTES = 64 * 1024 * 1024
_ERASE_AT_ONCE = 1024 * 1024
_FALLOC_FL_KEEP_SIZE = 0x01
_FALLOC_FL_PUNCH_HOLE = 0x02
_CANNOT_PUNCH = (errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Place:
    """Where sealed bytes lie in the spool."""

    segment: str
    offset: int
    length: int


class SpoolWriter:
    """Appends groups of sealed objects to a segment of its own. For one thread of one process."""

    def __init__(
        self,
        directory: Path,
        randomness: Randomness,
        *,
        segment_bytes: int = _SEGMENT_BYTES,
        header: bytes = _HEADER,
    ) -> None:
        """``header``: the 16 bytes that a segment begins with, which say what lies in it."""
        self._directory = directory
        self._randomness = randomness
        self._segment_bytes = segment_bytes
        self._header = header
        self._name = ""
        self._descriptor = -1
        self._end = 0

    def append(self, objects: Sequence[bytes]) -> list[Place]:
        """Put sealed objects on the disk, all durable when this returns; their places in the same order.

        ``StorageUnavailableError`` when that fails: none of them counts. The segment is abandoned then, because
        an fsync that fails once proves nothing when it succeeds later; the next call begins a new one.
        """
        try:
            self._ensure_segment()
            return self._appended(objects)
        except OSError as error:
            self.close()
            raise StorageUnavailableError(
                f"the spool takes no mail: {error.strerror}", fix="Check the disk that holds spool/."
            ) from error

    def close(self) -> None:
        """Give the segment up. It is closed for ever then."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1

    def _ensure_segment(self) -> None:
        if self._descriptor >= 0 and self._end >= self._segment_bytes:
            self.close()
        if self._descriptor < 0:
            self._begin_segment()

    def _begin_segment(self) -> None:
        """Locked before it has a segment's name: nobody can take a young segment for an abandoned one."""
        durable_file.make_directory(self._directory)
        self._name = new_segment_name(self._randomness)
        path = self._directory / self._name
        aside = path.with_name(path.name + durable_file.ASIDE)
        self._descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        durable_file.write_all(self._descriptor, self._header)
        os.fsync(self._descriptor)
        aside.rename(path)
        durable_file.sync_directory(self._directory)
        self._end = len(self._header)

    def _appended(self, objects: Sequence[bytes]) -> list[Place]:
        places = []
        for sealed in objects:
            places.append(Place(self._name, self._end, len(sealed)))
            self._end += len(sealed)
        durable_file.write_all(self._descriptor, b"".join(objects))
        os.fdatasync(self._descriptor)
        return places


def read(directory: Path, place: Place) -> bytes:
    """The sealed bytes at a place. ``NotFoundError`` without the segment, ``TamperedError`` when it is shorter."""
    with _opened(directory, place.segment, os.O_RDONLY) as descriptor:
        data = _pread(descriptor, place)
    if len(data) != place.length:
        raise TamperedError(f"spool segment {place.segment} is shorter than it was")
    return data


def segments(directory: Path) -> list[str]:
    """The names of all segments that are there."""
    if not directory.is_dir():
        return []
    return sorted(path.name for path in directory.iterdir() if is_segment_name(path.name))


def length(directory: Path, segment: str) -> int:
    """How long a segment is. ``NotFoundError`` without it."""
    with _opened(directory, segment, os.O_RDONLY) as descriptor:
        return os.fstat(descriptor).st_size


def used_bytes(directory: Path) -> int:
    """What all segments take up on the disk; holes where mail was erased do not count."""
    try:
        with os.scandir(directory) as entries:
            return sum(_on_disk(entry) for entry in entries)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StorageUnavailableError(f"the spool cannot be looked at: {error.strerror}") from error


def _on_disk(entry: os.DirEntry[str]) -> int:
    """POSIX counts ``st_blocks`` in 512 bytes here (stat(2)). Released this very moment: nothing."""
    try:
        return entry.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def is_closed(directory: Path, segment: str) -> bool:
    """True when nobody will ever append to the segment again: its writer rolled over or is gone."""
    with _opened(directory, segment, os.O_RDONLY) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def release(directory: Path, segment: str) -> None:
    """Remove a segment, durably. The caller knows that it is closed and that no row points into it."""
    try:
        (directory / checked_segment_name(segment)).unlink(missing_ok=True)
        durable_file.sync_directory(directory)
    except OSError as error:
        raise _unavailable(segment, error) from error


def erase_range(directory: Path, place: Place) -> None:
    """Overwrite a place with zeros, sync, and punch it out where the file system can. Segment gone: nothing to do."""
    with suppress(NotFoundError), _opened(directory, place.segment, os.O_RDWR) as descriptor:
        end = min(place.offset + place.length, os.fstat(descriptor).st_size)
        for start in range(place.offset, end, _ERASE_AT_ONCE):
            _write_zeros(descriptor, start, min(_ERASE_AT_ONCE, end - start))
        os.fdatasync(descriptor)
        _punch_hole(descriptor, place.offset, place.length)
        os.fdatasync(descriptor)


def is_erased(directory: Path, place: Place) -> bool:
    """True when nothing but zeros is left at a place."""
    try:
        with _opened(directory, place.segment, os.O_RDONLY) as descriptor:
            return not any(_pread(descriptor, place))
    except NotFoundError:
        return True


@contextmanager
def _opened(directory: Path, segment: str, flags: int) -> Iterator[int]:
    path = directory / checked_segment_name(segment)
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"there is no spool segment {segment}") from None
    except OSError as error:
        raise _unavailable(segment, error) from error
    try:
        yield descriptor
    except OSError as error:
        raise _unavailable(segment, error) from error
    finally:
        os.close(descriptor)


def _pread(descriptor: int, place: Place) -> bytes:
    pieces, start, end = [], place.offset, place.offset + place.length
    while start < end and (piece := os.pread(descriptor, end - start, start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def _write_zeros(descriptor: int, start: int, length: int) -> None:
    while length:
        written = os.pwrite(descriptor, bytes(length), start)
        start, length = start + written, length - written


def _punch_hole(descriptor: int, offset: int, length: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
    failed = libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(length))
    if failed and (number := ctypes.get_errno()) not in _CANNOT_PUNCH:
        raise OSError(number, os.strerror(number))


def _unavailable(segment: str, error: OSError) -> StorageUnavailableError:
    return StorageUnavailableError(f"spool segment {segment} cannot be reached: {error.strerror}")
