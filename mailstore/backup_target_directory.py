"""Backups in a directory: another disk, a mounted share, a stick."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from mailstore import durable_file
from mailstore.backup_listing import checked_name, is_name
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError


class DirectoryTarget:
    """Files below one directory, which must be there: a disk that is not mounted is not a target to fill."""

    may_remove = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.url = str(directory)

    def put(self, name: str, data: bytes) -> None:
        """As the port says. Written aside, synced, linked, and read back from the disk."""
        path = self._path(name)
        self._require_directory()
        try:
            if not path.exists():
                durable_file.make_directory(path.parent)
                durable_file.write_new(path, data)
        except FileExistsError:
            pass
        except OSError as error:
            raise self._unavailable(name, error) from error
        if self._read_from_disk(path, name) != data:
            raise RefusedError(
                f"{name} is in the target already with other bytes, or was not kept as it was written",
                fix="run: strongroom backup verify; look after the disk of the target, or name another one",
            )

    def get(self, name: str) -> bytes:
        """As the port says."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            self._require_directory()
            raise NotFoundError(f"{name} is not in the target {self.url}") from None
        except OSError as error:
            raise self._unavailable(name, error) from error

    def held(self, beginning: str) -> Iterator[tuple[str, int]]:
        """As the port says. Directories are read one at a time."""
        self._require_directory()
        start = self._directory / beginning.rpartition("/")[0]
        try:
            for path in self._files_below(start):
                name = str(path.relative_to(self._directory))
                if name.startswith(beginning) and is_name(name):
                    yield name, path.stat().st_size
        except OSError as error:
            raise self._unavailable(beginning, error) from error

    def remove(self, name: str) -> None:
        """As the port says."""
        path = self._path(name)
        self._require_directory()
        try:
            path.unlink(missing_ok=True)
            path.with_name(path.name + durable_file.ASIDE).unlink(missing_ok=True)
            if path.parent.is_dir():
                durable_file.sync_directory(path.parent)
        except OSError as error:
            raise self._unavailable(name, error) from error

    def days_until_removed(self, beginning: str) -> int | None:
        """None: a directory removes nothing by itself."""
        del beginning
        return None

    def _files_below(self, directory: Path) -> Iterator[Path]:
        if not directory.is_dir():
            return
        for path in sorted(directory.iterdir()):
            if path.is_dir():
                yield from self._files_below(path)
            else:
                yield path

    def _read_from_disk(self, path: Path, name: str) -> bytes:
        """Not from the kernel's memory, as far as it can be asked to forget what is written already."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
            with os.fdopen(descriptor, "rb") as file:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                return file.read()
        except OSError as error:
            raise self._unavailable(name, error) from error

    def _path(self, name: str) -> Path:
        return self._directory / checked_name(name)

    def _require_directory(self) -> None:
        try:
            is_there = self._directory.is_dir()
        except OSError as error:
            raise self._unavailable("", error) from error
        if not is_there:
            raise StorageUnavailableError(
                f"the target {self.url} is not there", fix="mount the disk of the target, or make the directory"
            )

    def _unavailable(self, name: str, error: OSError) -> StorageUnavailableError:
        fixes = {errno.ENOSPC: "make room in the target", errno.EROFS: "mount the target so that it can be written"}
        fix = fixes.get(error.errno or 0, "look after the disk of the target, its owner and its modes")
        return StorageUnavailableError(f"the target {self.url} failed at {name or 'all'}: {error.strerror}", fix=fix)
