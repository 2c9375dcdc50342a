"""Spool segments held open, so that they can be read however soon their names go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mailstore import spool
from mailstore.errors import StorageUnavailableError
from mailstore.object_layout import checked_segment_name


class SpoolPins:
    """Segments of one spool. What is erased in them meanwhile is erased here too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def pin(self) -> None:
        """Hold every segment that is there. ``StorageUnavailableError`` when one cannot be opened."""
        for name in spool.segments(self._directory):
            if name not in self._held:
                with suppress(FileNotFoundError):
                    self._held[name] = self._opened(name)

    def holds(self, name: str) -> bool:
        """True when the segment is held."""
        return name in self._held

    def names(self) -> Iterator[str]:
        """Every segment that is held."""
        yield from sorted(self._held)

    def size(self, name: str) -> int:
        """How long it is now."""
        return os.fstat(self._held[name]).st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Some bytes of it."""
        return os.pread(self._held[name], length, offset)

    def _opened(self, name: str) -> int:
        try:
            return os.open(self._directory / checked_segment_name(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageUnavailableError(f"spool segment {name} cannot be read: {error.strerror}") from error
