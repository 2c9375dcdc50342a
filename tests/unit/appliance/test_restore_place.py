"""The directory of a restore: whose it is, and what of an earlier one in it counts as nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import restore_place
from appliance.data_directory import DataDirectory
from mailstore.errors import RefusedError


def test_restore_cut_off_before_its_plan_was_written_is_gone_on_with(tmp_path: Path) -> None:
    into = DataDirectory(tmp_path / "new")
    into.restoring.mkdir(parents=True)
    restore_place.claim(into)
    assert into.restoring.is_dir()


def test_half_a_restore_without_its_plan_is_not_touched(tmp_path: Path) -> None:
    into = DataDirectory(tmp_path / "new")
    into.restoring.mkdir(parents=True)
    (into.restoring / "rows.sqlite3").write_bytes(b"somebody's")
    with pytest.raises(RefusedError, match="not empty"):
        restore_place.claim(into)
