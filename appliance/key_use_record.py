"""The key agent's own account of how keys were used: counted in memory, written every minute, alarms remembered."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from appliance import key_use
from appliance.key_agent_policy import Asker
from appliance.key_use import Head, TreeHead, Use
from mailstore import durable_file
from mailstore.errors import StorageUnavailableError
from mailstore.instants import microseconds
from mailstore.wall_clock import Clock

logger = logging.getLogger(__name__)

ALARMS_KEPT: Final = 50
_LINE_ENDS: Final = 1 << 18
"""More than the line ends of a file that makes way, so that its lines alone are as long as ``key_use.KEPT_BYTES``."""

_TAIL_BYTES: Final = 1 << 20
"""The newest lines are read from the last of these; one is a thousandth of it."""


def lines_of(path: Path) -> list[bytes]:
    """The lines that are there, oldest first."""
    return [line for each in (former(path), path) if each.exists() for line in each.read_bytes().splitlines()]


def former(path: Path) -> Path:
    """Where the lines lie that came before those of the file."""
    return path.with_name(f"{path.stem}.former{path.suffix}")


class Alarm(StrEnum):
    """What a person must look at."""

    REFUSED = "refused"
    """A process asked for what it may not have: it was taken over, or is broken."""

    STRANGER = "stranger"
    """Somebody came to the socket who is no command of our user."""

    SLOWED = "slowed"
    """More keys were asked for than the rate allows."""

    NOT_SIGNED = "not-signed"
    """A signature was asked for under a document that this asker may not have signed, or that nobody would sign."""

    WRONG_SECRET = "wrong-secret"  # noqa: S105 - the name of an alarm
    """A secret was tried that opens nothing."""

    RECORD_CHANGED = "record-changed"
    """The account that this is written to was changed by somebody else."""


@dataclass(frozen=True)
class Raised:
    """One alarm. ``number`` counts from 1 since the agent was started."""

    number: int
    at: datetime
    alarm: Alarm
    asker: str


@dataclass
class _Minute:
    opened: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    slowed: Counter[str] = field(default_factory=Counter)
    signed: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    raised: set[tuple[Alarm, str]] = field(default_factory=set)

    def use(self) -> Use:
        return Use(dict(self.opened), dict(self.refused), dict(self.slowed), tuple(self.events), dict(self.signed))


class KeyUseRecord:
    """Counts, and writes. Safe to use from many threads. The same alarm is raised once a minute."""

    def __init__(self, path: Path, clock: Clock, *, kept_bytes: int = key_use.KEPT_BYTES) -> None:
        """``kept_bytes``: a file of this size makes way; it stays beside the next one until that is as long."""
        self._path = path
        self._kept_bytes = kept_bytes + _LINE_ENDS
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = _Minute()
        self._total = _Minute()
        self._raised: deque[Raised] = deque(maxlen=ALARMS_KEPT)
        self._alarms = 0
        self._head: Head | None = None
        self._tree: TreeHead | None = None
        self._is_tree_known = False

    def opened(self, asker: Asker, count: int) -> None:
        """Keys were handed out."""
        with self._lock:
            self._minute.opened[asker] += count
            self._total.opened[asker] += count

    def slowed(self, asker: Asker, seconds: float) -> None:
        """Somebody had to wait for keys."""
        with self._lock:
            self._minute.slowed[asker] += round(seconds * 1000)
            self._total.slowed[asker] += round(seconds * 1000)
            self._raise(Alarm.SLOWED, asker)

    def signed(self, asker: Asker) -> None:
        """A document was signed."""
        with self._lock:
            self._minute.signed[asker] += 1
            self._total.signed[asker] += 1

    def tree(self, seeds: Sequence[bytes]) -> TreeHead | None:
        """The longest audit log that was signed for, by us or by whoever kept this account before; None for none.

        ``seeds``: those that may have signed the account.
        """
        with self._lock:
            return self._known_tree(seeds)

    def note_tree(self, tree: TreeHead, seed: bytes) -> None:
        """Put down, durably, that a checkpoint is signed for it. ``StorageUnavailableError`` where that fails."""
        with self._lock:
            before, self._tree = self._tree, tree
            use, self._minute = self._minute, _Minute(raised=self._minute.raised)
            try:
                self._append(use.use(), seed)
            except OSError as error:
                self._tree = before
                self._take_back(use)
                raise StorageUnavailableError("the account of the use of keys cannot be written") from error

    def refused(self, asker: Asker) -> None:
        """A question was refused that this asker may not put."""
        with self._lock:
            self._minute.refused[asker] += 1
            self._total.refused[asker] += 1
            self._raise(Alarm.REFUSED, asker)

    def alarm(self, alarm: Alarm, asker: str = "") -> None:
        """Something else happened that a person must look at."""
        with self._lock:
            self._raise(alarm, asker)

    def event(self, word: str) -> None:
        """Something happened that belongs into the account: unsealed, sealed."""
        with self._lock:
            self._minute.events.append(word)

    def write(self, seed: bytes | None) -> None:
        """Write down what happened since the last time, if anything did. What cannot be written is kept for later."""
        with self._lock:
            use, self._minute = self._minute, _Minute()
            if not use.use():
                return
            try:
                self._append(use.use(), seed)
            except OSError:
                logger.exception("key use was not written")
                self._take_back(use)

    def told(self) -> dict[str, Any]:
        """For ``key agent status``: totals since the agent was started, the newest alarms, the end of the account."""
        with self._lock:
            head = self._known_head()
            return {
                "opened": dict(self._total.opened),
                "refused": dict(self._total.refused),
                "slowed": dict(self._total.slowed),
                "signed": dict(self._total.signed),
                "alarms": [
                    {"number": each.number, "at": microseconds(each.at), "alarm": each.alarm, "asker": each.asker}
                    for each in self._raised
                ],
                "lines": head.lines,
                "head": head.hash,
            }

    def _raise(self, alarm: Alarm, asker: str) -> None:
        if (alarm, asker) in self._minute.raised:
            return
        self._minute.raised.add((alarm, asker))
        self._minute.events.append(f"{alarm}:{asker}" if asker else str(alarm))
        self._alarms += 1
        self._raised.append(Raised(self._alarms, self._clock.now(), alarm, asker))
        logger.critical("alarm", extra={"alarm": alarm, "asker": asker})

    def _append(self, use: Use, seed: bytes | None) -> None:
        before = self._known_head()
        written = key_use.line(use, before=before, at=self._clock.now(), seed=seed, tree=self._tree)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size >= self._kept_bytes:
            self._path.replace(former(self._path))
            durable_file.sync_directory(self._path.parent)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, written + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._head = key_use.head_after(before, written)

    def _take_back(self, minute: _Minute) -> None:
        for name in ("opened", "refused", "slowed", "signed"):
            getattr(self._minute, name).update(getattr(minute, name))
        self._minute.events = minute.events + self._minute.events

    def _known_tree(self, seeds: Sequence[bytes]) -> TreeHead | None:
        if not self._is_tree_known:
            publics = [key_use.public_of(seed) for seed in seeds]
            found = (key_use.tree_in(line, publics) for line in reversed(lines_of(self._path)))
            self._tree = next((tree for tree in found if tree is not None), None)
            self._is_tree_known = True
        return self._tree

    def _known_head(self) -> Head:
        """Where the account stood when this process began; a last line that is none says that somebody changed it."""
        if self._head is None:
            written = self._last_line()
            found = key_use.head_of(written) if written else Head()
            self._head = found or Head()
            if found is None:
                self._raise(Alarm.RECORD_CHANGED, "")
        return self._head

    def _last_line(self) -> bytes:
        """The newest whole line; what a crash left behind it is cut off."""
        return self._last_line_in(self._path) or self._last_line_in(former(self._path))

    def _last_line_in(self, path: Path) -> bytes:
        try:
            with path.open("r+b") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - _TAIL_BYTES))
                tail = stream.read()
                torn = len(tail.rpartition(b"\n")[2])
                stream.truncate(size - torn)
        except FileNotFoundError:
            return b""
        return tail[: len(tail) - torn].rstrip(b"\n").rpartition(b"\n")[2]
