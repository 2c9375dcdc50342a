"""What the doctor sees, over a real data directory that was broken on purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from appliance import archive_wiring, check_wiring, cli, drill_health, health, key_health, process_file, record_health
from appliance.backup_settings import BackupTargetSettings
from appliance.commands import doctor
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import settings_of
from appliance.health_finding import Finding, State
from appliance.wiring import Appliance
from archive.index_care import RebuildMark
from mailstore import audit_trail, outbox
from mailstore.errors import RefusedError
from mailstore.object_layout import new_object_names
from mailstore.outbox import Kind
from mailstore.sealed_rows import rows_of
from mailstore.tables import scrub
from mailstore.wall_clock import SetClock, SystemClock
from tests.free_ports import free_base


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> DataDirectory:
    words = ["init", "--practice", "Clinic", "--domain", "clinic.example", "--loopback", str(free_base())]
    assert cli.main([*words, "--data", str(tmp_path / "data")]) == 0
    capsys.readouterr()
    return DataDirectory(tmp_path / "data")


@pytest.fixture
def appliance(data: DataDirectory) -> Iterator[Appliance]:
    with Appliance.opened(data) as opened:
        yield opened


def states(findings: Iterator[Finding]) -> dict[str, State]:
    return {finding.check: finding.state for finding in findings}


def test_fresh_directory_has_no_failure_and_warns_of_the_key_beside_the_data(
    data: DataDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--json", "--data", str(data.path)]) == 0
    items: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["items"]
    warned = {item["check"] for item in items if item["state"] == "warn"}
    of_this_machine = {"disk space", "time server", "restart", "security updates"}
    assert warned - of_this_machine == {"unlock", "unlock slots", "serve", "backups"}
    assert all(item["fix"] for item in items if item["state"] != "ok")
    assert {"drill", "key copies", "object lock"} <= {item["check"] for item in items if not item["applies"]}


def test_file_open_to_others_fails_and_is_named(data: DataDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    data.keystore.chmod(0o644)
    assert cli.main(["doctor", "--json", "--data", str(data.path)]) == 1
    (failed,) = [item for item in json.loads(capsys.readouterr().out)["items"] if item["state"] == "fail"]
    assert failed["check"] == "file modes"
    assert "keystore.sqlite3" in failed["message"]


def test_wrong_key_is_a_finding_and_the_rest_is_still_looked_at(
    data: DataDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    data.unlock_key.write_text("00" * 32, "ascii")
    assert cli.main(["doctor", "--json", "--data", str(data.path)]) == 1
    found = {item["check"]: item["state"] for item in json.loads(capsys.readouterr().out)["items"]}
    assert (found["open"], found["file modes"]) == ("fail", "ok")


def test_doctor_says_every_line_whole_with_its_fix_below_it(
    data: DataDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--quick", "--json", "--data", str(data.path)]) == 0
    items: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["items"]
    assert cli.main(["doctor", "--quick", "--data", str(data.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(items) + sum(1 for item in items if item["fix"])
    place = next(number for number, line in enumerate(lines) if line.startswith("warn  unlock slots "))
    assert lines[place].endswith("without it nobody reads the mail again")
    assert lines[place + 1].split("-> ")[1] == key_health.ANOTHER


def test_lines_are_green_or_red_where_somebody_looks() -> None:
    told = doctor.in_lines([Finding("a", State.OK, "m"), Finding("b", State.FAIL, "m\x1b[2J", "f")], is_coloured=True)
    well, bad, _fix = told.splitlines()
    assert well.startswith("\x1b[32mok  \x1b[0m  a")
    assert bad.startswith("\x1b[31mfail\x1b[0m  b")
    assert "\x1b[2J" not in told, "what was found steers no terminal"


def test_settings_that_are_not_understood_are_a_red_line_and_the_machine_is_still_looked_at(
    data: DataDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    data.settings.write_text(data.settings.read_text("utf-8") + "[nonsense]\n", "utf-8")
    assert cli.main(["doctor", "--json", "--data", str(data.path)]) == 1
    found = {item["check"]: item for item in json.loads(capsys.readouterr().out)["items"]}
    assert found["settings"]["state"] == "fail"
    assert "strongroom.toml" in found["settings"]["fix"]
    assert found["disk space"]["state"] in {"ok", "warn"}


def test_doing_what_a_line_says_turns_it_green(data: DataDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands as the fix has them, past ``sudo``: every word in it exists, and it mends."""
    (file := data.path.parent / "FILE").write_text("four quiet herons wade\n", "utf-8")
    file.chmod(0o600)
    (pages := data.path.parent / "DIRECTORY").mkdir(mode=0o700)

    def line(check: str, *secret: str) -> dict[str, Any]:
        cli.main([*secret, "doctor", "--quick", "--json", "--data", str(data.path)])
        items = json.loads(capsys.readouterr().out)["items"]
        return next(item for item in items if item["check"] == check)

    def done(words: str, *secret: str) -> str:
        told = words.replace("FILE", str(file)).replace("DIRECTORY", str(pages)).split()
        assert cli.main([*secret, *told, "--data", str(data.path)]) == 0, words
        return capsys.readouterr().out

    by_words = ("--passphrase-file", str(file))
    data.keystore.chmod(0o644)
    chmod = line("file modes")["fix"].removeprefix("run: sudo ").split()
    assert subprocess.run(chmod, check=True).returncode == 0
    assert line("file modes")["state"] == "ok"
    add, test, remove = (
        each.removeprefix("then, with it: ")
        .removeprefix("and: ")
        .removeprefix("run: ")
        .removeprefix("sudo strongroom ")
        for each in line("unlock")["fix"].split("; ")
    )
    done(add)
    done(test)
    done(remove, *by_words)
    assert line("unlock", *by_words)["state"] == "ok"
    shares = line("unlock slots", *by_words)["fix"].partition("sudo strongroom ")[2]
    done(shares, *by_words)
    words = data.path.parent / "words"
    words.write_text("\n".join(page.read_text("utf-8") for page in sorted(pages.glob("*.txt"))), "utf-8")
    words.chmod(0o600)
    tried = line("unlock slots", *by_words)["fix"]
    assert key_health.TRY in tried
    done("key slot test", "--shares", str(words))
    assert line("unlock slots", *by_words)["state"] == "ok"


