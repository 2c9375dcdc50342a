"""Lays down what a restore wants out of the packs of a backup, each pack read once, each chunk held against its mark.

A pack counts as done when what was wanted of it is on the disk; a restore that was cut off lays the others again.
Objects are written aside and get their names together, in the transaction that ends the wait for them: the directory
may be at work already, and what was destroyed meanwhile gets none. A damaged pack keeps no other from being laid.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mailstore import durable_file
from mailstore.backup_contents import BackedFile
from mailstore.backup_pack import Marks, chunk_at
from mailstore.errors import RefusedError, StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.message import StoredObject
from mailstore.object_layout import checked_object_name
from mailstore.restore_plan import WHOLE, Found, RestorePlan, Wanted
from mailstore.restore_source import ELSEWHERE, RestoreSource

SYNC_BYTES: Final = 1 << 28
"""What is laid down between two waits for the disk."""

SHELF_BYTES: Final = 1 << 22
"""The same where objects go on a shelf: a server takes long for many small ones."""

_SHELVED_AT_ONCE: Final = 32
"""Objects put on a shelf while nobody else may write to the plan: some tenths of a second on a near server."""

_BREATH_SECONDS: Final = 0.12
"""SQLite tries a busy file again every 100 ms: whoever asks or forgets gets in between two lots of objects."""

_OBJECTS: Final = "objects"
_READ_AT_ONCE: Final = 1 << 20
_TOP_LEVEL: Final = frozenset({"rows.sqlite3", "birth.json", "strongroom.toml", "door.json"})
_FOLDERS: Final = frozenset({"spool", "certificates", "audit", "ledger", "tls", "sealed-spool", "keys"})
_FORBIDDEN: Final = frozenset({"", ".", ".."})

Tell = Callable[[int, int], None]
"""Told how many bytes are laid down, and of how many."""

Shelf = Callable[[str, Path], None]
"""Puts an object whose bytes lie aside, durably, in its place: its name, and where they lie."""


def wanted_of_files(files: Iterable[BackedFile]) -> Iterable[Wanted]:
    """Every chunk of these files."""
    for file in files:
        for number, mark in enumerate(file.marks):
            yield Wanted(mark, checked_path(file.path), number * file.chunk)


def wanted_of_objects(objects: Iterable[StoredObject], marks: Marks) -> Iterable[Wanted]:
    """Every object: one chunk each, known by the digest in its row."""
    for each in objects:
        yield Wanted(marks.of_digest(each.digest), checked_object_name(each.name), WHOLE)


def checked_path(path: str) -> str:
    """A path below a data directory, when it is one that a backup may hold. ``RefusedError`` for any other."""
    parts = path.split("/")
    is_known = path in _TOP_LEVEL or (parts[0] in _FOLDERS and len(parts) > 1)
    if not is_known or not _FORBIDDEN.isdisjoint(parts) or "\0" in path:
        raise RefusedError("the backup names a file that is none of a data directory")
    return path


def lay(
    plan: RestorePlan,
    source: RestoreSource,
    folder: Path,
    *,
    mark_key: bytes,
    tell: Tell,
    shelf: Shelf | None = None,
) -> None:
    """Lay down all that the plan wants, below ``folder``; objects on the ``shelf`` where that is elsewhere.

    One process at a time. Raises ``StorageUnavailableError``, and ``TamperedError`` naming the first that is not what
    was written: once all else is laid, so that what is damaged alone is still wanted.
    """
    marks, total = Marks(mark_key), plan.bytes_wanted()
    done = unsynced = 0
    laid: dict[bytes, Sequence[Found]] = {}
    damaged: TamperedError | None = None
    for pack, is_waited_for in plan.packs():
        found = plan.wanted_of(pack)
        try:
            size = _lay_pack(source.pack(pack), found, folder, marks)
        except TamperedError as error:
            damaged = damaged or error
            plan.unask(pack)
        else:
            laid[pack] = found
            done, unsynced = done + size, unsynced + size
        if is_waited_for or unsynced >= (SYNC_BYTES if shelf is None else SHELF_BYTES):
            _settle(plan, laid, folder, shelf)
            laid, unsynced = {}, 0
        tell(done, total)
    _settle(plan, laid, folder, shelf)
    if damaged is not None:
        raise damaged


def prove_files(files: Iterable[BackedFile], folder: Path) -> None:
    """Hold every file that was laid down against its digest. ``TamperedError`` naming one that is another."""
    for file in files:
        path = folder / checked_path(file.path)
        if not file.marks:
            _write_at(path, 0, b"")
        if _digest(path) != file.digest or path.stat().st_size != file.size:
            raise TamperedError(f"{file.path} of the backup is not what was written", fix=ELSEWHERE)


def _settle(plan: RestorePlan, laid: Mapping[bytes, Sequence[Found]], folder: Path, shelf: Shelf | None) -> None:
    if not laid:
        return
    reached("restore_laying.before_sync")
    os.sync()
    aside = [each.wanted.name for some in laid.values() for each in some if each.wanted.place == WHOLE]

    def put(wanted: Collection[str]) -> None:
        for name in aside:
            if name in wanted:
                _aside(folder, name).replace(folder / _OBJECTS / name)
            else:
                _aside(folder, name).unlink(missing_ok=True)
        os.sync()

    try:
        if shelf is not None:
            _shelve(plan, aside, folder, shelf)
        plan.finish(laid, put)
    except OSError as error:
        raise StorageUnavailableError(
            f"objects cannot be put in place: {error.strerror}", fix="make room, and run the same restore again"
        ) from error
    reached("restore_laying.after_packs")


def _shelve(plan: RestorePlan, aside: Sequence[str], folder: Path, shelf: Shelf) -> None:
    def put(wanted: Collection[str]) -> None:
        for name in wanted:
            shelf(name, _aside(folder, name))

    for start in range(0, len(aside), _SHELVED_AT_ONCE):
        names = aside[start : start + _SHELVED_AT_ONCE]
        plan.finish_objects(names, put)
        for name in names:
            _aside(folder, name).unlink(missing_ok=True)
        time.sleep(_BREATH_SECONDS)


def _lay_pack(opened: bytes, found: Sequence[Found], folder: Path, marks: Marks) -> int:
    for each in found:
        content = chunk_at(opened, each.at, each.wanted.mark, marks)
        if each.wanted.place == WHOLE:
            _write_at(_aside(folder, each.wanted.name), 0, content)
        else:
            _write_at(folder / each.wanted.name, each.wanted.place, content)
    return sum(each.at.length for each in found)


def _aside(folder: Path, name: str) -> Path:
    """Where an object lies until it gets its name; whoever destroys it looks there too (``object_store_local``)."""
    path = folder / _OBJECTS / name
    return path.with_name(path.name + durable_file.ASIDE)


def _write_at(path: Path, place: int, content: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            start = 0
            while start < len(content):
                start += os.pwrite(descriptor, content[start:], place + start)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageUnavailableError(
            f"{path.name} cannot be written: {error.strerror}", fix="make room, and run the same restore again"
        ) from error


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_READ_AT_ONCE):
                digest.update(part)
    except OSError as error:
        raise StorageUnavailableError(f"{path.name} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
