"""Files that people attach on the pages are looked at for viruses before the message is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from appliance import mail_scanning
from appliance.scanned_front_door import INFECTED, NOT_LOOKED_AT, ScannedFrontDoor
from appliance.scanning_settings import ScanningSettings
from mailstore.actor import Actor
from mailstore.addresses import Address
from mailstore.audit_entry import AuditFact
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage, Scan
from mailstore.message_composition import ComposedAttachment, ComposedMessage, compose
from portal.front_door import Accepted
from tests import scanner_room
from tests.scanner_room import Asked

PAT, DESK = Address("pat", "mail.example"), Address("desk", "clinic.example")
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass
class OpenDoor:
    """Takes whatever comes."""

    taken: list[ReceivedMessage] = field(default_factory=list)

    def accept(self, received: ReceivedMessage, actor: Actor | None) -> Accepted:
        del actor
        self.taken.append(received)
        return Accepted(MessageId("m" * 26))


@dataclass
class Record:
    """Keeps what is recorded."""

    facts: list[AuditFact] = field(default_factory=list)

    def __call__(self, fact: AuditFact) -> None:
        self.facts.append(fact)


def written(*files: bytes) -> ReceivedMessage:
    attachments = tuple(ComposedAttachment("scan.txt", "text/plain", each) for each in files)
    message = ComposedMessage("Pat", PAT, (DESK,), "Results", "Here they are.", attachments=attachments)
    content = compose(message, now=NOW, message_id="<one@portal.clinic.example>")
    return ReceivedMessage(Envelope(PAT, (DESK,)), content, NOW, Origin.PORTAL)


def before(door: OpenDoor, clamd: str, record: Record) -> ScannedFrontDoor:
    scanning = mail_scanning.of_settings(ScanningSettings(clamd=clamd, seconds=5), record)
    assert scanning is not None
    return ScannedFrontDoor(door, scanning)


def test_file_with_a_virus_is_refused_in_calm_words_and_recorded() -> None:
    door, record = OpenDoor(), Record()
    asked = Asked()
    with scanner_room.clamd(asked) as clamd:
        scanned = before(door, clamd, record)
        assert scanned.accept(written(b"clean"), None) == Accepted(MessageId("m" * 26))
        asked.says = b"stream: Eicar-Test-Signature FOUND"
        assert scanned.accept(written(b"clean", b"not clean"), None) == INFECTED
    assert [each.scan for each in door.taken] == [Scan.CLEAN]
    assert [each.event for each in record.facts] == ["message.refused"]


@pytest.mark.parametrize("files", [(), (b"a file",)])
def test_without_a_scanner_files_wait_and_plain_words_do_not(files: tuple[bytes, ...]) -> None:
    door = OpenDoor()
    with scanner_room.clamd(Asked()) as gone:
        pass
    answer = before(door, gone, Record()).accept(written(*files), None)
    assert (answer == NOT_LOOKED_AT, len(door.taken)) == ((True, 0) if files else (False, 1))
