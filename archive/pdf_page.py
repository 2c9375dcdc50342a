"""Pages that people read, print and file: one column, sections with facts, a foot that names the document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos

INK = (33, 37, 41)
QUIET = (92, 102, 112)
LINE = (200, 206, 212)
MARGIN_MM = 20
LABEL_MM = 44
LINE_MM = 5.2


class Page(FPDF):
    """A4, one column, a footer that names the document on every page."""

    def __init__(self, name: str) -> None:
        super().__init__(format="A4")
        self._name = name
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(auto=True, margin=MARGIN_MM)

    def footer(self) -> None:
        """What stands at the foot of every page."""
        self.set_y(-14)
        self.set_font("Helvetica", size=8)
        self.set_text_color(*QUIET)
        self.cell(0, 6, f"{self._name} - page {self.page_no()}", align="C")

    def title_lines(self, title: str, practice: str) -> None:
        """What it is, and whose."""
        self.set_text_color(*INK)
        self.set_font("Helvetica", "B", 20)
        self.cell(0, 11, printable(title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_font("Helvetica", size=12)
        self.set_text_color(*QUIET)
        self.cell(0, 7, printable(practice), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)

    def heading(self, text: str) -> None:
        """A section's name with a thin line under it."""
        self.ln(3)
        self.set_font("Helvetica", "B", 11)
        self.set_text_color(*INK)
        self.cell(0, 7, printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_draw_color(*LINE)
        self.line(MARGIN_MM, self.get_y(), self.w - MARGIN_MM, self.get_y())
        self.ln(1.5)

    def fact(self, label: str, value: str, *, is_code: bool = False) -> None:
        """One line of label and value; long values wrap under themselves."""
        self.set_font("Helvetica", size=9.5)
        self.set_text_color(*QUIET)
        self.cell(LABEL_MM, LINE_MM, printable(label))
        self.set_text_color(*INK)
        self.set_font("Courier" if is_code else "Helvetica", size=8 if is_code else 9.5)
        self._wrapped(printable(value))

    def paragraph(self, text: str) -> None:
        """Running text."""
        self.set_font("Helvetica", size=9.5)
        self.set_text_color(*INK)
        self._wrapped(printable(text))
        self.ln(1)

    def _wrapped(self, text: str) -> None:
        """As many lines as it takes, from here to the right margin.

        Measured by the word: the library's own way measures every letter again for each that follows it, which was
        nine tenths of what a certificate cost.
        """
        room = self.w - self.r_margin - self.x - 2 * self.c_margin
        for line in _lines(text, room, self.get_string_width):
            self.cell(0, LINE_MM, line, new_x=XPos.LEFT, new_y=YPos.NEXT)
        self.set_x(self.l_margin)


def _lines(text: str, room: float, width: Callable[[str], float]) -> Iterator[str]:
    """The text in lines that have room; a word longer than a line is cut."""
    space = width(" ")
    words: list[str] = []
    used = 0.0
    for word in _cut(text.split(), room, width):
        takes = width(word)
        if words and used + space + takes > room:
            yield " ".join(words)
            words, used = [], 0.0
        used += takes + (space if words else 0.0)
        words.append(word)
    yield " ".join(words)


def _cut(words: Iterable[str], room: float, width: Callable[[str], float]) -> Iterator[str]:
    for word in words:
        rest = word
        while width(rest) > room:
            fits = next(length for length in range(len(rest) - 1, 0, -1) if width(rest[:length]) <= room)
            yield rest[:fits]
            rest = rest[fits:]
        yield rest


def moment(text: str) -> str:
    """A time of a document, for people."""
    return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M:%S} UTC"


def printable(text: str) -> str:
    """What the built-in fonts can show (Latin-1); the JSON keeps every letter."""
    return text.encode("latin-1", "replace").decode("latin-1")
