"""What a person reads: aligned, calm, and nothing in it that steers the terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import cli
from appliance.command_call import Outcome, facts, listed, shown, table
from mailstore.errors import NotFoundError

NOON = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)


def test_subject_cannot_move_the_cursor_or_forge_a_row() -> None:
    subject = "\x1b[2J\x1b]0;owned\x07hi\r\nroot  paid"
    told = table([{"id": "a", "subject": subject}], ("id", "subject"))
    assert len(told.splitlines()) == 2
    assert told.isprintable() or set(told) - {"\n"} == {sign for sign in told if sign.isprintable()}


def test_columns_are_aligned_and_long_cells_are_cut() -> None:
    told = table([{"id": "a", "text": "x" * 500}, {"id": "bbb", "text": None}], ("id", "text")).splitlines()
    assert told[0].index("text") == told[1].index("x") == 5
    assert len(told[1]) < 80


def test_times_are_shown_to_the_second_in_utc() -> None:
    assert shown(NOON) == "2026-11-22 12:00:00Z"
    assert facts({"expires_at": NOON}) == "expires at  2026-11-22 12:00:00Z"


def test_list_counts_its_items() -> None:
    outcome = listed([], ("id",), empty="None.")
    assert (outcome.fields, outcome.text) == ({"items": [], "total": 0}, "None.")


def test_json_has_times_in_rfc_3339_and_paths_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._tell(Outcome({"at": NOON, "file": Path("/a"), "name": "Zoë"}), is_json=True) == 0
    told = capsys.readouterr().out
    assert json.loads(told) == {"at": "2026-11-22T12:00:00.000005Z", "file": "/a", "name": "Zoë"}


def test_raw_bytes_go_out_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    content = bytes(range(256)) + b"\r\n.\r\n"
    assert cli._tell(Outcome({}, raw=content), is_json=False) == 0
    assert capfdbinary.readouterr().out == content


def test_refusal_is_an_error_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotFoundError("no such hold", fix="look at: strongroom hold list")
    assert cli._tell_refusal(error, is_json=True) == 1
    told = capsys.readouterr()
    wanted = {"code": "not_found", "message": "no such hold", "fix": "look at: strongroom hold list"}
    assert json.loads(told.out) == {"error": wanted}
    assert "strongroom hold list" in told.err


def test_fault_of_ours_says_where_and_never_what(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="flu") as caught:
        int("mrs smith has the flu")
    assert cli._tell_fault(caught.value, is_json=True) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["error"]["code"] == "internal"
    assert "flu" not in told.out + told.err
    assert "test_command_call.py" in told.err
