"""Mail is looked at by rspamd and clamd while its sender waits, within bounds."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import mail_scanning, scanner_health, scanning_settings
from appliance.clamd_client import ClamdClient
from appliance.health_finding import State
from appliance.mail_scanning import MailScanning
from appliance.rspamd_client import RspamdClient
from appliance.scan_verdict import Junk, PutOff, Virus
from appliance.scanning_settings import ScanningSettings
from mailstore.addresses import Address
from mailstore.audit_entry import AuditFact
from mailstore.mailboxes import Folder
from mailstore.message import Envelope, Origin, Peer, ReceivedMessage, Scan
from portal.front_door import Refused
from tests import scanner_room
from tests.scanner_room import EICAR_MARK, Asked
from tests.smtp_room import ALICE, MAIL, FrontDoorRoom

INFECTED = MAIL.replace(b"world", b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + EICAR_MARK + b"!$H+H*")
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass
class Scanners:
    """Both scanners, what they were asked, and what was recorded of refusals."""

    clamd_address: str
    rspamd_url: str
    clamd: Asked
    rspamd: Asked
    recorded: list[AuditFact] = field(default_factory=list)

    def scanning(self, *, seconds: int = 5, at_once: int = 8, **more: object) -> MailScanning:
        told = {"rspamd": self.rspamd_url, "clamd": self.clamd_address, "seconds": seconds, "at_once": at_once, **more}
        made = mail_scanning.of_settings(ScanningSettings(**told), self.recorded.append)  # type: ignore[arg-type] # by name
        assert made is not None
        return made


@pytest.fixture
def scanners() -> Iterator[Scanners]:
    clamd, rspamd = Asked(), Asked()
    with ExitStack() as stack:
        yield Scanners(
            stack.enter_context(scanner_room.clamd(clamd)),
            stack.enter_context(scanner_room.rspamd(rspamd)),
            clamd,
            rspamd,
        )


def message(content: bytes = MAIL, *, origin: Origin = Origin.SMTP) -> ReceivedMessage:
    envelope = Envelope(
        Address("sender", "elsewhere.example"), (Address("alice", "clinic.example"), Address("bob", "x.example"))
    )
    return ReceivedMessage(envelope, content, NOW, origin, Peer("192.0.2.7", "mx.elsewhere.example"))


def judged(scanning: MailScanning, received: ReceivedMessage) -> Scan | Refused | PutOff:
    return asyncio.run(scanning.judged(received))


def test_virus_is_refused_and_recorded_without_content(scanners: Scanners) -> None:
    found = judged(scanners.scanning(), message(INFECTED))
    assert isinstance(found, Refused)
    assert found.code == "virus"
    (fact,) = scanners.recorded
    assert fact.event == "message.refused"
    assert fact.detail == {
        "why": "virus",
        "origin": "smtp",
        "size_bytes": len(INFECTED),
        "recipients": 2,
        "virus": "Eicar-Test-Signature",
    }


def test_both_see_the_very_bytes_and_rspamd_the_envelope(scanners: Scanners) -> None:
    large = MAIL + b"a" * 300_000 + b"\r\n"
    assert judged(scanners.scanning(), message(large)) is Scan.CLEAN
    assert scanners.clamd.contents == scanners.rspamd.contents == [large]
    told = scanners.rspamd.fields[0]
    assert ("IP", "192.0.2.7") in told
    assert ("From", "sender@elsewhere.example") in told
    assert [value for name, value in told if name == "Rcpt"] == ["alice@clinic.example", "bob@x.example"]


@pytest.mark.parametrize(("action", "verdict"), [("add header", Scan.JUNK), ("no action", Scan.CLEAN)])
def test_what_rspamd_would_mark_is_junk(scanners: Scanners, action: str, verdict: Scan) -> None:
    scanners.rspamd.says = action
    assert judged(scanners.scanning(), message()) is verdict


def test_our_own_people_are_asked_about_viruses_alone(scanners: Scanners) -> None:
    scanners.rspamd.says = "reject"
    assert judged(scanners.scanning(), message(origin=Origin.SUBMISSION)) is Scan.CLEAN
    assert isinstance(judged(scanners.scanning(), message(INFECTED, origin=Origin.SUBMISSION)), Refused)
    assert scanners.rspamd.contents == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"stream: OK and more",
        b"INSTREAM size limit exceeded. ERROR",
        b"stream: OK FOUND or not",
        b"UNKNOWN COMMAND",
        b"x" * 100_000,
    ],
)
def test_answer_of_clamd_that_is_none_puts_mail_off(scanners: Scanners, answer: bytes) -> None:
    scanners.clamd.says = answer
    assert judged(scanners.scanning(), message()) == PutOff()
    assert judged(scanners.scanning(clamd_when_down="accept"), message()) is Scan.UNSCANNED


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\n\r\n{"action": 7}',
        b'HTTP/1.1 200 OK\r\n\r\n{"action": "rej',
        b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 2_000_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 900_000,
    ],
)
def test_answer_of_rspamd_that_is_none_lets_mail_through_marked(scanners: Scanners, answer: bytes) -> None:
    scanners.rspamd.says = answer
    assert judged(scanners.scanning(), message()) is Scan.UNSCANNED
    assert judged(scanners.scanning(rspamd_when_down="defer"), message()) == PutOff()


def test_virus_with_a_name_that_is_no_plain_word_is_recorded_as_one(scanners: Scanners) -> None:
    scanners.clamd.says = "stream: ../Ev\u00edl name\n{x} FOUND".encode()
    judged(scanners.scanning(), message())
    scanners.clamd.says = b"stream: " + b"A" * 500 + b" FOUND"
    judged(scanners.scanning(), message())
    names = [str(fact.detail["virus"]) for fact in scanners.recorded]
    assert all(len(name) <= 80 and name.isprintable() for name in names)


def test_silence_ends_in_time_for_a_crowd_too(scanners: Scanners) -> None:
    scanners.clamd.pause_seconds = 30.0
    scanning = scanners.scanning(seconds=1, at_once=2)

    async def crowd() -> list[Scan | Refused | PutOff]:
        return await asyncio.gather(*(scanning.judged(message()) for _ in range(6)))

    begun = time.monotonic()
    assert asyncio.run(crowd()) == [PutOff()] * 6
    assert time.monotonic() - begun < scanners.clamd.pause_seconds / 2


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        told = ScanningSettings(rspamd=f"http://127.0.0.1:{port}", clamd=f"127.0.0.1:{port}")
        scanning = mail_scanning.of_settings(told)
        assert scanning is not None
        assert judged(scanning, message()) == PutOff()


def test_no_scanner_named_means_nobody_is_asked() -> None:
    assert mail_scanning.of_settings(ScanningSettings()) is None


def test_clamd_is_asked_over_a_socket_of_the_file_system(tmp_path: Path) -> None:
    asked = Asked()
    with scanner_room.clamd(asked, tmp_path / "clamd.ctl") as address:
        assert asyncio.run(ClamdClient(address).ask(INFECTED)).said is Virus.FOUND
        assert asyncio.run(ClamdClient(address).is_there())


def test_scanners_say_that_they_are_there(scanners: Scanners) -> None:
    assert asyncio.run(ClamdClient(scanners.clamd_address).is_there())
    assert asyncio.run(RspamdClient(scanners.rspamd_url).is_there())
    assert asyncio.run(RspamdClient(scanners.rspamd_url).ask(message())) is Junk.CLEAN


def test_at_the_door_virus_and_junk_are_refused_and_marked_mail_is_filed_apart(
    scanners: Scanners, tmp_path: Path
) -> None:
    with FrontDoorRoom(tmp_path, scanning=scanners.scanning()) as room:
        with room.client() as client, pytest.raises(smtplib.SMTPDataError) as infected:
            client.sendmail("sender@elsewhere.example", [ALICE], INFECTED)
        assert infected.value.smtp_code == 550
        assert b"virus" in infected.value.smtp_error
        scanners.rspamd.says = "reject"
        with room.client() as client, pytest.raises(smtplib.SMTPDataError) as junk:
            client.sendmail("sender@elsewhere.example", [ALICE], MAIL)
        assert junk.value.smtp_code == 550
        assert room.inbox() == room.inbox(folder=Folder.JUNK) == []
        scanners.rspamd.says = "add header"
        with room.client() as client:
            client.sendmail("sender@elsewhere.example", [ALICE], MAIL)
        assert room.inbox() == []
        assert len(room.inbox(folder=Folder.JUNK)) == 1
        scanners.rspamd.says = None
        scanners.clamd.says = b"loading"
        with room.client() as client, pytest.raises(smtplib.SMTPDataError) as put_off:
            client.sendmail("sender@elsewhere.example", [ALICE], MAIL)
        assert put_off.value.smtp_code == 451


def test_fault_while_judging_is_ours_and_nothing_is_taken(tmp_path: Path, scanners: Scanners) -> None:
    def cannot(fact: AuditFact) -> None:
        raise OSError(28, fact.event)

    told = ScanningSettings(clamd=scanners.clamd_address)
    with FrontDoorRoom(tmp_path, scanning=mail_scanning.of_settings(told, cannot)) as room:
        with room.client() as client, pytest.raises(smtplib.SMTPDataError) as fault:
            client.sendmail("sender@elsewhere.example", [ALICE], INFECTED)
        assert fault.value.smtp_code == 451
        assert room.inbox() == []


@pytest.mark.parametrize(
    "value",
    [
        "http://192.0.2.1:11333",
        "https://127.0.0.1",
        "127.0.0.1:1",
        "http://127.0.0.1:11333/x",
        "http://u@127.0.0.1",
        "http://x",
    ],
)
def test_rspamd_elsewhere_is_no_setting(value: str) -> None:
    assert scanning_settings.rspamd_url(value)


@pytest.mark.parametrize(
    "value", ["192.0.2.1:3310", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "clamd.ctl", "host:1"]
)
def test_clamd_elsewhere_is_no_setting(value: str) -> None:
    assert scanning_settings.clamd_address(value)


def test_scanners_of_this_machine_are_settings() -> None:
    assert not any(map(scanning_settings.rspamd_url, ["", "http://127.0.0.1:11333", "http://[::1]:11333"]))
    assert not any(map(scanning_settings.clamd_address, ["", "127.0.0.1:3310", "[::1]:3310", "/run/clamav/clamd.ctl"]))


def test_doctor_says_whether_scanners_answer_and_what_becomes_of_mail(scanners: Scanners) -> None:
    told = ScanningSettings(rspamd=scanners.rspamd_url, clamd=scanners.clamd_address)
    assert [found.state for found in scanner_health.findings(told)] == [State.OK, State.OK]
    assert [found.state for found in scanner_health.findings(ScanningSettings())] == [State.OFF, State.OFF]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        gone = ScanningSettings(rspamd=f"http://127.0.0.1:{port}", clamd=f"127.0.0.1:{port}")
        junk, virus = scanner_health.findings(gone)
    assert (junk.state, virus.state) == (State.WARN, State.FAIL)
    assert "put off" in virus.message
    assert junk.calls_somebody
    assert virus.calls_somebody
