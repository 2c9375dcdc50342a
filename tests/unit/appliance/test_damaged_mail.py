"""Mail that came while sealed and does not open: seen, tried again when it may open, and ended by a person alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.backup_settings import BackupTargetSettings
from appliance.backups import Backups
from appliance.damaged_mail import DamagedMail
from appliance.wiring import Appliance
from mailstore import audit_trail, spool
from mailstore.addresses import parse_mailbox
from mailstore.arrival_group import HEAD_BYTES, SEGMENT_HEADER
from mailstore.backup_listing import GenerationKind
from mailstore.errors import NotFoundError
from mailstore.message import Envelope, Origin, ReceivedMessage
from mailstore.restore_source import RestoreSource
from mailstore.sealed_spool import DAMAGED, SealedSegments, SealedSpool
from tests import lived_practice
from tests.lived_practice import ANN, KEPT
from tests.restore_room import RestoreRoom


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with lived_practice.founded(tmp_path).opened() as appliance:
        yield appliance


def waiting(appliance: Appliance) -> list[str]:
    """One message, as the sealed smtp role leaves it; the names of the segments that wait."""
    folder = appliance.data.sealed_spool
    door = SealedSpool(folder, capture_public=appliance.opener.capture_public, randomness=os.urandom)
    envelope = Envelope(parse_mailbox("a@elsewhere.example"), (parse_mailbox(ANN),))
    door.submit(ReceivedMessage(envelope, KEPT, appliance.clock.now(), Origin.SMTP)).result()
    door.close()
    return spool.segments(folder)


def set_aside(appliance: Appliance, *, is_harmed: bool) -> str:
    [name] = waiting(appliance)
    path = appliance.data.sealed_spool / name
    if is_harmed:
        data, at = path.read_bytes(), len(SEGMENT_HEADER) + HEAD_BYTES + 1
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    SealedSegments(appliance.data.sealed_spool, appliance.opener).set_aside(name)
    return name


def test_what_opens_of_it_is_told_and_what_opens_again_is_put_back(appliance: Appliance) -> None:
    name = set_aside(appliance, is_harmed=False)
    [found] = DamagedMail(appliance).all()
    assert (found.name, found.groups, found.opens, found.messages) == (name, 1, 1, 1)
    assert DamagedMail(appliance).again() == 1
    assert (spool.segments(appliance.data.sealed_spool), DamagedMail(appliance).all()) == ([name], [])


def test_what_does_not_open_goes_when_a_person_says_so_and_it_is_on_record(appliance: Appliance) -> None:
    name = set_aside(appliance, is_harmed=True)
    [found] = DamagedMail(appliance).all()
    assert (found.groups, found.opens, found.messages) == (1, 0, 0)
    with pytest.raises(NotFoundError):
        DamagedMail(appliance).release("another")
    DamagedMail(appliance).release(name)
    assert not list((appliance.data.sealed_spool / DAMAGED).iterdir())
    with appliance.database.read() as connection:
        [entry] = [each for each in audit_trail.about(connection, "sealed_spool") if each.event.endswith("released")]
    assert entry.detail == {"segment": name}


def test_backup_holds_mail_that_waits_only_when_somebody_asks(tmp_path: Path) -> None:
    room = RestoreRoom(tmp_path)
    told = BackupTargetSettings(name="here", url=str(room.target))
    with room.practice.opened() as appliance:
        [name] = waiting(appliance)
        Backups(appliance).make_data(told)
        Backups(appliance).make_keys(told)
        assert files_in(room.source()) == set()
        Backups(appliance).make_data(told, with_waiting=True)
    assert files_in(room.source()) == {f"sealed-spool/{name}"}


def files_in(source: RestoreSource) -> set[str]:
    newest = source.generation(GenerationKind.DATA, None)
    assert newest is not None
    return {each.path for each in source.data_contents(newest).files if each.path.startswith("sealed")}
