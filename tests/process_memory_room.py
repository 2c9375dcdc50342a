"""Everything that root can read in the memory of a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def memory_of(process: int) -> bytes:
    """Everything readable in a process's memory; nothing when it has ended meanwhile."""
    try:
        spans = Path(f"/proc/{process}/maps").read_text("utf-8").splitlines()
        return _read(process, spans)
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _read(process: int, spans: Sequence[str]) -> bytes:
    parts: list[bytes] = []
    with Path(f"/proc/{process}/mem").open("rb") as memory:
        for line in spans:
            span, mode, *_rest = line.split()
            if mode.startswith("rw") and "[v" not in line:
                start, end = (int(each, 16) for each in span.split("-"))
                memory.seek(start)
                try:
                    parts.append(memory.read(end - start))
                except OSError:
                    continue
    return b"".join(parts)
