"""Alarms by mail through the front door of a real practice, over restarts, and when mail itself is what is wrong."""

from __future__ import annotations

import email
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import Message

import pytest

from appliance import account_wiring, alert_wiring, health, portal_wiring
from appliance.alert_settings import AlertSettings
from appliance.alert_watch import AlertWatch
from appliance.health_finding import Finding, State
from appliance.settings import SpoolSettings
from appliance.wiring import Appliance
from mailstore import mailboxes, message_records
from mailstore.actor import SYSTEM, Role
from mailstore.mailboxes import Folder
from mailstore.message import RecipientState
from mailstore.wall_clock import SetClock, SystemClock
from portal.account_records import AccountState
from tests import lived_practice
from tests.lived_practice import LivedPractice
from tests.running_practice import PASSWORD

ADA = "ada@clinic.example"
RED = Finding("disk space", State.FAIL, "9 MiB are free", "make room")


@dataclass
class Sickbed:
    """A practice with an administrator, and what its doctor is made to find."""

    practice: LivedPractice
    seen_before: int = 0
    found: list[Finding] = field(default_factory=list)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    clock: SetClock = field(default_factory=lambda: SetClock(SystemClock().now()))

    @contextmanager
    def started(self) -> Iterator[tuple[Appliance, AlertWatch]]:
        """A worker's watch as it is after a start: all it knows it has read."""
        with self.practice.opened() as opened:
            settings = replace(opened.settings, alerts=self.alerts, spool=self.spool)
            appliance = replace(opened, settings=settings, clock=self.clock)
            with appliance.front_door() as front:
                watch = alert_wiring.watch(appliance, front)
                yield appliance, replace(watch, quick=lambda: self.found, thorough=lambda: self.found)

    def looks(self, times: int) -> None:
        """Start, look, end; so many times, five minutes apart."""
        for _ in range(times):
            self.clock.advance(timedelta(minutes=5))
            with self.started() as (_, watch):
                watch.look()

    def letters(self) -> list[Message]:
        """What came into the administrator's mailbox, the oldest first."""
        with self.practice.opened() as appliance:
            account = portal_wiring.people(appliance).by_email(ADA).id
            with appliance.database.read() as connection:
                mailbox = mailboxes.of_account(connection, account)
                assert mailbox is not None
                found = mailboxes.entries(connection, mailbox.id, Folder.INBOX, limit=100)
            contents = [appliance.retrieval.content(each.message) for each in reversed(found)]
        return [email.message_from_bytes(content) for content in contents][self.seen_before :]

    def subjects(self) -> list[str]:
        return [str(letter["Subject"]) for letter in self.letters()]


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> LivedPractice:
    practice = lived_practice.founded(tmp_path_factory.mktemp("alerts"))
    with practice.opened() as appliance:
        portal_wiring.people(appliance).add_staff(SYSTEM, ADA, "Ada", Role.ADMIN, PASSWORD)
    return practice


@pytest.fixture
def sickbed(founded: LivedPractice) -> Sickbed:
    founded.data.alerts.unlink(missing_ok=True)
    return Sickbed(founded, seen_before=len(Sickbed(founded).letters()))


def test_administrator_is_told_once_over_restarts_and_again_when_it_is_well(sickbed: Sickbed) -> None:
    sickbed.found = [RED]
    sickbed.looks(4)
    (letter,) = sickbed.letters()
    assert letter["Subject"] == "Strongroom needs you: disk space"
    text = letter.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"9 MiB are free" in text
    assert b"What to do: make room" in text
    assert b"/health" in text
    sickbed.found = []
    sickbed.looks(3)
    assert sickbed.subjects()[1:] == ["Strongroom is well again: disk space"]


def test_what_is_looked_at_once_a_day_needs_no_second_look(sickbed: Sickbed) -> None:
    sickbed.found = [RED]
    with sickbed.started() as (_, watch):
        watch.look_thoroughly()
        watch.look_thoroughly()
    assert len(sickbed.letters()) == 1


def test_addresses_of_the_settings_hear_of_it_by_the_usual_way_out(sickbed: Sickbed) -> None:
    sickbed.alerts = AlertSettings(to=("it@support.example", ADA))
    sickbed.found = [RED]
    sickbed.looks(2)
    assert len(sickbed.letters()) == 1, "whoever is named twice is written to once"
    with sickbed.practice.opened() as appliance:
        with appliance.database.read() as connection:
            newest = message_records.newest(connection, 2)
        to = {r.address: r.state for m in newest for r in appliance.retrieval.recipients(m.id)}
    assert to.keys() == {ADA, "it@support.example"}
    assert to["it@support.example"] is RecipientState.QUEUED


