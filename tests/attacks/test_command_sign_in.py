"""Commands in the name of a person: what a thief of a session file, a colleague, or root can do with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyotp
import pytest
from sqlalchemy import text

from appliance import account_wiring, cli, command_session, command_sign_in
from appliance.command_session import NotSignedInError
from appliance.wiring import Appliance
from mailstore.actor import SYSTEM
from mailstore.errors import RefusedError, TamperedError
from mailstore.wall_clock import SetClock
from portal.account_records import AccountState, Secrets
from tests import database_room, running_practice
from tests.running_practice import PASSWORD, ROOT, RunningPractice

ANN, RUTH = "ann@clinic.example", "ruth@clinic.example"
Ask = Callable[..., tuple[int, Any]]
NOBODY = 65534


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> RunningPractice:
    practice = running_practice.made(tmp_path_factory.mktemp("founded"))
    for email, role in ((ANN, "clinician"), (RUTH, "records")):
        practice.add_user(email, role)
    return practice


@pytest.fixture
def practice(founded: RunningPractice) -> Iterator[RunningPractice]:
    """A practice of one's own, with the same people, where another system user could get to."""
    with TemporaryDirectory() as place:
        database_room.copied_practice(founded.data, Path(place) / "data")
        yield RunningPractice(Path(place) / "data", founded.base, founded.people)


@pytest.fixture
def appliance(practice: RunningPractice) -> Iterator[Appliance]:
    from appliance.data_directory import DataDirectory  # noqa: PLC0415 - used here alone

    with Appliance.opened(DataDirectory(practice.data)) as opened:
        yield opened


@pytest.fixture
def ask(practice: RunningPractice, capsys: pytest.CaptureFixture[str]) -> Ask:
    def run(*words: str) -> tuple[int, Any]:
        code = cli.main(["--data", str(practice.data), "--json", *words])
        return code, json.loads(capsys.readouterr().out)

    return run


def sign_in(appliance: Appliance, practice: RunningPractice, email: str) -> None:
    code = pyotp.TOTP(practice.people[email]).now()
    command_sign_in.sign_in(appliance, email=email, password=PASSWORD, code=code)


def session_file(practice: RunningPractice) -> Path:
    (found,) = (practice.data / "run" / "sessions" / str(os.getuid())).iterdir()
    return found


def open_to_all(directory: Path) -> None:
    """Give everybody every right to the directory, and the way to it: the worst that an operator can do."""
    for path in [directory.parent, directory, *directory.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)


def test_root_alone_acts_in_nobodys_name(ask: Ask) -> None:
    for words in (["message", "list", ANN], ["archive", "search", "x"], ["disposal", "propose"]):
        code, told = ask(*words)
        assert (code, told["error"]["code"]) == (1, "refused")
        code, told = ask(*words, "--as", RUTH)
        assert (code, told["error"]["code"]) == (1, "not_signed_in")


def test_own_session_does_not_serve_in_another_name(appliance: Appliance, practice: RunningPractice, ask: Ask) -> None:
    sign_in(appliance, practice, ANN)
    assert ask("message", "list", ANN, "--as", ANN)[0] == 0
    code, told = ask("archive", "search", "x", "--as", RUTH)
    assert (code, told["error"]["code"]) == (1, "not_signed_in")


def test_session_file_renamed_for_another_person_is_refused(appliance: Appliance, practice: RunningPractice) -> None:
    sign_in(appliance, practice, ANN)
    mine = session_file(practice)
    code = pyotp.TOTP(practice.people[RUTH]).now()
    command_sign_in.sign_in(appliance, email=RUTH, password=PASSWORD, code=code)
    theirs = next(path for path in mine.parent.iterdir() if path != mine)
    shutil.copyfile(mine, theirs)
    with pytest.raises(NotSignedInError):
        command_session.signed_in(appliance, RUTH)


def test_session_file_that_others_can_read_is_refused(appliance: Appliance, practice: RunningPractice) -> None:
    sign_in(appliance, practice, ANN)
    assert session_file(practice).stat().st_mode & 0o777 == 0o600
    session_file(practice).chmod(0o640)
    with pytest.raises(NotSignedInError):
        command_session.signed_in(appliance, ANN)


def test_session_file_that_is_a_link_is_refused(appliance: Appliance, practice: RunningPractice) -> None:
    sign_in(appliance, practice, ANN)
    path = session_file(practice)
    moved = path.rename(practice.data / "elsewhere.json")
    path.symlink_to(moved)
    with pytest.raises(NotSignedInError):
        command_session.signed_in(appliance, ANN)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"token": 7}', b'{"token": "zz"}', b"\xff" * 2000])
