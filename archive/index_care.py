"""The search index is a cache: lost, damaged or outdated, it is made anew by itself from the messages (promise I8).

One process at a time makes it anew. While it does, every other one can see how far it is.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple

from archive import archive_records, sqlite_part
from archive.intake import Intake, Progress
from archive.sealed_index_storage import TOUCHED_BY_COMMITS
from archive.search_index import IndexOutdatedError, SearchIndex
from archive.search_index_sqlite import LIST_FOLDER
from mailstore import durable_file
from mailstore.database import Database
from mailstore.errors import RefusedError, StorageUnavailableError, StrongroomError, TamperedError

_TRIES = 5
_PAUSE_SECONDS = 0.05


class IndexBusyError(RefusedError):
    """The index is being made anew by somebody else already."""

    code = "index_rebuilding"


class RebuildStoppedError(StrongroomError):
    """The process ends. What is missing in the index is put into it at the next start."""

    code = "rebuild_stopped"


@dataclass(frozen=True)
class RebuildProgress:
    """How many messages the index holds again, and of how many."""

    done: int
    total: int


class _Seen(NamedTuple):
    """A file as it was looked at. Nobody sets back the time of its last change (``st_ctime`` in inode(7))."""

    name: str
    size: int
    changed_at: int


class RebuildMark:
    """A file that is locked while the index is made anew, and says how far that is. The lock falls with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self) -> Iterator[Progress]:
        """Hold the mark; what is given takes the progress. Raises ``IndexBusyError`` when somebody else holds it."""
        durable_file.make_directory(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _is_locked_now(descriptor):
                raise IndexBusyError("the search index is being rebuilt already", fix="Wait until it is done.")
            os.truncate(descriptor, 0)
            yield lambda done, total: _write(descriptor, done, total)
        finally:
            os.close(descriptor)

    def progress(self) -> RebuildProgress | None:
        """How far it is; None when nobody makes the index anew."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            numbers = os.pread(descriptor, 64, 0).split()
            return RebuildProgress(*map(int, numbers)) if len(numbers) == len(("done", "total")) else _BEGUN
        finally:
            os.close(descriptor)
        return None


_BEGUN = RebuildProgress(0, 0)


def _is_locked_now(descriptor: int) -> bool:
    """Take the lock. Who only looks holds it for a moment, so a refusal is believed after some tries."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False


def _write(descriptor: int, done: int, total: int) -> None:
    os.pwrite(descriptor, f"{done:>20} {total:>20}\n".encode(), 0)


def _is_touched_by_commits(name: str) -> bool:
    """True for a file that changes where it lies: what comes with a commit, and the parts that SQLite keeps."""
    return name in TOUCHED_BY_COMMITS or name == LIST_FOLDER or sqlite_part.ENDING in name


def problem_of(database: Database, index: SearchIndex, *, reads_all: bool = False) -> str:
    """Why the index must be made anew, or nothing. With ``reads_all`` every byte of it is verified."""
    with database.read() as connection:
        indexed = archive_records.counts(connection).indexed
    try:
        if reads_all:
            index.verify()
        held = index.document_count()
    except (TamperedError, IndexOutdatedError, StorageUnavailableError) as error:
        return error.message
    return "" if held >= indexed else f"it holds {held} of {indexed} messages"


class IndexCare:
    """Looks after the index of one data directory.

    ``opened`` opens the index as a stranger would: an index that is open already knows nothing of what has
    happened to its files since. ``directory`` says where those files lie now.
    """

    def __init__(
        self,
        *,
        database: Database,
        intake: Intake,
        opened: Callable[[], SearchIndex],
        directory: Callable[[], Path],
        mark: RebuildMark,
    ) -> None:
        self._database = database
        self._intake = intake
        self._opened = opened
        self._directory = directory
        self._mark = mark
        self._is_unfinished = True
        self._whole: frozenset[_Seen] | None = None
        self._index: SearchIndex | None = None
        self._stopping = Event()

    def tend(self) -> str:
        """Make the index anew when that is needed; answers why it was, or nothing.

        Files that are as they were when they were last found whole are not read again.
        """
        files = self._files()
        if self._mark.progress() is not None or (files == self._whole and not self._is_unfinished):
            return ""
        if self._problem(files) and (problem := self._problem(files)):  # twice: a busy index may change meanwhile
            self.rebuild()
            return problem
        self._finish()
        self._whole = files
        return ""

    def rebuild(self) -> int:
        """Make the index anew; answers how many messages it holds. Raises ``IndexBusyError``."""
        with self._mark.held() as tell:
            self._is_unfinished = True
            count = self._intake.rebuild(self._telling(tell))
            self._is_unfinished = False
        return count

    def stop(self) -> None:
        """End a rebuild that is under way, soon; the next ``tend`` goes on with it."""
        self._stopping.set()

    def _problem(self, files: frozenset[_Seen]) -> str:
        """As ``problem_of``. Of an index that was whole, only files that came since are read."""
        is_known = self._index is not None and not self._is_changed(files)
        index = self._index if is_known and self._index else self._opened()
        problem = problem_of(self._database, index, reads_all=not is_known)
        self._index = None if problem else index
        return problem

    def _is_changed(self, files: frozenset[_Seen]) -> bool:
        """True when a file that is written once is another than it was, or files come and go without a commit."""
        before = self._whole or frozenset()
        known = {each.name for each in before if not _is_touched_by_commits(each.name)}
        is_committed = any(_is_touched_by_commits(each.name) for each in files - before)
        return not is_committed or any(each.name in known for each in files - before)

    def _finish(self) -> None:
        """Put into the index what a rebuild that was cut off left out."""
        if self._is_unfinished:
            with self._mark.held() as tell:
                self._intake.index_waiting(self._telling(tell))
            self._is_unfinished = False

    def _telling(self, tell: Progress) -> Progress:
        def told(done: int, total: int) -> None:
            tell(done, total)
            if self._stopping.is_set():
                raise RebuildStoppedError("the process ends; the index is completed at the next start")

        return told

    def _files(self) -> frozenset[_Seen]:
        try:
            found = [(path.name, path.stat()) for path in self._directory().iterdir()]
        except OSError as error:
            raise StorageUnavailableError("the index directory changes or cannot be read") from error
        return frozenset(_Seen(name, told.st_size, told.st_ctime_ns) for name, told in found)
