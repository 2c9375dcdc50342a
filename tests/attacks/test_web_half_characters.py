"""Mail that holds half a character, as UTF-7 can write it: one such message must not close a page to anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.actor import Role
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, Origin, Peer, ReceivedMessage
from portal.front_door import Accepted
from tests.portal_room import NURSE, PortalRoom, Somebody, portal_room

HEAD = b"From: =?utf-7?Q?a+2AA-b?= <x@evil.example>\r\nTo: nurse@clinic.example\r\n"
MAIL = (
    HEAD + b"Subject: zebra =?utf-7?Q?+2AA-?=\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nzebra +2AA-\r\n",
    HEAD + b"Subject: zebra\r\nContent-Type: text/html; charset=utf-7\r\n\r\n<p>zebra +2AA- \xff</p>\r\n",
)
HALF = "\N{REPLACEMENT CHARACTER}"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def arrived(room: PortalRoom, content: bytes) -> MessageId:
    envelope = Envelope(parse_mailbox("x@evil.example"), (parse_mailbox(NURSE),))
    answer = room.door.accept(ReceivedMessage(envelope, content, room.clock.now(), Origin.SMTP, Peer()))
    assert isinstance(answer, Accepted)
    return answer.message_id


def statuses(room: PortalRoom, somebody: Somebody, *paths: str) -> dict[str, int]:
    with room.visitor() as visitor:
        room.sign_in(visitor, somebody)
        return {path: visitor.get(path).status_code for path in paths}


def test_the_reader_opens_answers_and_forwards_it(room: PortalRoom) -> None:
    nurse = room.staff(NURSE, Role.FRONTDESK)
    text, html = (arrived(room, content) for content in MAIL)
    paths = ["/inbox", f"/messages/{html}/frame"]
    for message in (text, html):
        paths += [f"/messages/{message}", f"/compose?reply={message}", f"/compose?forward={message}"]
    assert set(statuses(room, nurse, *paths).values()) == {200}


def test_a_search_that_finds_it_is_answered_and_its_record_opens(room: PortalRoom) -> None:
    """Else one stranger could write a message of common words, and no search for one of them would be answered."""
    room.staff(NURSE, Role.FRONTDESK)
    officer = room.staff("records@clinic.example", Role.RECORDS)
    messages = [arrived(room, content) for content in MAIL]
    room.archive.take(*messages)
    text, html = messages
    paths = ("/archive?q=zebra", "/archive/export?q=zebra", f"/archive/{text}", f"/archive/{html}/frame")
    assert set(statuses(room, officer, *paths).values()) == {200}
    with room.visitor() as visitor:
        room.sign_in(visitor, officer)
        found = visitor.get("/archive?q=zebra")
        assert all(message in found.text for message in messages)
        assert HALF in visitor.get(f"/archive/{text}").text
        visitor.get("/holds/new")
        assert visitor.post("/holds/new", {"name": "x", "reason": "y", "query": "zebra"}).status_code == 200
