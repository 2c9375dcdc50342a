"""Core: lines of a CSV file (RFC 4180) that a spreadsheet shows and never calculates.

What stands in mail and in names was written by strangers: a cell that begins like a formula would be run by the
spreadsheet of whoever opens the file (CWE-1236).
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable

MEDIA_TYPE = "text/csv"

_FORMULA_STARTS = ("=", "+", "-", "@", "|", "%")
"""What makes a spreadsheet take a cell for a formula or a command, in its full-width and small forms too (NFKC)."""

_BLANK = "\ufeff"


def cell(text: str) -> str:
    """A value that a spreadsheet shows and never calculates: a leading apostrophe keeps it a text."""
    begins = text.lstrip().lstrip(_BLANK).lstrip()
    is_formula = unicodedata.normalize("NFKC", begins[:1]).startswith(_FORMULA_STARTS)
    return f"'{text}" if is_formula or text.startswith(("\t", "\r", "\n")) else text


def line(values: Iterable[str]) -> bytes:
    """One line of the file, every cell in quotation marks, ended with CR LF, in UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow([cell(value) for value in values])
    return text.getvalue().encode("utf-8", "replace")
