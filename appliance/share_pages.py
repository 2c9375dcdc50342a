"""The pages of recovery shares: one a share, as text to be typed from and as a PDF to be printed and locked away.

They are the one secret that is meant to leave the machine. They go to a directory that a person names, readable by
nobody else, and are read back before anything relies on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from mailstore import durable_file, key_files, slot_shares
from mailstore.errors import RefusedError, StorageUnavailableError

_COLUMNS: Final = 3
_MARGIN_MM: Final = 20.0
_WHAT: Final = (
    "This page is one of {of} recovery shares. Any {need} of them together open every message of the practice; fewer "
    "than {need} open nothing and tell nothing."
)
_HOW: Final = (
    "Keep each page with another person or in another safe, away from the computer. On the day they are needed: type "
    "the words of {need} pages into one file, a blank line between two pages, and say strongroom unseal --shares FILE, "
    "or strongroom restore. A wrong word is noticed."
)


@dataclass(frozen=True)
class SharePage:
    """One share and what its page says."""

    practice: str
    words: str = field(repr=False)
    number: int
    of: int
    need: int
    made_at: datetime

    @property
    def name(self) -> str:
        """The beginning of its files' names."""
        return f"share-{self.number}-of-{self.of}"

    @property
    def title(self) -> str:
        """What it is."""
        return f"Recovery share {self.number} of {self.of}, set {slot_shares.set_of(self.words)}"

    def facts(self) -> tuple[str, ...]:
        """The lines about it."""
        told = {"of": self.of, "need": self.need}
        return (f"{self.practice}, {self.made_at:%d %B %Y}", _WHAT.format(**told), _HOW.format(**told))

    def to_text(self) -> bytes:
        """As a file that opens the practice once enough of them lie together."""
        head = "\n".join(f"# {line}" for line in (self.title, *self.facts()))
        lines = [f"{place:2}. {word}" for place, word in enumerate(self.words.split(), start=1)]
        return f"{head}\n\n{chr(10).join(lines)}\n".encode()

    def to_pdf(self) -> bytes:
        """As a page to be printed."""
        page = FPDF(format="A4")
        page.set_margin(_MARGIN_MM)
        page.set_creation_date(self.made_at)
        page.set_title(self.title)
        page.add_page()
        page.set_font("Helvetica", "B", 18)
        page.multi_cell(0, 10, self.title, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        page.set_font("Helvetica", size=11)
        for line in self.facts():
            page.multi_cell(0, 6, _printable(line), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            page.ln(2)
        _lay_words(page, self.words.split())
        return bytes(page.output())


def written(directory: Path, pages: Sequence[SharePage]) -> list[Path]:
    """Write the pages, text and PDF, and prove that every share can be read back and that they open together.

    ``RefusedError`` when the directory holds anything.
    """
    try:
        durable_file.make_directory(directory)
        directory.chmod(0o700)
        if any(directory.iterdir()):
            raise RefusedError(f"{directory} is not empty", fix="name a new directory")
        files = {directory / f"{page.name}.txt": page.to_text() for page in pages}
        files |= {directory / f"{page.name}.pdf": page.to_pdf() for page in pages}
        durable_file.write_all_new(files)
    except OSError as error:
        raise StorageUnavailableError(f"{directory} cannot be written: {error.strerror}") from error
    _prove(directory, pages)
    return sorted(files)


def _prove(directory: Path, pages: Sequence[SharePage]) -> None:
    """From the files alone: each share as it was made, the first that are enough, and the last."""
    read = [slot_shares.shares_in(key_files.read(directory / f"{page.name}.txt").decode())[0] for page in pages]
    need = pages[0].need
    is_whole = read == [page.words for page in pages]
    if not is_whole or slot_shares.combined(read[:need]) != slot_shares.combined(read[-need:]):
        raise StorageUnavailableError(f"the pages in {directory} are not what was written", fix="name another disk")


def _lay_words(page: FPDF, words: Sequence[str]) -> None:
    """Numbered down the columns, in a type in which no two letters look alike."""
    page.ln(4)
    page.set_font("Courier", "B", 14)
    rows = -(-len(words) // _COLUMNS)
    width = (page.w - 2 * _MARGIN_MM) / _COLUMNS
    for row in range(rows):
        for place in range(row, len(words), rows):
            page.cell(width, 9, f"{place + 1:2}. {words[place]}")
        page.ln(9)


def _printable(text: str) -> str:
    """What the built-in fonts can show (Latin-1)."""
    return text.encode("latin-1", "replace").decode("latin-1")
