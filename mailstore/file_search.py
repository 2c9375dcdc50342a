"""Looks for bytes that must not be there any more in the files of a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

PIECE_BYTES: Final = 1 << 16


def holds_any(path: Path, wanted: Sequence[bytes]) -> bool:
    """True when a file holds any of these byte strings. ``OSError`` when it cannot be read."""
    if not wanted:
        return False
    with path.open("rb") as file:
        return any(each in piece for piece in _pieces(file, max(map(len, wanted))) for each in wanted)


def _pieces(file: BinaryIO, longest: int) -> Iterator[bytes]:
    """The file in pieces that overlap by what could lie across their border; those of zeros alone are left out."""
    tail = b""
    while read := file.read(PIECE_BYTES):
        piece = tail + read
        if piece.strip(b"\0"):
            yield piece
        tail = piece[-longest:]
