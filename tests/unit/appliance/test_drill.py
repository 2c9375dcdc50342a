"""A drill puts a sample together from backups alone, says what it found, signs it, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archive import verify_certificate, verify_drill_report
from tests.lived_practice import DOOMED, HELD, KEPT, archived, disposed, taken_in
from tests.repository_room import ROOT
from tests.restore_room import RestoreRoom

pytestmark = pytest.mark.sqlite_files(reason="it harms files of a backup of a data directory")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> RestoreRoom:
    room = RestoreRoom(tmp_path_factory.mktemp("drilled"))
    with room.practice.opened() as appliance:
        room.practice.doomed = [taken_in(appliance, DOOMED) for _ in range(3)]
        kept = [taken_in(appliance, each) for each in (KEPT, KEPT, HELD)]
        archived(appliance, [*room.practice.doomed, *kept])
        disposed(room.practice, appliance)
        taken_in(appliance, KEPT)
    room.back_up()
    return room


def test_drill_passes_and_a_stranger_verifies_its_report_with_nothing_but_python(
    room: RestoreRoom, tmp_path: Path
) -> None:
    told = room.command("data", "backup", "drill", "--from", str(room.target))
    assert told.code == 0, told
    answer = told.json
    assert (answer["passed"], answer["messages"], answer["sampled"], answer["opened"]) == (True, 4, 4, 4)
    report = Path(answer["report"])
    for name in ("verify_drill_report.py", "verify_certificate.py"):
        (tmp_path / name).write_bytes((ROOT / "archive" / name).read_bytes())
    line = [sys.executable, "-I", str(tmp_path / "verify_drill_report.py"), str(report)]
    line += ["--public-key", str(report.with_name("disposal.pem"))]
    done = subprocess.run(line, cwd=tmp_path, env={}, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, b"valid\n"), done
    assert report.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert not (room.practice.data.backup / "drill").exists()
    content = json.loads(report.read_bytes())
    assert (content["opened_with"], content["ledger"]["with_key"]) == ("key_file", 0)
    assert content["ledger"]["destroyed"] >= 3


def test_any_changed_byte_of_a_report_is_noticed(room: RestoreRoom) -> None:
    report = Path(room.ask("data", "backup", "drill", "--from", str(room.target), "--sample", "2")["report"])
    key = report.with_name("disposal.pem").read_bytes()
    data = report.read_bytes()
    assert verify_drill_report.problems_of(data, key) == []
    for at in range(len(data)):
        bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert is_not_what_was_signed(bad, data), at
        assert at % 41 or verify_drill_report.problems_of(bad, key), at
    lie = verify_certificate.canonical({**json.loads(data), "missing_pieces": 3})
    assert "what it says of itself is not what it found" in verify_drill_report.problems_of(lie, key)


def is_not_what_was_signed(report: bytes, signed: bytes) -> bool:
    """Quick, for every byte: it is no report, not in the one form of one, or another document or signature."""
    try:
        told, was = verify_certificate.read(report), verify_certificate.read(signed)
        is_same = verify_drill_report.signed_bytes(told) == verify_drill_report.signed_bytes(was)
    except (verify_certificate.NotACertificateError, KeyError):
        return True
    return report != verify_certificate.canonical(told) or not is_same or told["signature"] != was["signature"]


def test_lost_and_damaged_pieces_fail_the_drill_by_name(room: RestoreRoom) -> None:
    pieces = sorted((each for each in (room.target / "data" / "pieces").rglob("*") if each.is_file()), key=_size)
    biggest = pieces[-1]
    data = biggest.read_bytes()
    biggest.write_bytes(data[:-1])
    told = room.command("data", "backup", "drill", "--from", str(room.target))
    biggest.write_bytes(data)
    assert told.code == 1
    assert biggest.name in told.out.decode() + told.err


def _size(path: Path) -> int:
    return path.stat().st_size