def test_edited_row_fails_and_is_named(data: DataDirectory, appliance: Appliance) -> None:
    del data
    with appliance.database.write() as connection:
        connection.execute(text("UPDATE audit_entries SET event = 'nothing.happened'"))
    assert states(health.of_appliance(appliance))["audit"] is State.FAIL


def test_clock_behind_the_audit_trail_fails(appliance: Appliance) -> None:
    past = SetClock(SystemClock().now() - timedelta(days=1))
    assert states(health.of_appliance(replace(appliance, clock=past)))["clock"] is State.FAIL


def test_clock_that_jumped_ahead_fails_and_says_what_to_do(appliance: Appliance) -> None:
    future = SetClock(SystemClock().now() + timedelta(days=10))
    (found,) = [each for each in health.of_appliance(replace(appliance, clock=future)) if each.check == "clock"]
    assert found.state is State.FAIL
    assert "further ahead" in found.message
    assert "clock confirm" in found.fix


def test_scrub_that_is_late_or_found_damage_is_an_alarm(appliance: Appliance) -> None:
    assert states(health.of_appliance(appliance))["scrub"] is State.OK
    check_wiring.scrub(appliance).step()
    (found,) = [each for each in health.of_appliance(appliance) if each.check == "scrub"]
    assert found.state is State.OK
    assert found.message.startswith("no full round yet, next by 20")
    late = replace(appliance, clock=SetClock(SystemClock().now() + timedelta(days=31)))
    assert states(health.of_appliance(late))["scrub"] is State.FAIL
    with appliance.database.write() as connection:
        rows_of(connection).update(connection, scrub, scrub.c.id == 1, {"bad": 2})
    (found,) = [each for each in health.of_appliance(appliance) if each.check == "scrub"]
    assert (found.state, "2 sealed objects" in found.message) == (State.FAIL, True)
    assert "check --repair" in found.fix


@pytest.mark.parametrize(("days", "state"), [(300, State.OK), (380, State.WARN), (400, State.FAIL)])
def test_certificate_is_watched_until_its_end(appliance: Appliance, days: int, state: State) -> None:
    later = SetClock(SystemClock().now() + timedelta(days=days))
    assert states(health.of_appliance(replace(appliance, clock=later)))["certificate"] is state


