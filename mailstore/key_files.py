"""The files of ``keys/``: read as one state, and replaced as one state, whatever is cut short.

A change is written whole to ``next.json`` first. From there it counts: readers take it for the files, and the next
writer puts it in their places before it does anything else. The old files are overwritten, not only unlinked.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mailstore import durable_file, file_erasure
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.key_file_form import (
    CAPTURE_PUBLIC,
    MEMBERS,
    NEXT,
    RECOVERY,
    SLOTS,
    VERSION,
    canonical,
    parsed,
    raw,
    tampered,
    text,
)

_ALL: Final = (CAPTURE_PUBLIC, RECOVERY, MEMBERS, SLOTS)
_NEEDED: Final = (SLOTS, MEMBERS, CAPTURE_PUBLIC)


def read_state(directory: Path) -> dict[str, bytes]:
    """Every file by its name, of one moment. ``NotFoundError`` naming one that is missing.

    The first release had no ``recovery.json``: without it none is in the answer.
    """
    with _locked(directory, fcntl.LOCK_SH):
        return _state(directory)


def create(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write the first state, the slots last: what was cut short before them is refused by every reader."""
    durable_file.make_directory(directory)
    if any((directory / name).exists() for name in (*_ALL, NEXT)):
        raise RefusedError("there are keys already", fix="Keys are made once. Use another data directory.")
    for name in _ALL:
        write_new(directory / name, files[name])


@contextmanager
def changing(directory: Path) -> Iterator[dict[str, bytes]]:
    """The state, for a change of it: nobody else reads or changes meanwhile. Call ``replace_state`` inside.

    A change that was cut short is put in its place first.
    """
    with _locked(directory, fcntl.LOCK_EX):
        if (directory / NEXT).exists():
            _settle(directory)
        yield _state(directory)


def replace_state(directory: Path, files: Mapping[str, bytes]) -> None:
    """Put files in the places of those of their names, all or none. Inside ``changing`` alone."""
    told = {name: text(data) for name, data in files.items()}
    try:
        durable_file.replace(directory / NEXT, canonical({"version": VERSION, "files": told}))
    except OSError as error:
        raise unavailable(directory / NEXT, error) from error
    reached("keys.after_next")
    _settle(directory)


def read(path: Path) -> bytes:
    """A file's bytes. ``NotFoundError``, or ``StorageUnavailableError``, naming it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path.name} is not there", fix="Has init been run for this directory?") from None
    except OSError as error:
        raise unavailable(path, error) from error


def write_new(path: Path, data: bytes) -> None:
    """A new file, durable and readable by us alone. ``RefusedError`` when something is there."""
    try:
        durable_file.write_new(path, data)
    except FileExistsError:
        raise RefusedError(f"{path.name} is there already") from None
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> StorageUnavailableError:
    """The error for a file that cannot be read or written."""
    return StorageUnavailableError(f"{path.name} cannot be reached: {error.strerror}")


def _state(directory: Path) -> dict[str, bytes]:
    found = {name: read(directory / name) for name in _ALL if (directory / name).exists()}
    if (directory / NEXT).exists():
        found.update(_next(directory))
    for name in _NEEDED:
        if name not in found:
            read(directory / name)
    return found


def _next(directory: Path) -> dict[str, bytes]:
    value = parsed(read(directory / NEXT), NEXT)
    files = value.get("files")
    if value.get("version") != VERSION or not isinstance(files, dict) or not set(files) <= set(_ALL):
        raise tampered(NEXT)
    return {name: raw(data, NEXT) for name, data in files.items()}


def _settle(directory: Path) -> None:
    try:
        for name, data in _next(directory).items():
            file_erasure.erased(directory / name)
            reached("keys.after_erasing")
            durable_file.replace(directory / name, data)
            reached("keys.after_file")
        (directory / NEXT).unlink()
        durable_file.sync_directory(directory)
    except OSError as error:
        raise unavailable(directory, error) from error


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    """The directory itself is the lock, so that a reader needs no right to write (flock(2))."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise NotFoundError(f"{directory.name} is not there", fix="Has init been run for this directory?") from None
    except OSError as error:
        raise unavailable(directory, error) from error
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
