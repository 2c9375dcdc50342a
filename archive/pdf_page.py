"""Pages that people read, print and file: one column, sections with facts, a foot that names the document."""

from __future__ import annotations

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
        self.multi_cell(0, LINE_MM, printable(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")

    def paragraph(self, text: str) -> None:
        """Running text."""
        self.set_font("Helvetica", size=9.5)
        self.set_text_color(*INK)
        self.multi_cell(0, LINE_MM, printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")
        self.ln(1)


def moment(text: str) -> str:
    """A time of a document, for people."""
    return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M:%S} UTC"


def printable(text: str) -> str:
    """What the built-in fonts can show (Latin-1); the JSON keeps every letter."""
    return text.encode("latin-1", "replace").decode("latin-1")
