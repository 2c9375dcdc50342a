"""The command among hostile mail, words, directories and sign-ins: it answers in JSON and obeys its caller alone."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mailstore.message import MessageId
from tests import database_room, lived_practice
from tests.lived_practice import ANN, PAUL, RUTH, LivedPractice, archived, taken_in
from tests.running_practice import RunningPractice

ODD = {
    "terminal": b"Subject: \x1b]0;owned\x07\x1b[2Jwiped \x9b31m \x7f\x08",
    "encoded terminal": b"Subject: =?utf-8?b?G1sySg==?= =?utf-8?q?=1b]52;c;AAAA=07?=",
    "surrogate": b"Subject: =?utf-8?b?7aCA7bCA?= =?utf-16?b?2AA=?= =?utf-7?q?+2AA-?=",
    "half letters": b"Subject: \xff\xfe\xed\xa0\x80 \xf0\x9f",
    "directions": "Subject: \u202egnp.exe\u2066 \u2028 \u0085".encode(),
    "json": b'Subject: "}],"total":0} \\u0000 \\',
    "nothing": b"Subject:",
    "marks": ("Subject: " + "e" + "\u0301" * 500).encode(),
}
BODY = b"\r\n\r\n\x1b[2J\xff\xed\xa0\x80 text\r\n"
EMPTY_DATABASE_BYTES = 4096
STEERING = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\u2066", "\u2028"} - {"\n"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[LivedPractice, list[MessageId]]:
    practice = lived_practice.founded(tmp_path_factory.mktemp("odd"))
    with practice.opened() as appliance:
        names = [
            b"From: \x1b[31m<a@b.example>\r\nTo: \xff\xfe <ann@clinic.example>\r\n" + each + BODY
            for each in ODD.values()
        ]
        messages = [taken_in(appliance, content) for content in names]
        archived(appliance, messages)
    return practice, messages


def test_json_is_one_object_whatever_the_subject_holds(odd: tuple[LivedPractice, list[MessageId]]) -> None:
    practice, messages = odd
    calls: list[tuple[str, ...]] = [("message", "list", ANN, "--as", ANN), ("archive", "search", "text", "--as", RUTH)]
    calls += [("message", "show", message, "--as", ANN) for message in messages]
    calls += [("message", "trace", message) for message in messages]
    for words in calls:
        answer = practice.ask(*words)
        assert answer.code == 0, (words, answer)
        assert answer.out.isascii()
        assert answer.out.count(b"\n") == 1
        json.loads(answer.out)


def test_nothing_in_mail_steers_the_terminal(odd: tuple[LivedPractice, list[MessageId]]) -> None:
    practice, messages = odd
    calls: list[tuple[str, ...]] = [("message", "list", ANN, "--as", ANN), ("archive", "search", "text", "--as", RUTH)]
    calls += [("message", "show", message, "--as", ANN) for message in messages]
    for words in calls:
        answer = practice.ask(*words, is_json=False)
        assert answer.code == 0, (words, answer)
        shown = answer.out.decode("utf-8")
        assert not STEERING & set(shown), words


@pytest.mark.parametrize(
    "words",
    [
        ("message", "show", "../../../etc/passwd", "--as", ANN),
        ("message", "show", "a" * 26 + "\x00", "--as", ANN),
        ("message", "show", "' OR 1=1 --", "--as", ANN),
        ("message", "trace", "*" * 10_000),
        ("disposal", "show", "../birth"),
        ("hold", "release", "%2e%2e", "--reason", "r", "--as", RUTH),
        ("certificate", "verify", "/dev/zero"),
        ("certificate", "verify", "/proc/self/mem"),
        ("schedule", "propose", "/etc/passwd", "--as", RUTH),
        ("archive", "search", "(" * 20_000, "--as", RUTH),
        ("archive", "search", "from:\udcff", "--as", RUTH),
        ("message", "show", "\udcff", "--as", ANN),
        ("message", "list", "\udcff@clinic.example", "--as", ANN),
        ("message", "list", ANN, "--as", "\udcff"),
        ("message", "list", ANN, "--as", "../../../root"),
        ("message", "list", ANN, "--limit", "-1", "--as", ANN),
        ("audit", "tail", "-n", "999999999999999999999"),
        ("user", "add", "x\r\nBcc: y@clinic.example", "--name", "N", "--role", "admin", "--password-file", "/dev/zero"),
        ("patient", "add", "p@home.example", "--name", "\x1b[2J\udcff" * 50),
    ],
)
def test_hostile_words_are_refused_in_one_json_object(
    odd: tuple[LivedPractice, list[MessageId]], words: tuple[str, ...]
) -> None:
    practice, _ = odd
    answer = practice.ask(*words)
    assert answer.code in {1, 2}, answer
    error = json.loads(answer.out)["error"]
    assert error["code"] != "internal", answer.err
    assert len(answer.out) < 50_000


def test_nobody_acts_in_the_name_of_another_who_is_signed_in_too(
    odd: tuple[LivedPractice, list[MessageId]], tmp_path: Path
) -> None:
    """Two people signed in on one machine: each file opens its own person's door alone."""
    practice, messages = odd
    database_room.copied_practice(practice.path, tmp_path / "data")
    copy = replace(practice, path=tmp_path / "data")
    files = sorted((copy.data.sessions / str(os.getuid())).iterdir())
    contents = [path.read_bytes() for path in files]
    for path, content in zip(files, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    for email in (ANN, RUTH, PAUL):
        answer = copy.ask("message", "show", messages[0], "--as", email)
        assert answer.json["error"]["code"] == "not_signed_in"


def test_directory_of_sessions_that_is_a_link_leads_nowhere(
    odd: tuple[LivedPractice, list[MessageId]], tmp_path: Path
) -> None:
    practice, messages = odd
    database_room.copied_practice(practice.path, tmp_path / "data")
    copy = replace(practice, path=tmp_path / "data")
    place = copy.data.sessions / str(os.getuid())
    place.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o777)
    place.symlink_to(tmp_path / "elsewhere")
    answer = copy.ask("message", "show", messages[0], "--as", ANN)
    assert answer.json["error"]["code"] == "not_signed_in"


