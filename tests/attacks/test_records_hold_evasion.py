"""A message that a hold should cover tries not to be covered."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailstore import mailboxes
from mailstore.addresses import parse_mailbox
from mailstore.key_hierarchy import address_index
from mailstore.mailboxes import Mailbox
from mailstore.message import AccountId, MessageId
from tests.records_room import RECORDS, RecordsRoom

BOB = "bob@clinic.example"


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def is_saved(room: RecordsRoom, message: MessageId, *, query: str = "", custodian: str = BOB) -> bool:
    """Place the hold after the message came, then look whether a disposal would take the message."""
    room.put_in_force()
    custodians = [custodian] if custodian else []
    hold = room.desk.holds.place(RECORDS, name="n", reason="r", custodians=custodians, query=query).id
    is_under_it = room.desk.holds.messages_of(RECORDS, hold) == [message]
    return is_under_it and room.desk.disposals.propose(RECORDS).messages == 0


def with_attachment(content_type: str, data: str) -> bytes:
    return (
        "From: a@x.example\r\nSubject: newsletter\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        f'--b\r\nContent-Type: {content_type}; name="x"\r\nContent-Disposition: attachment\r\n\r\n{data}\r\n--b--\r\n'
    ).encode()


@pytest.mark.parametrize("to", ["BOB@CLINIC.EXAMPLE", "bob+x@clinic.example", '"bob"@clinic.example'])
def test_evasion_by_case_subaddress_and_quoting(room: RecordsRoom, to: str) -> None:
    assert is_saved(room, room.receive(to=(to,)))


def test_evasion_by_bcc(room: RecordsRoom) -> None:
    assert is_saved(room, room.receive(to=("eve@x.example", BOB), headers="To: eve@x.example\r\n"))


def test_evasion_by_idn_spelling(room: RecordsRoom) -> None:
    message = room.receive(headers="To: bob@xn--bcher-kva.example\r\n")
    assert is_saved(room, message, custodian="bob@b\u00fccher.example")


def test_evasion_by_alias(room: RecordsRoom) -> None:
    box = room.vault.mailbox(address=BOB)
    with room.vault.database.write() as connection:
        index = address_index(room.vault.ring.lookup_key, parse_mailbox("robert@clinic.example"))
        mailboxes.add_address(connection, Mailbox(box, AccountId("a" * 26)), index)
    assert is_saved(room, room.receive(to=("robert@clinic.example",), mailbox=box))


def test_evasion_by_a_second_header_field(room: RecordsRoom) -> None:
    assert is_saved(room, room.receive(headers=f"To: eve@x.example\r\nTo: {BOB}\r\n"))


def test_evasion_by_a_broken_header_field(room: RecordsRoom) -> None:
    assert is_saved(room, room.receive(headers=f"To: <{BOB}> <x@y.example> ((\r\n"))


def test_evasion_by_attachment_only(room: RecordsRoom) -> None:
    message = room.receive(content=with_attachment("text/plain", "the knee"))
    assert is_saved(room, message, custodian="", query="knee")


def test_evasion_by_an_attachment_that_nobody_can_read(room: RecordsRoom) -> None:
    message = room.receive(content=with_attachment("application/pdf", "%PDF-garbage"))
    assert is_saved(room, message, custodian="", query="attachment:knee")


def test_evasion_by_damaging_the_message(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    for segment in room.vault.spool.iterdir():
        data = bytearray(segment.read_bytes())
        data[-20] ^= 1
        segment.write_bytes(data)
    placed = room.desk.holds.place(RECORDS, name="n", reason="r", custodians=[BOB])
    assert (placed.matched, placed.kept_to_be_safe) == (0, 1)
    assert room.desk.disposals.propose(RECORDS).messages == 0
    assert room.is_alive(message)


def test_evasion_by_a_forged_date_field(room: RecordsRoom) -> None:
    message = room.receive(headers="Date: Mon, 1 Jan 1990 00:00:00 +0000\r\n")
    room.put_in_force()
    today = room.clock.now().date()
    room.desk.holds.place(RECORDS, name="n", reason="r", since=today, until=today)
    assert room.desk.disposals.propose(RECORDS).held == 1
    assert room.is_alive(message)
