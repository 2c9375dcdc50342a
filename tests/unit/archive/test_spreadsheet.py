from __future__ import annotations

import csv
import io

import pytest

from archive.spreadsheet import cell, line


@pytest.mark.parametrize(
    "text",
    [
        *["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "|calc", "%0A", "  =1+1", "\u00a0=1", "\uff1d1"],
        *["\u3000=1", "\u2003 +1", " \ufeff =1", "\ufe66 1", "\ufe621", "\ufe631", "\uff201", "\uff05x", "\uff5cx"],
    ],
)
def test_cell_that_a_spreadsheet_would_calculate_becomes_text(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_plain_cell_stays_as_it_is() -> None:
    assert cell("message.opened") == "message.opened"


def test_line_with_quotation_marks_and_line_ends_is_one_row_again() -> None:
    written = ['a "b"', "c,d\r\ne", "", "\ud800"]
    told = line(written)
    assert told.endswith(b"\r\n")
    assert list(csv.reader(io.StringIO(told.decode("utf-8"), newline=""))) == [['a "b"', "c,d\r\ne", "", "?"]]