def test_work_that_nobody_does_is_noticed(appliance: Appliance) -> None:
    now = SystemClock().now()
    with appliance.database.write() as connection:
        outbox.add(connection, Kind.REPORT, None, None, now)
    assert states(health.of_appliance(appliance))["follow-up work"] is State.OK
    later = replace(appliance, clock=SetClock(now + timedelta(hours=1)))
    assert states(health.of_appliance(later))["follow-up work"] is State.WARN


def test_audit_entries_that_no_checkpoint_covers_are_noticed(data: DataDirectory, appliance: Appliance) -> None:
    assert states(health.of_appliance(appliance))["audit checkpoints"] is State.OK
    later = replace(appliance, clock=SetClock(SystemClock().now() + timedelta(hours=1)))
    assert states(health.of_appliance(later))["audit checkpoints"] is State.WARN
    audit_trail.write_checkpoint(appliance.database, data.checkpoints, signer=appliance.signer, now=later.clock.now())
    assert states(health.of_appliance(later))["audit checkpoints"] is State.OK


def test_index_that_is_damaged_or_being_rebuilt_is_told_of(data: DataDirectory, appliance: Appliance) -> None:
    assert states(health.of_appliance(appliance))["search index"] is State.OK
    with RebuildMark(data.rebuild_mark).held() as tell:
        tell(3, 9)
        (found,) = [each for each in health.of_appliance(appliance) if each.check == "search index"]
    assert (found.state, found.message) == (State.WARN, "it is being rebuilt: 3 of 9 messages are back")
    archive_wiring.index(appliance).clear()
    (data.index / "manifest.sealed").write_bytes(b"nonsense")
    (found,) = [each for each in health.of_appliance(appliance) if each.check == "search index"]
    assert found.state is State.WARN
    assert "archive rebuild" in found.fix


def test_many_findings_of_one_kind_are_told_in_a_few_lines(appliance: Appliance) -> None:
    names = new_object_names(100, os.urandom)
    appliance.objects.put_all(dict.fromkeys(names, b"left over"))
    found = [each for each in health.of_appliance(appliance) if each.check == "objects"]
    assert len(found) == record_health.MOST_OF_ONE_CHECK + 1
    assert all(each.state is State.WARN and each.fix for each in found)
    assert "80 more" in found[-1].message


def test_ports_are_asked_while_serve_runs_and_a_silent_one_fails(data: DataDirectory) -> None:
    settings = settings_of(data)
    assert not [
        check
        for check in states(health.of_directory(data, settings, now=SystemClock().now()))
        if check.startswith("port ")
    ]
    with process_file.held(data):
        found = states(health.of_directory(data, settings, now=SystemClock().now()))
    assert {state for check, state in found.items() if check.startswith("port ")} == {State.FAIL}


def test_a_restored_directory_without_run_can_be_served_and_rebuilt(data: DataDirectory) -> None:
    shutil.rmtree(data.run)
    with process_file.held(data):
        assert process_file.holder(data) is not None
    shutil.rmtree(data.run)
    with RebuildMark(data.rebuild_mark).held():
        assert RebuildMark(data.rebuild_mark).progress() is not None


def test_look_that_breaks_off_is_a_red_line_and_all_others_are_made(appliance: Appliance) -> None:
    appliance.data.restore_plan.write_bytes(b"no plan" * 1000)
    found = {each.check: each for each in health.quickly(appliance)}
    assert (found["open"].state, found["open"].is_unknown) == (State.FAIL, True)
    assert {"backups", "drill", "object lock"} <= found.keys()


def test_drill_of_a_target_that_is_away_is_unknown(appliance: Appliance, tmp_path: Path) -> None:
    away = BackupTargetSettings(name="nas", url=str(tmp_path / "not mounted" / "nas"))
    settings = replace(appliance.settings, backup=replace(appliance.settings.backup, target=(away,)))
    (tmp_path / "not mounted").write_bytes(b"")
    (found,) = drill_health.findings(replace(appliance, settings=settings))
    assert (found.state, found.is_unknown) == (State.WARN, True)


def test_process_file_is_held_by_one_and_free_again_afterwards(data: DataDirectory) -> None:
    with process_file.held(data):
        with pytest.raises(RefusedError, match="serves"), process_file.held(data):
            pass
        assert process_file.holder(data) is not None
    assert process_file.holder(data) is None
