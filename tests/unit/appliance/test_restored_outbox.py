"""What waited to be sent when the backup was made is sent after a restore, marked as what may come a second time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from appliance import restored_outbox
from appliance.delivery_progress import Work
from appliance.wiring import Appliance
from mailstore import message_records, outbox
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage
from mailstore.outbox import Kind
from portal.front_door import Accepted
from tests.lived_practice import ANN, actor
from tests.restore_room import RestoreRoom

OUTSIDE = "lab@lab.example"
LETTER = f"From: {ANN}\r\nTo: {OUTSIDE}\r\nSubject: x\r\n\r\nhello\r\n".encode()


def sent(appliance: Appliance) -> MessageId:
    """A letter from staff to another server, on its way."""
    envelope = Envelope(parse_mailbox(ANN), (parse_mailbox(OUTSIDE),))
    received = ReceivedMessage(envelope, LETTER, appliance.clock.now(), Origin.WEBMAIL)
    with appliance.front_door() as front:
        answer = front.acceptance.accept(received, actor(appliance, ANN))
    assert isinstance(answer, Accepted), answer
    return answer.message_id


def works(appliance: Appliance) -> list[Work]:
    """What the worker would send now."""
    items = outbox.claim(
        appliance.database,
        [Kind.DELIVER],
        now=appliance.clock.now() + timedelta(days=1),
        limit=9,
        lease=timedelta(minutes=1),
        worker="worker",
    )
    found = []
    for item in items:
        assert item.message is not None
        assert item.position is not None
        recipient = appliance.retrieval.recipient(item.message, item.position)
        with appliance.database.read() as connection:
            stored = message_records.stored(connection, item.message)
        found.append(Work(item, stored, recipient, parse_mailbox(recipient.address)))
    return found


def test_copy_that_waited_when_the_backup_was_made_is_sent_again_and_marked(tmp_path: Path) -> None:
    room = RestoreRoom(tmp_path)
    with room.practice.opened() as appliance:
        message = sent(appliance)
    room.back_up()
    with room.practice.opened() as appliance:
        assert [work.may_have_arrived for work in works(appliance)] == [False]
    assert room.restore().may_arrive_twice == 1
    with room.opened() as again:
        assert [(work.message.id, work.may_have_arrived) for work in works(again)] == [(message, True)]
        assert restored_outbox.mark(again.database, again.retrieval, now=again.clock.now()) == 1
        new = sent(again)
        assert [(work.message.id, work.may_have_arrived) for work in works(again)] == [(new, False)]