FILES = pytest.mark.sqlite_files(reason="PostgreSQL's rows and keys lie with its server")


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "a file",
        "empty",
        "a loop",
        "unreadable toml",
        "no keys",
        pytest.param("no rows", marks=FILES),
        pytest.param("no keystore", marks=FILES),
    ],
)
def test_hostile_data_directory_is_refused_with_a_word(
    odd: tuple[LivedPractice, list[MessageId]], tmp_path: Path, kind: str
) -> None:
    practice, _ = odd
    path = tmp_path / "data"
    match kind:
        case "a file":
            path.write_text("x", "utf-8")
        case "empty":
            path.mkdir()
        case "a loop":
            path.symlink_to(path)
        case "missing":
            pass
        case _:
            database_room.copied_practice(practice.path, path)
    hostile = replace(practice, path=path)
    if kind == "unreadable toml":
        hostile.data.settings.write_bytes(b"\xff\x00[")
    if kind == "no keys":
        shutil.rmtree(hostile.data.keys)
    for name, file in (("no rows", hostile.data.rows), ("no keystore", hostile.data.keystore)):
        if kind == name:
            file.unlink()
    for words in (("message", "list", ANN, "--as", ANN), ("doctor",), ("audit", "verify"), ("archive", "status")):
        answer = hostile.ask(*words)
        assert answer.code == 1, (words, answer)
        told = json.loads(answer.out)
        assert told.get("error", {}).get("code") != "internal", answer.err
    assert kind != "no rows" or not hostile.data.rows.exists(), "it was made anew"
    assert kind != "no keystore" or not hostile.data.keystore.exists(), "it was made anew"


@FILES
@pytest.mark.parametrize("is_emptied", [False, True])
def test_lost_rows_are_never_made_anew_by_serve(
    odd: tuple[LivedPractice, list[MessageId]], tmp_path: Path, *, is_emptied: bool
) -> None:
    practice, _ = odd
    database_room.copied_practice(practice.path, tmp_path / "data")
    rows = tmp_path / "data" / "rows.sqlite3"
    rows.unlink()
    if is_emptied:
        rows.touch(0o600)
    error = RunningPractice(tmp_path / "data", 0).refused("serve")
    assert "rows.sqlite3" in error["message"]
    assert "backup" in error["fix"]
    assert not rows.exists() or rows.stat().st_size <= EMPTY_DATABASE_BYTES
