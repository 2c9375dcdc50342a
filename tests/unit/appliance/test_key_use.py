"""The account of how keys were used: nothing in it can be changed, left out, put in or put elsewhere unseen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import key_use, key_use_record
from appliance.key_agent_policy import Asker
from appliance.key_use import Head, Use
from appliance.key_use_record import Alarm, KeyUseRecord
from mailstore.wall_clock import SetClock

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SEED, LATER_SEED, STRANGER = key_use.seed_of(b"c" * 32), key_use.seed_of(b"d" * 32), key_use.seed_of(b"e" * 32)
PUBLICS = [key_use.public_of(LATER_SEED), key_use.public_of(SEED)]


def account(*seeds: bytes | None) -> list[bytes]:
    """One line for each seed."""
    lines: list[bytes] = []
    head = Head()
    for number, seed in enumerate(seeds):
        lines.append(key_use.line(Use(opened={"mail": number + 1}), before=head, at=NOW, seed=seed))
        head = key_use.head_after(head, lines[-1])
    return lines


def test_whole_account_is_good_over_a_rotation_of_the_capture_key() -> None:
    verdict = key_use.verified(account(SEED, SEED, LATER_SEED), PUBLICS)
    assert (verdict.first_bad, verdict.head.lines, verdict.signed) == (None, 3, 3)


def test_lines_written_while_sealed_are_vouched_for_by_the_next_signed_one() -> None:
    assert key_use.verified(account(SEED, None, None), PUBLICS).signed == 1
    assert key_use.verified(account(SEED, None, SEED), PUBLICS).signed == 3


@pytest.mark.parametrize("seeds", [(SEED, STRANGER), (STRANGER, SEED)])
def test_line_signed_by_a_stranger_is_bad(seeds: tuple[bytes, bytes]) -> None:
    assert key_use.verified(account(*seeds), PUBLICS).first_bad == 1 + seeds.index(STRANGER)


def test_every_changed_byte_is_noticed() -> None:
    lines = account(SEED, SEED)
    for place in range(len(lines[0])):
        changed = bytearray(lines[0])
        changed[place] ^= 1
        assert key_use.verified([bytes(changed), lines[1]], PUBLICS).first_bad is not None, place


def test_line_left_out_put_elsewhere_or_told_twice_is_noticed() -> None:
    first, second, third = account(SEED, SEED, SEED)
    for lines in ([first, third], [second, first, third], [first, second, second, third], [second, third]):
        assert key_use.verified(lines, PUBLICS).first_bad is not None


def test_account_stays_of_bounded_size_and_whole_over_restarts(tmp_path: Path) -> None:
    path, bound = tmp_path / "key-use.jsonl", 300_000
    record = KeyUseRecord(path, SetClock(NOW), kept_bytes=0)
    for _ in range(1_700):
        record.opened(Asker.MAIL, 1)
        record.write(SEED)
    assert key_use_record.former(path).exists()
    assert path.stat().st_size + key_use_record.former(path).stat().st_size < 2 * bound
    again = KeyUseRecord(path, SetClock(NOW), kept_bytes=0)
    assert again.told()["lines"] == 1_700
    lines = key_use_record.lines_of(path)
    first = json.loads(lines[0])
    assert first["line"] > 1
    since = Head(first["line"] - 1, first["before"])
    assert key_use.verified(lines, PUBLICS, since=since).first_bad is None
    assert key_use.verified(lines, PUBLICS, since=since).head.lines == 1_700
    path.unlink()  # as a crash between the two files leaves it
    left = json.loads(key_use_record.lines_of(path)[-1])["line"]
    assert KeyUseRecord(path, SetClock(NOW)).told()["lines"] == left


def test_account_that_was_cut_at_its_beginning_is_bad_unless_it_is_as_long_as_what_is_kept() -> None:
    lines = account(SEED, SEED, SEED)
    assert key_use.before_first(lines[1:]) == Head()
    assert key_use.verified(lines[1:], PUBLICS, since=key_use.before_first(lines[1:])).first_bad == 1
    long = [lines[1], b"x" * key_use.KEPT_BYTES]
    assert key_use.before_first(long) == key_use.head_after(Head(), lines[0])


def test_signature_taken_off_a_line_is_noticed_by_the_next_one() -> None:
    lines = account(SEED, SEED)
    bare = account(None)[0]
    assert key_use.verified([bare, lines[1]], PUBLICS).first_bad == 2


@pytest.fixture
def record(tmp_path: Path) -> KeyUseRecord:
    return KeyUseRecord(tmp_path / "audit" / "key-use.jsonl", SetClock(NOW))


def lines_of(tmp_path: Path) -> list[bytes]:
    return (tmp_path / "audit" / "key-use.jsonl").read_bytes().splitlines()


def test_what_was_counted_is_written_once_and_nothing_when_nothing_was(tmp_path: Path, record: KeyUseRecord) -> None:
    record.write(SEED)
    assert not (tmp_path / "audit").exists()
    record.opened(Asker.MAIL, 3)
    record.opened(Asker.MAIL, 4)
    record.write(SEED)
    record.write(SEED)
    (line,) = lines_of(tmp_path)
    assert b'"opened":{"mail":7}' in line
    assert key_use.verified([line], PUBLICS).first_bad is None


def test_the_next_process_goes_on_with_the_account(tmp_path: Path, record: KeyUseRecord) -> None:
    record.opened(Asker.MAIL, 3)
    record.write(SEED)
    after = KeyUseRecord(tmp_path / "audit" / "key-use.jsonl", SetClock(NOW))
    after.opened(Asker.WORKER, 1)
    after.write(SEED)
    assert key_use.verified(lines_of(tmp_path), PUBLICS).head.lines == 2
    assert after.told()["alarms"] == []


def test_line_that_a_crash_cut_off_is_let_go_of(tmp_path: Path, record: KeyUseRecord) -> None:
    record.opened(Asker.MAIL, 3)
    record.write(SEED)
    path = tmp_path / "audit" / "key-use.jsonl"
    path.write_bytes(path.read_bytes() + b'{"line":2,"at"')
    after = KeyUseRecord(path, SetClock(NOW))
    after.opened(Asker.MAIL, 1)
    after.write(SEED)
    assert key_use.verified(lines_of(tmp_path), PUBLICS).head.lines == 2


def test_last_line_that_is_not_ours_raises_an_alarm(tmp_path: Path, record: KeyUseRecord) -> None:
    record.opened(Asker.MAIL, 3)
    record.write(SEED)
    path = tmp_path / "audit" / "key-use.jsonl"
    path.write_bytes(b"nothing was opened\n")
    after = KeyUseRecord(path, SetClock(NOW))
    after.opened(Asker.MAIL, 1)
    after.write(SEED)
    assert [each["alarm"] for each in after.told()["alarms"]] == [Alarm.RECORD_CHANGED]


def test_same_alarm_is_raised_once_a_minute(record: KeyUseRecord) -> None:
    for _ in range(3):
        record.refused(Asker.SMTP)
    record.refused(Asker.WORKER)
    assert [(each["alarm"], each["asker"]) for each in record.told()["alarms"]] == [
        ("refused", "smtp"),
        ("refused", "worker"),
    ]
    record.write(SEED)
    record.refused(Asker.SMTP)
    told = record.told()
    assert [each["number"] for each in told["alarms"]] == [1, 2, 3]
    assert told["refused"] == {"smtp": 4, "worker": 1}


def test_what_cannot_be_written_is_written_later(tmp_path: Path, record: KeyUseRecord) -> None:
    (tmp_path / "audit").write_text("a file where the folder should be", "ascii")
    record.opened(Asker.MAIL, 3)
    record.write(SEED)
    (tmp_path / "audit").unlink()
    record.opened(Asker.MAIL, 1)
    record.write(SEED)
    assert b'"opened":{"mail":4}' in lines_of(tmp_path)[0]
