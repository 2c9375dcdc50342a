"""The object store on local disk, a file an object: the default, and all that a small practice needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mailstore import durable_file
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.object_layout import FOLDERS, checked_object_name, is_object_name

_FOLDERS = frozenset(FOLDERS)


class LocalObjectStore:
    """Sealed objects as files below one directory, each synced with its directory before ``put`` returns.

    The directory must be there: whoever makes a new store calls ``made``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def made(cls, directory: Path) -> LocalObjectStore:
        """The store below a directory, which is made if it is not there."""
        durable_file.make_directory(directory)
        return cls(directory)

    def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` durably and whole, or not at all. ``RefusedError`` when the name is taken."""
        self.put_all({name: data})

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        """As ``put`` for several objects; each directory is synced once. When it raises, some may be there."""
        files = {self._path(name): data for name, data in objects.items()}
        self._require_directory()
        for name in objects:
            if self.exists(name):
                raise RefusedError(f"object {name} is there already")
        try:
            for directory in {path.parent for path in files}:
                durable_file.make_directory(directory)
            durable_file.write_all_new(files)
        except OSError as error:
            raise _unavailable(", ".join(objects), error) from error

    def get(self, name: str) -> bytes:
        """The whole object. ``NotFoundError`` when there is none by that name."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise self._not_found(name) from None
        except OSError as error:
            raise _unavailable(name, error) from error

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``. ``NotFoundError``, or ``TamperedError`` when it is shorter."""
        path = self._path(name)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except FileNotFoundError:
            raise self._not_found(name) from None
        except OSError as error:
            raise _unavailable(name, error) from error
        if len(data) != length:
            raise TamperedError(f"object {name} is shorter than it was")
        return data

    def delete(self, name: str) -> None:
        """Remove the object, durably. Nothing there: nothing to do."""
        path = self._path(name)
        self._require_directory()
        try:
            path.unlink(missing_ok=True)
            path.with_name(path.name + durable_file.ASIDE).unlink(missing_ok=True)
            if path.parent.is_dir():
                durable_file.sync_directory(path.parent)
        except OSError as error:
            raise _unavailable(name, error) from error

    def exists(self, name: str) -> bool:
        """True when the object is there."""
        path = self._path(name)
        self._require_directory()
        try:
            return path.exists()
        except OSError as error:
            raise _unavailable(name, error) from error

    def names(self, beginning: str = "") -> Iterator[str]:
        """The name of every object, or of those that begin so, in no order. Directories are read one at a time."""
        for folder in self._listed(""):
            if folder.startswith(beginning) and folder in _FOLDERS:
                for file in self._listed(folder):
                    if is_object_name(name := f"{folder}/{file}"):
                        yield name

    def _listed(self, folder: str) -> list[str]:
        try:
            return os.listdir(self._directory / folder)  # noqa: PTH208 - names alone are wanted, many at a time
        except FileNotFoundError:
            self._require_directory()
            return []
        except OSError as error:
            raise _unavailable(f"{folder}/", error) from error

    def _path(self, name: str) -> Path:
        return self._directory / checked_object_name(name)

    def _not_found(self, name: str) -> NotFoundError:
        self._require_directory()
        return NotFoundError(f"there is no object {name}")

    def _require_directory(self) -> None:
        """A disk that is not mounted must not look like a store without objects, or like a place for new ones."""
        try:
            is_there = self._directory.is_dir()
        except OSError as error:
            raise _unavailable("directory", error) from error
        if not is_there:
            raise StorageUnavailableError(
                f"the directory {self._directory.name}/ of the object store is not there",
                fix="mount the disk that holds it, or put the directory back from a backup",
            )


def _unavailable(name: str, error: OSError) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"object {name} cannot be reached: {error.strerror}", fix="Check the disk that holds objects/."
    )
