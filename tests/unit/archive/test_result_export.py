from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from archive import result_export
from archive.result_export import COLUMNS, EXPORTED, ResultExport, ResultExports
from archive.saved_search import AskedSearch
from archive.search_facets import Facet
from archive.search_query import QueryError
from archive.two_persons import NotPermittedError
from mailstore import audit_trail
from tests.records_room import CLINICIAN, RECORDS, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path)


def exports(room: RecordsRoom) -> ResultExports:
    return ResultExports(
        database=room.vault.database, index=room.index, retrieval=room.vault.retrieval(), clock=room.clock
    )


def rows(export: ResultExport) -> list[dict[str, str]]:
    text = b"".join(export.lines).decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_file_lists_the_results_in_their_order_and_says_nothing_more(room: RecordsRoom) -> None:
    first = room.receive("letter one", body="a secret of the body", is_indexed=True)
    second = room.receive('letter "two", of two', is_indexed=True)
    room.receive("invoice", is_indexed=True)
    export = exports(room).of(RECORDS, AskedSearch("letter", {Facet.DIRECTION: "received"}))
    assert (export.messages, export.total, export.is_complete) == (2, 2, True)
    found = rows(export)
    assert {row["id"] for row in found} == {first, second}
    assert {row["subject"] for row in found} == {"letter one", 'letter "two", of two'}
    assert set(found[0]) == set(COLUMNS)
    assert not any("secret" in value for row in found for value in row.values())


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "|", "%"])
def test_subject_of_a_stranger_is_never_calculated(room: RecordsRoom, start: str) -> None:
    room.receive(f"{start}HYPERLINK letter", is_indexed=True)
    (row,) = rows(exports(room).of(RECORDS, AskedSearch("letter")))
    assert row["subject"] == f"'{start}HYPERLINK letter"


def test_export_is_bounded_and_says_so(room: RecordsRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_export, "MOST_EXPORTED", 2)
    for number in range(3):
        room.receive(f"letter {number}", is_indexed=True)
    export = exports(room).of(RECORDS, AskedSearch("letter"))
    assert (export.messages, export.total, export.is_complete) == (2, 3, False)
    assert len(rows(export)) == 2


def test_export_is_in_the_audit_log_before_its_first_line(room: RecordsRoom) -> None:
    room.receive("letter", is_indexed=True)
    exports(room).of(RECORDS, AskedSearch("letter"))
    with room.vault.database.read() as connection:
        (entry,) = audit_trail.of_events(connection, [EXPORTED])
    assert (entry.actor, entry.detail) == (RECORDS.account, {"messages": 1, "total": 1})


def test_nobody_else_exports_and_nothing_is_exported_by_mistake(room: RecordsRoom) -> None:
    with pytest.raises(NotPermittedError):
        exports(room).of(CLINICIAN, AskedSearch("letter"))
    with pytest.raises(QueryError):
        exports(room).of(RECORDS, AskedSearch("(letter"))
    assert room.events(EXPORTED) == []


def test_message_destroyed_while_the_file_is_made_is_left_out(room: RecordsRoom) -> None:
    doomed = room.receive("letter one", is_indexed=True)
    room.receive("letter two", is_indexed=True)
    export = exports(room).of(RECORDS, AskedSearch("letter"))
    room.vault.keystore.destroy([doomed], at=room.clock.now())
    assert [row["subject"] for row in rows(export)] == ["letter two"]
