"""Mail that is odd and still somebody's: taken in by SMTP, kept to the byte, captured, indexed and found."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.smtp_acceptance import AcceptanceLimits
from archive.certification import StaffMember
from archive.saved_search import AskedSearch
from mailstore import mailboxes, message_records
from mailstore.actor import Actor, Role
from mailstore.addresses import parse_mailbox
from mailstore.key_hierarchy import address_index
from mailstore.message import AccountId, MessageId
from tests.archive_room import VaultArchive
from tests.smtp_room import ALICE, FrontDoorRoom, with_limits

OFFICER = Actor(AccountId("r" * 26), Role.RECORDS)
LIMITS = with_limits(acceptance=AcceptanceLimits(36_700_160, recipients=1_000, hops=50))
ODD = {
    "same id, once": b"Message-ID: <same@x>\r\nSubject: first rhinoceros\r\n\r\none\r\n",
    "same id, again": b"Message-ID: <same@x>\r\nSubject: second rhinoceros\r\n\r\ntwo\r\n",
    "utf-8 header": "Subject: Grüße, rhinoceros\r\n\r\nx\r\n".encode(),
    "latin-1 header": "Subject: Gr\xfc\xdfe, rhinoceros\r\n\r\nx\r\n".encode("latin-1"),
    "empty body": b"Subject: rhinoceros\r\n\r\n",
    "no blank line": b"Subject: rhinoceros\r\n",
    "no header": b"\r\nrhinoceros\r\n",
}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[FrontDoorRoom]:
    with FrontDoorRoom(tmp_path / "data", limits=LIMITS) as opened:
        yield opened


def sent(room: FrontDoorRoom, content: bytes, *recipients: str) -> None:
    with room.client() as client:
        client.ehlo("peer.example")
        assert client.mail("sender@elsewhere.example")[0] == 250
        for recipient in recipients or (ALICE,):
            assert client.rcpt(recipient)[0] == 250
        client.putcmd("DATA")
        assert client.getreply()[0] == 354
        client.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        assert client.getreply()[0] == 250


def found(room: FrontDoorRoom, query: str) -> set[MessageId]:
    archive = VaultArchive(room.vault, lambda _account: StaffMember("Ruth", "records"), cooling_off=timedelta(0))
    try:
        archive.take(*(each.id for each in room.stored()))
        return {item.id for item in archive.room.search.search(OFFICER, AskedSearch(query), limit=50).items}
    finally:
        archive.close()


def test_odd_messages_are_kept_to_the_byte_listed_and_found(room: FrontDoorRoom) -> None:
    for content in ODD.values():
        sent(room, content)
    assert sorted(room.contents()) == sorted(ODD.values())
    assert len(room.inbox()) == len(ODD)
    assert found(room, "rhinoceros") == set(room.inbox())
    assert len(found(room, "subject:grüße")) == 2


def test_thirty_megabytes_are_kept_to_the_byte_and_found_by_the_name_of_the_file(room: FrontDoorRoom) -> None:
    head = b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="scan.bin"\r\n'
    lines = base64.encodebytes(os.urandom(22 << 20)).replace(b"\n", b"\r\n")
    content = head + b"Content-Transfer-Encoding: base64\r\nSubject: scan\r\n\r\n" + lines
    assert len(content) > 30_000_000
    sent(room, content)
    assert room.contents() == [content]
    assert found(room, "filename:scan.bin has:attachment") == set(room.inbox())


def test_a_thousand_recipients_here_get_one_message_and_one_entry_each(room: FrontDoorRoom) -> None:
    addresses = [f"person{number}@clinic.example" for number in range(1_000)]
    with room.vault.database.write() as connection:
        made = [
            mailboxes.create(
                connection,
                AccountId(f"{number:026d}"),
                address_index(room.vault.ring.lookup_key, parse_mailbox(address)),
            )
            for number, address in enumerate(addresses)
        ]
    sent(room, ODD["empty body"], *addresses)
    (stored,) = room.stored()
    with room.vault.database.read() as connection:
        assert all(mailboxes.holds(connection, mailbox.id, stored.id) for mailbox in made)
        assert len(message_records.recipient_rows(connection, stored.id)) == 1_000
    assert found(room, "bcc:person999@clinic.example") == {stored.id}
