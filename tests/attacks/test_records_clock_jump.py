"""A clock set forward destroys nothing (I10): a real process under a false clock, in the middle of a cooling-off."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from appliance import archive_wiring
from archive.disposal_decision import Keep, Why
from archive.legal_hold import HoldState
from mailstore import message_records
from mailstore.errors import DestroyedError, StrongroomError
from mailstore.message import MessageId
from mailstore.trusted_clock import ClockInDoubtError
from mailstore.wall_clock import SystemClock
from tests import lived_practice
from tests.lived_practice import DOOMED, PAUL, RUTH, SCHEDULE, LivedPractice
from tests.records_room import APPROVER, COOLING_OFF, RECORDS, RecordsRoom
from tests.repository_room import ROOT
from tests.running_practice import PASSWORD

AHEAD, YEAR = timedelta(days=10), timedelta(days=366)
A_YEAR = SCHEDULE.replace('"0 days"', '"1 year"')


@pytest.fixture
def room(tmp_path: Path) -> Iterator[RecordsRoom]:
    made = RecordsRoom(tmp_path / "room")
    yield made
    made.vault.close()


CHILD = """
import json, sys
from pathlib import Path
from tests.lived_practice import LivedPractice
practice = LivedPractice(Path(sys.argv[1]))
answers = [practice.ask(*words) for words in json.load(sys.stdin)]
print(json.dumps([[answer.code, answer.json] for answer in answers]))
"""


def forged(practice: LivedPractice, *commands: tuple[str, ...]) -> list[tuple[int, dict[str, Any]]]:
    """What commands answer in a process of somebody who owns the machine: its clock stands ten days ahead."""
    done = subprocess.run(
        ["faketime", "-f", f"+{AHEAD.days}d", sys.executable, "-c", CHILD, str(practice.path)],
        cwd=ROOT,
        input=json.dumps(commands).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [(code, told) for code, told in json.loads(done.stdout)]


def sign_in(practice: LivedPractice, email: str) -> tuple[str, ...]:
    """Ten days ahead, with the code of that time."""
    password = practice.path.parent / "password"
    password.write_text(PASSWORD + "\n", "utf-8")
    code = pyotp.TOTP(practice.secrets[email]).at(SystemClock().now() + AHEAD)
    return ("sign-in", email, "--password-file", str(password), "--totp", code)


@pytest.fixture
def practice(tmp_path: Path) -> LivedPractice:
    made = lived_practice.founded(tmp_path)
    settings = made.data.settings
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("cooling_off_hours = 0", "cooling_off_hours = 168"), "utf-8")
    return made


def approved(practice: LivedPractice) -> tuple[str, str]:
    """A disposal that cools off for a week, and the message that it is about."""
    with practice.opened() as appliance:
        records, approver = lived_practice.actor(appliance, RUTH), lived_practice.actor(appliance, PAUL)
        desk = archive_wiring.desk(appliance)
        desk.schedules.approve(approver, desk.schedules.propose(records, SCHEDULE))
        message = lived_practice.taken_in(appliance, DOOMED)
        lived_practice.archived(appliance, [message], is_promoted=False)
        proposed = desk.disposals.propose(records)
        assert proposed.messages == 1
        desk.disposals.approve(approver, proposed.id, set_hash=proposed.set_hash)
    return proposed.id, message


def is_alive(practice: LivedPractice, message: str) -> bool:
    with practice.opened() as appliance:
        try:
            return bool(appliance.retrieval.content(MessageId(message)))
        except DestroyedError:
            return False


@pytest.mark.timeout(600)
def test_clock_set_forward_during_the_cooling_off_destroys_nothing_until_two_persons_answer_for_it(
    practice: LivedPractice,
) -> None:
    disposal, message = approved(practice)
    run = ("--as", RUTH, "disposal", "run", disposal)
    (signed, _), (status, told), (frozen, clock), (_, first), (again, _) = forged(
        practice, sign_in(practice, RUTH), run, ("clock", "show"), ("--as", RUTH, "clock", "confirm"), run
    )
    assert (signed, status, told["error"]["code"]) == (0, 1, "clock_not_confirmed")
    assert "ahead" in told["error"]["message"]
    assert "clock confirm" in told["error"]["fix"]
    assert (frozen, clock["state"], clock["doubt"]) == (1, "frozen", "clock_ahead")
    assert (first["state"], again) == ("waiting for an approver", 1)
    assert is_alive(practice, message)

    _, (_, second), (status, told) = forged(practice, sign_in(practice, PAUL), ("--as", PAUL, "clock", "confirm"), run)
    assert (second["state"], status, told["destroyed"]) == ("trusted", 0, 1)
    assert practice.ask("clock", "show").json["doubt"] == "clock_behind"


def test_clock_set_back_after_a_true_approval_lets_nobody_run_it(practice: LivedPractice) -> None:
    disposal, message = approved(practice)
    answer = practice.ask("--as", RUTH, "disposal", "run", disposal)
    assert answer.json["error"]["code"] == "cooling_off"
    assert practice.told("clock", "show")["state"] == "trusted"
    assert is_alive(practice, message)


def test_nothing_is_proposed_approved_run_or_released_while_the_clock_stands_ahead(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("newsletter")
    room.receive("newsletter", body="litigated")
    hold = room.desk.holds.place(RECORDS, name="Adams", reason="counsel", query="litigated").id
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    proposed = room.desk.disposals.propose(RECORDS)
    room.vault.machine.jump(COOLING_OFF * 2)
    with pytest.raises(ClockInDoubtError):
        room.desk.disposals.propose(RECORDS)
    with pytest.raises(ClockInDoubtError):
        room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    room.vault.machine.jump(-COOLING_OFF * 2)
    room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    seen = room.desk.holds.preview_release(APPROVER, hold)
    room.vault.machine.jump(COOLING_OFF * 2)
    with pytest.raises(ClockInDoubtError):
        room.desk.disposal_run.run(RECORDS, proposed.id)
    with pytest.raises(StrongroomError):
        room.desk.holds.approve_release(APPROVER, hold, set_hash=seen.set_hash)
    assert room.is_alive(message)
    assert room.desk.holds.show(RECORDS, hold).state is HoldState.RELEASE_REQUESTED


def test_run_that_began_in_time_destroys_no_more_once_the_clock_jumped(room: RecordsRoom) -> None:
    room.put_in_force()
    message, disposal = room.receive("newsletter"), room.approved()
    room.clock.advance(COOLING_OFF)
    room.vault.machine.jump(AHEAD)
    with room.vault.database.read() as connection:
        rules = room.desk.due_records.rules(connection)
        stored = message_records.stored(connection, message)
        decision, _ = room.desk.due_records.decision(
            connection, rules, stored, room.desk.due_records.evidence_of(stored)
        )
    assert decision == Keep(Why.CLOCK_AHEAD)
    with pytest.raises(ClockInDoubtError):
        room.desk.disposal_run.run(RECORDS, disposal)


def test_mail_that_came_while_the_clock_was_years_behind_is_not_due_years_early(room: RecordsRoom) -> None:
    """The clock is set back, mail comes in, the clock is set right: its period begins now all the same."""
    room.put_in_force(A_YEAR)
    room.vault.machine.jump(-6 * YEAR)
    message = room.receive("newsletter")
    room.vault.machine.jump(6 * YEAR)
    assert room.desk.disposals.propose(RECORDS).messages == 0
    room.clock.advance(YEAR)
    room.vault.trusted_clock.keep()
    assert room.desk.disposals.propose(RECORDS).messages == 1
    assert room.is_alive(message)


@pytest.mark.parametrize("is_held_first", [False, True])
def test_mail_that_came_while_the_clock_was_years_behind_is_under_the_holds_of_its_true_day(
    room: RecordsRoom, *, is_held_first: bool
) -> None:
    def place() -> None:
        room.desk.holds.place(RECORDS, name="n", reason="r", since=since)

    room.put_in_force()
    since = room.clock.now().date()
    if is_held_first:
        place()
    room.vault.machine.jump(-20 * YEAR)
    message = room.receive("newsletter")
    room.vault.machine.jump(20 * YEAR)
    if not is_held_first:
        place()
    survey = room.desk.disposals.propose(RECORDS)
    assert (survey.messages, survey.held) == (0, 1)
    assert room.is_alive(message)


@pytest.mark.parametrize("is_held_first", [False, True])
def test_mail_that_came_while_the_clock_was_years_ahead_is_under_the_holds_of_its_true_day(
    room: RecordsRoom, *, is_held_first: bool
) -> None:
    """Captured under the wrong clock too, so that neither its receipt nor its capture tells the true day."""

    def place() -> None:
        room.desk.holds.place(RECORDS, name="n", reason="r", until=until)

    room.put_in_force()
    until = room.clock.now().date()
    if is_held_first:
        place()
    room.vault.machine.jump(20 * YEAR)
    message = room.receive("newsletter")
    room.vault.machine.jump(-20 * YEAR)
    if not is_held_first:
        place()
    room.clock.advance(21 * YEAR)
    room.vault.trusted_clock.keep()
    survey = room.desk.disposals.propose(RECORDS)
    assert (survey.messages, survey.held) == (0, 1)
    assert room.is_alive(message)
