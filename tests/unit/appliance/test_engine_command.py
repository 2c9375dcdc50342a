from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance import cli, index_health
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from tests.answered_fields import check
from tests.free_ports import free_base


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> DataDirectory:
    words = ["init", "--practice", "Clinic", "--domain", "clinic.example", "--loopback", str(free_base())]
    assert cli.main([*words, "--data", str(tmp_path / "data")]) == 0
    capsys.readouterr()
    return DataDirectory(tmp_path / "data")


def test_engine_is_shown_changed_and_changed_back(data: DataDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> dict[str, Any]:
        assert cli.main([*words, "--json", "--data", str(data.path)]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        check(words, answer)
        return answer

    assert told("archive", "engine", "show")["engine"] == "whoosh"
    assert told("archive", "engine", "set", "sqlite")["is_changed"]
    shown = told("archive", "engine", "show")
    assert (shown["engine"], shown["messages"], shown["building"]) == ("sqlite", 0, None)
    assert told("archive", "status")["engine"] == "sqlite"
    assert not told("archive", "engine", "set", "sqlite")["is_changed"]
    assert told("archive", "rebuild")["indexed"] == 0
    assert told("archive", "engine", "set", "whoosh")["is_changed"]
    assert told("archive", "status")["engine"] == "whoosh"


def test_nothing_is_proposed_for_a_small_archive_nor_without_a_sample(data: DataDirectory) -> None:
    with Appliance.opened(data) as appliance:
        assert index_health.proposal(appliance, indexed=index_health.MOST_WITH_WHOOSH) is None
        assert index_health.proposal(appliance, indexed=1, most=0) is None
