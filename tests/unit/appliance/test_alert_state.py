"""What was told is known after a restart, and after an update of a file that knew less."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from appliance.alert_decision import WatchedLine
from appliance.alert_state import AlertState

NOW = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
LINE = WatchedLine(is_red=True, looks=1, is_told=True, told_at=NOW, turns=2, turns_since=NOW, red_looks=5)


def test_all_that_is_known_of_a_line_outlives_a_restart(tmp_path: Path) -> None:
    AlertState(tmp_path / "alerts.json", bytes(32)).write({"quick": {"spool": LINE}})
    assert AlertState(tmp_path / "alerts.json", bytes(32)).read() == {"quick": {"spool": LINE}}


def test_file_from_before_red_looks_were_counted_is_understood(tmp_path: Path) -> None:
    state = AlertState(tmp_path / "alerts.json", bytes(32))
    state.write({"quick": {"spool": LINE}})
    told = json.loads(state.path.read_bytes())
    del told["seal"], told["rounds"]["quick"]["spool"]["red_looks"]
    state.path.write_text(json.dumps({**told, "seal": state._seal(told)}), "utf-8")
    found = state.read()["quick"]["spool"]
    assert (found.is_told, found.red_looks) == (True, 0)
