"""Backups in a directory: another disk, a mounted share, a stick."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from mailstore import durable_file
from mailstore.backup_listing import checked_name, is_name
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


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
                _write_new(path, data)
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
            if path.parent.is_dir():
                durable_file.sync_directory(path.parent)
        except OSError as error:
            raise self._unavailable(name, error) from error

    def days_until_removed(self, beginning: str) -> int | None:
        """None: a directory removes nothing by itself."""
        del beginning
        return None

    def tidy(self, *, before: float) -> None:
        """As the port says."""
        self._require_directory()
        try:
            for path in self._files_below(self._directory):
                if path.name.endswith(durable_file.ASIDE) and path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unavailable("", error) from error

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


def _write_new(path: Path, data: bytes) -> None:
    """Whole and durable, or not there. Data and keys are backed up side by side, so each writer has a name aside.

    A file system without links (a stick) renames: it may put the same bytes in the place of the same bytes.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{durable_file.ASIDE}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        durable_file.write_all(descriptor, data)
        os.fsync(descriptor)
        _named(aside, path)
    finally:
        os.close(descriptor)
        aside.unlink(missing_ok=True)
    durable_file.sync_directory(path.parent)


def _named(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        aside.rename(path)