def test_address_that_nobody_has_is_told_by_the_doctor_and_in_the_log(
    sickbed: Sickbed, caplog: pytest.LogCaptureFixture
) -> None:
    sickbed.alerts = AlertSettings(to=("it@support.example", "ops@clinic.example", "on-call@clinic.example"))
    with sickbed.started() as (appliance, watch), caplog.at_level(logging.ERROR):
        readers = watch.mail.readers()
        (line,) = [each for each in health.quickly(appliance) if each.check == "alarms"]
    assert [each.canonical for each in (*readers.here, *readers.elsewhere)] == [ADA, "it@support.example"]
    assert [record.__dict__["addresses"] for record in caplog.records] == [2]
    assert (line.state, line.message.partition(" ")[0]) == (State.WARN, "2")
    assert "alerts.to" in line.fix


def test_addresses_that_somebody_has_are_well(sickbed: Sickbed) -> None:
    sickbed.alerts = AlertSettings(to=("it@support.example", ADA))
    with sickbed.started() as (appliance, _):
        (line,) = [each for each in health.quickly(appliance) if each.check == "alarms"]
    assert (line.state, line.message) == (State.OK, "2 addresses hear of alarms")


def test_without_an_administrator_at_work_whoever_has_postmasters_mail_is_told(sickbed: Sickbed) -> None:
    with sickbed.started() as (appliance, watch):
        assert [each.canonical for each in watch.mail.readers().here] == [ADA]
        records, ada = account_wiring.records(appliance), portal_wiring.people(appliance).by_email(ADA).id
        with appliance.database.write() as connection:
            secrets = records.secrets_of(connection, ada)
            records.set_secrets(connection, ada, secrets, AccountState.CLOSED)
        try:
            assert [each.canonical for each in watch.mail.readers().here] == ["postmaster@clinic.example"]
        finally:
            with appliance.database.write() as connection:
                records.set_secrets(connection, ada, secrets, AccountState.ACTIVE)


def test_mail_that_cannot_be_taken_is_in_the_log_and_told_once_it_can(
    sickbed: Sickbed, caplog: pytest.LogCaptureFixture
) -> None:
    sickbed.found, sickbed.spool = [RED], SpoolSettings(cap_bytes=0)
    with caplog.at_level(logging.ERROR):
        sickbed.looks(3)
    told = [record for record in caplog.records if record.message == "alarm cannot be mailed"]
    assert [(record.__dict__["turned"], record.__dict__["code"]) for record in told] == [
        (["disk space"], "spool_full")
    ] * 2
    assert sickbed.letters() == []
    sickbed.spool = SpoolSettings()
    sickbed.looks(2)
    assert sickbed.subjects() == ["Strongroom needs you: disk space"]


@pytest.mark.parametrize("harm", [b"", b"{}", b"[1]", b'{"format": "strongroom/alerts/v1", "rounds": {}, "seal": ""}'])
def test_file_that_was_changed_means_that_it_is_told_once_more(sickbed: Sickbed, harm: bytes) -> None:
    sickbed.found = [RED]
    sickbed.looks(2)
    sickbed.practice.data.alerts.write_bytes(harm)
    sickbed.looks(4)
    assert sickbed.subjects() == ["Strongroom needs you: disk space"] * 2


def test_whoever_writes_into_the_file_cannot_silence_a_line(sickbed: Sickbed) -> None:
    sickbed.found = [RED]
    sickbed.looks(1)
    path = sickbed.practice.data.alerts
    path.write_bytes(path.read_bytes().replace(b'"is_told": false', b'"is_told": true'))
    sickbed.looks(2)
    assert sickbed.subjects() == ["Strongroom needs you: disk space"]


def test_real_lines_of_a_fresh_practice_call_nobody(founded: LivedPractice, sickbed: Sickbed) -> None:
    with founded.opened() as appliance, appliance.front_door() as front:
        watch = alert_wiring.watch(appliance, front)
        watch.look()
        watch.look()
        watch.look_thoroughly()
    assert sickbed.letters() == []


def test_real_line_that_turns_red_is_told_and_holds_no_word_of_mail(founded: LivedPractice, sickbed: Sickbed) -> None:
    founded.data.settings.chmod(0o644)
    try:
        with founded.opened() as appliance, appliance.front_door() as front:
            alert_wiring.watch(appliance, front).look_thoroughly()
    finally:
        founded.data.settings.chmod(0o600)
    (letter,) = sickbed.letters()
    assert letter["Subject"] == "Strongroom needs you: file modes"
    assert "chmod" in str(letter.get_payload())
