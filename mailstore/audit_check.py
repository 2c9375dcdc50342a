"""Core: holding the audit log against itself, its frontier and every signed checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailstore.audit_entry import AuditEntry
from mailstore.audit_tree import Checkpoint, Frontier, checkpoint_from


@dataclass(frozen=True)
class AuditFault:
    """The first thing that does not hold. ``sequence`` is the entry, None when it is not about one entry."""

    sequence: int | None
    problem: str


class LogCheck:
    """Is fed every entry from 0 on, then the frontier and the checkpoints; each step answers the first fault."""

    def __init__(self, checkpoint_lines: Iterable[str]) -> None:
        self.frontier = Frontier()
        self._lines = list(checkpoint_lines)
        self._checkpoints: list[Checkpoint] = []
        self._unreadable: int | None = None
        for number, line in enumerate(self._lines, 1):
            try:
                self._checkpoints.append(checkpoint_from(line))
            except ValueError:
                self._unreadable = number
                break
        self._wanted = {checkpoint.size for checkpoint in self._checkpoints}
        self._roots: dict[int, bytes] = {}
        self._note_root()

    def take(self, entry: AuditEntry, leaf: bytes) -> AuditFault | None:
        """The next entry: in its place, and hashed as it was when it was written."""
        expected = self.frontier.size
        if entry.sequence != expected:
            return AuditFault(expected, f"entry {expected} is missing")
        if entry.leaf() != leaf:
            return AuditFault(expected, f"entry {expected} was changed")
        self.frontier.append(leaf)
        self._note_root()
        return None

    def against_state(self, size: int, frontier: bytes) -> AuditFault | None:
        """The recorded size and frontier are those of the entries seen."""
        seen = self.frontier.size
        if size > seen:
            return AuditFault(seen, f"entry {seen} is missing: the log was shortened from {size}")
        if size < seen:
            return AuditFault(size, f"entry {size} lies behind the recorded end of the log")
        if frontier != self.frontier.to_bytes():
            return AuditFault(None, "the entries do not make the recorded tree")
        return None

    def against_checkpoints(self, public_key: bytes) -> AuditFault | None:
        """Every checkpoint is signed by us, none is ahead of the log, and each states the root it had then."""
        last = 0
        for number, checkpoint in enumerate(self._checkpoints, 1):
            problem = self._problem(checkpoint, public_key, last)
            if problem is not None:
                return AuditFault(None, f"checkpoint {number} {problem}")
            last = checkpoint.size
        if self._unreadable is not None:
            return AuditFault(None, f"checkpoint {self._unreadable} cannot be read")
        return None

    def _problem(self, checkpoint: Checkpoint, public_key: bytes, last: int) -> str | None:
        if not checkpoint.is_signed_by(public_key):
            return "is not signed by this archive"
        if checkpoint.size < last:
            return "is smaller than the one before"
        if checkpoint.size > self.frontier.size:
            return f"speaks of {checkpoint.size} entries, the log has {self.frontier.size}"
        if self._roots[checkpoint.size] != checkpoint.root:
            return f"states another root for the first {checkpoint.size} entries: the log was rewritten"
        return None

    def _note_root(self) -> None:
        if self.frontier.size in self._wanted:
            self._roots[self.frontier.size] = self.frontier.root()
