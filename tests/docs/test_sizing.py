"""The table of sizes is what its own figures come to, and these stand on the page of what was measured."""

from __future__ import annotations

import re

from tests.repository_room import ROOT

PAGE = (ROOT / "docs" / "operations" / "sizing.md").read_text("utf-8")
MEASURED = (ROOT / "docs" / "performance.md").read_text("utf-8")
DAYS = 250
PARTS = (1_975, 2_048, 2_900)
"""Bytes of a message besides its sealed content: rows and keys, the rest of its last block, the search index."""

SEALED = {"20 KB": 11_474, "100 KB": 89_000}
SECONDS_OF_CPU = 0.016
ROW = re.compile(
    r"^\| (\d+) \| ([\d,]+) \| (\d+) \| ([\d,]+) \| ([\d.,]+) GB \| ([\d.,]+) GB \| ([\d.]+) min", re.MULTILINE
)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_every_row_is_what_the_figures_come_to() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) == 8
    for _staff, a_day, years, in_all, small, large, minutes in rows:
        messages = number(a_day) * DAYS * number(years)
        assert number(in_all) == messages
        for told, sealed in ((small, SEALED["20 KB"]), (large, SEALED["100 KB"])):
            exact = messages * (sealed + sum(PARTS)) / 1e9
            assert abs(number(told) - exact) <= max(0.06, exact * 0.02), (messages, told, exact)
        assert abs(number(minutes) - number(a_day) * SECONDS_OF_CPU / 60) <= 0.06


def test_the_figures_are_those_that_were_measured() -> None:
    for figure in ("11,474 + 1,809 + 137 + 29", "287 MB", "0.89", "377 MiB RSS (395 MB)", "15.46", "14.6 MB"):
        assert figure in MEASURED, figure
    for figure in (*(f"{part:,}" for part in PARTS), "11,474", "89,000", "395 MB", "16 ms", "14.6 MB"):
        assert figure in PAGE, figure


MEBIBYTE = 1.048576


def test_memory_of_what_stands_beside_it_is_as_it_was_measured() -> None:
    """On the page of sizes in MB, on that of what was measured in MiB."""
    for part, measured, told in (
        ("PostgreSQL", 74, 78), ("rspamd", 94, 99), ("rspamd", 171, 180), ("ClamAV", 834, 875), ("unbound", 21, 22),
    ):  # fmt: skip
        assert round(measured * MEBIBYTE) in {told, told - 1}
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {part}")]
        assert f"{told} MB" in line
        (line,) = [line for line in MEASURED.splitlines() if line.startswith(f"| {part} ") and "MiB" in line]
        assert f"{measured} MiB" in line
