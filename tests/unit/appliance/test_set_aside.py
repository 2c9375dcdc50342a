"""What the playbook sets aside of a practice before a newer release starts, and puts back when that does not work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.repository_room import ROOT

PROGRAM = ROOT / "ansible" / "roles" / "strongroom" / "files" / "strongroom-set-aside"
SET_ASIDE = {"rows.sqlite3": "rows", "keystore.sqlite3": "keys", "spool/1.segment": "mail", "audit/checkpoints": "log"}
LEFT_ALONE = {"objects/aa/one": "object", "index/part": "index", "log/worker.log": "events", "run/serve.pid": "1"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory that lies as a data directory does."""
    place = tmp_path / "strongroom"
    for name, text in {**SET_ASIDE, **LEFT_ALONE, "birth.json": "born"}.items():
        _write(place / name, text)
    return place


def test_all_that_a_release_changed_is_put_back(data: Path) -> None:
    _run(data, "make")
    for name in SET_ASIDE:
        _write(data / name, "of the new release")
    _write(data / "rows.sqlite3-wal", "of the new release")
    (data / "spool/1.segment").unlink()
    _run(data, "back")
    assert {name: (data / name).read_text() for name in SET_ASIDE} == SET_ASIDE
    assert not (data / "rows.sqlite3-wal").exists()


def test_going_back_that_was_cut_off_is_done_again(data: Path) -> None:
    _run(data, "make")
    _run(data, "back")
    (data / "keystore.sqlite3").unlink()
    _run(data, "back")
    assert {name: (data / name).read_text() for name in SET_ASIDE} == SET_ASIDE


def test_what_was_added_meanwhile_and_what_says_that_this_is_no_copy_stay(data: Path) -> None:
    born = (data / "birth.json").stat().st_ino
    _run(data, "make")
    _write(data / "objects/bb/two", "object")
    for name in LEFT_ALONE:
        _write(data / name, "went on")
    _run(data, "back")
    assert (data / "objects/bb/two").exists()
    assert {(data / name).read_text() for name in LEFT_ALONE} == {"went on"}
    assert (data / "birth.json").stat().st_ino == born


def test_no_key_outlives_the_copy(data: Path) -> None:
    """Somebody who holds the file open sees what is left of it on the disk."""
    _run(data, "make")
    aside = data.with_name("strongroom.before-upgrade")
    with (aside / "keystore.sqlite3").open("rb") as copied:
        _run(data, "drop")
        assert b"keys" not in copied.read()
    assert not aside.exists()


def test_what_is_half_erased_is_never_put_back(data: Path, tmp_path: Path) -> None:
    """An eraser that ends after the first bytes stands for a machine that goes down there."""
    _run(data, "make")
    _write(tmp_path / "bin/shred", '#!/bin/sh\nfor last; do :; done\n: > "$last"\nexit 1\n')
    (tmp_path / "bin/shred").chmod(0o700)
    assert _run(data, "drop", check=False, first_in_path=tmp_path / "bin").returncode == 1
    _run(data, "back")
    assert {name: (data / name).read_text() for name in SET_ASIDE} == SET_ASIDE


def test_erasing_that_was_cut_off_is_brought_to_its_end(data: Path) -> None:
    _run(data, "make")
    unfinished = data.with_name("strongroom.before-upgrade.unfinished")
    data.with_name("strongroom.before-upgrade").rename(unfinished)
    with (unfinished / "keystore.sqlite3").open("rb") as copied:
        _run(data, "drop")
        assert b"keys" not in copied.read()
    assert not unfinished.exists()


def test_a_copy_that_can_be_put_back_yet_is_told_from_one_that_is_half_erased(data: Path) -> None:
    _run(data, "make")
    _write(data.with_name("strongroom.before-upgrade.unfinished") / "in the way", "of another")
    assert _run(data, "drop", check=False).returncode == 4
    (data / "keystore.sqlite3").unlink()
    _run(data, "back")
    assert {name: (data / name).read_text() for name in SET_ASIDE} == SET_ASIDE


def test_a_copy_of_an_upgrade_that_was_cut_off_is_not_written_over(data: Path) -> None:
    _run(data, "make")
    _write(data / "rows.sqlite3", "of the new release")
    assert _run(data, "make", check=False).returncode == 1
    _run(data, "back")
    assert (data / "rows.sqlite3").read_text() == "rows"


def test_where_nothing_was_set_aside_nothing_is_put_back(data: Path) -> None:
    _run(data, "back")
    _run(data, "drop")
    assert {name: (data / name).read_text() for name in SET_ASIDE} == SET_ASIDE
    assert int(_run(data, "need").stdout) >= 1


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _run(
    data: Path, word: str, *, check: bool = True, first_in_path: Path = Path("/usr/bin")
) -> subprocess.CompletedProcess[str]:
    path = f"{first_in_path}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "STRONGROOM_DATA": str(data)}
    return subprocess.run([str(PROGRAM), word], env=environment, check=check, capture_output=True, text=True)
