"""CPU seconds and resident memory of a tree of processes, read from /proc (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _stat_fields() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        yield int(text.split(" ", 1)[0]), text.rpartition(")")[2].split()


def tree(root: int) -> dict[int, list[str]]:
    """The stat fields (from the state on) of a process and all that descend from it."""
    fields = dict(_stat_fields())
    members, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in fields:
            members[pid] = fields[pid]
            waiting += [child for child, of in fields.items() if int(of[1]) == pid]
    return members


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, its reaped children included."""
    return sum(sum(map(int, fields[11:15])) for fields in tree(root).values()) / TICKS


def resident_bytes(root: int) -> int:
    """Proportional memory of the tree: shared pages divided among their users (PSS where it may be read)."""
    total = 0
    for pid, fields in tree(root).items():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            total += int(fields[21]) * PAGE_BYTES
    return total


def resident_with_shared_bytes(root: int, *, alone: bool = False) -> int:
    """Resident memory (RSS), shared pages counted in full in every process; ``alone`` without the children."""
    return sum(int(fields[21]) * PAGE_BYTES for pid, fields in tree(root).items() if pid == root or not alone)
