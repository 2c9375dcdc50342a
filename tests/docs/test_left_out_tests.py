"""Which tests are left out over PostgreSQL is told, file by file."""

from __future__ import annotations

from tests.repository_room import ROOT

PAGE = ROOT / "docs" / "decisions" / "postgresql.md"
MARK = "mark.sqlite_files("
SKIPPED = "skipif(" + "database_room"
"""Put together, so that this file does not name itself."""


def test_every_file_with_left_out_tests_is_told_with_its_reason() -> None:
    marked = {path.stem for path in (ROOT / "tests").rglob("test_*.py") if MARK in path.read_text("utf-8")} - {
        "test_left_out_tests"
    }
    told = PAGE.read_text("utf-8")
    assert marked
    assert sorted(name for name in marked if f"`{name}`" not in told) == []


def test_no_test_is_left_out_over_postgresql_without_the_mark() -> None:
    silent = [path for path in (ROOT / "tests").rglob("test_*.py") if SKIPPED in path.read_text("utf-8")]
    assert silent == []