def test_session_file_with_anything_else_in_it_is_refused(
    appliance: Appliance, practice: RunningPractice, content: bytes
) -> None:
    sign_in(appliance, practice, ANN)
    session_file(practice).write_bytes(content)
    with pytest.raises(NotSignedInError):
        command_session.signed_in(appliance, ANN)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another system user")
def test_stolen_session_file_is_useless_to_another_system_user(appliance: Appliance, practice: RunningPractice) -> None:
    sign_in(appliance, practice, ANN)
    stolen = practice.data / "run" / "sessions" / str(NOBODY) / session_file(practice).name
    stolen.parent.mkdir()
    shutil.copyfile(session_file(practice), stolen)
    open_to_all(practice.data)
    stolen.chmod(0o600)
    os.chown(stolen, NOBODY, NOBODY)
    program = (  # what it is made of is loaded first: this checkout need not be open to others
        "import contextlib, io, os, sys; from appliance import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()): cli.main(sys.argv[1:])\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY}); sys.exit(cli.main(sys.argv[1:]))"
    )
    common = [sys.executable, "-c", program, "--data", str(practice.data), "--json"]
    able = subprocess.run([*common, "audit", "tail"], cwd=ROOT, capture_output=True, check=False)
    assert able.returncode == 0, "the other user could not even open the directory, so this would prove nothing"
    tried = [*common, "message", "list", ANN, "--as", ANN]
    done = subprocess.run(tried, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "not_signed_in")


def test_session_row_edited_to_another_account_is_named(appliance: Appliance, practice: RunningPractice) -> None:
    sign_in(appliance, practice, ANN)
    with appliance.database.read() as connection:
        ruth = account_wiring.records(appliance).by_login(connection, RUTH)
    assert ruth is not None
    with appliance.database.write() as connection:
        connection.execute(text("UPDATE command_sessions SET account = :account"), {"account": ruth.id})
    with pytest.raises(TamperedError, match="command_sessions"):
        command_session.signed_in(appliance, ANN)


def test_sign_in_ends_after_twelve_hours_and_when_the_clock_is_set_back(
    appliance: Appliance, practice: RunningPractice
) -> None:
    sign_in(appliance, practice, ANN)
    clock = SetClock(appliance.clock.now())
    later = replace(appliance, clock=clock)
    clock.advance(timedelta(hours=11, minutes=59))
    assert command_session.signed_in(later, ANN)
    clock.advance(timedelta(minutes=2))
    with pytest.raises(NotSignedInError):
        command_session.signed_in(later, ANN)
    clock.advance(-timedelta(days=2))
    with pytest.raises(NotSignedInError):
        command_session.signed_in(later, ANN)


def test_closed_account_signs_in_no_more_and_its_session_is_over(
    appliance: Appliance, practice: RunningPractice
) -> None:
    sign_in(appliance, practice, ANN)
    with appliance.database.write() as connection:
        records = account_wiring.records(appliance)
        account = records.by_login(connection, ANN)
        assert account is not None
        records.set_secrets(connection, account.id, Secrets(), AccountState.CLOSED)
    with pytest.raises(NotSignedInError):
        command_session.signed_in(appliance, ANN)


def test_code_is_good_once_and_each_factor_alone_opens_nothing(appliance: Appliance, practice: RunningPractice) -> None:
    right = pyotp.TOTP(practice.people[ANN]).now()
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for password, code in ((PASSWORD, wrong), ("another password", right), (PASSWORD, ""), ("", right)):
        with pytest.raises(RefusedError):
            command_sign_in.sign_in(appliance, email=ANN, password=password, code=code)
    command_sign_in.sign_in(appliance, email=ANN, password=PASSWORD, code=right)
    with pytest.raises(RefusedError):
        command_sign_in.sign_in(appliance, email=ANN, password=PASSWORD, code=right)


def test_sign_in_and_out_stand_in_the_audit_trail_under_the_name(
    appliance: Appliance, practice: RunningPractice, ask: Ask
) -> None:
    sign_in(appliance, practice, ANN)
    command_session.sign_out(appliance, ANN)
    with pytest.raises(NotSignedInError):
        command_session.signed_in(appliance, ANN)
    items = ask("audit", "tail", "-n", "3")[1]["items"]
    assert [(item["actor"], item["event"]) for item in items] == [
        (ANN, "sign_in"),
        (ANN, "command_session.begun"),
        (ANN, "command_session.ended"),
    ]
    assert SYSTEM.account not in {item["actor"] for item in items}


def test_nothing_on_disk_says_who_signed_in(appliance: Appliance, practice: RunningPractice) -> None:
    sign_in(appliance, practice, ANN)
    for path in practice.data.rglob("*"):
        if path.is_file():
            assert ANN.encode() not in path.read_bytes(), path
        assert ANN not in path.name
