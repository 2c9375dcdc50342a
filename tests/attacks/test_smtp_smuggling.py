"""Smuggling: two servers that disagree where a message ends let a stranger write the second one.

Every end-of-data that is not CR LF . CR LF stays inside the message, and that message is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.smtp_room import FrontDoorRoom

SMUGGLED = b"MAIL FROM:<ceo@clinic.example>\r\nRCPT TO:<alice@clinic.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"

FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoorRoom]:
    with FrontDoorRoom(tmp_path_factory.mktemp("smuggling") / "vault") as room:
        yield room


@pytest.mark.parametrize("false_end", FALSE_ENDS)
def test_no_false_end_of_data_starts_a_second_message(room: FrontDoorRoom, false_end: bytes) -> None:
    before = len(room.stored())
    with room.raw() as peer:
        peer.start_message()
        peer.send(b"Subject: first\r\n\r\ntext" + false_end + SMUGGLED + b".\r\n")
        reply = peer.reply()
        assert peer.say(b"NOOP\r\n").startswith(b"250")
    has_bare = false_end.replace(b"\r\n", b"").strip(b".\x00 \t") != b""
    assert reply.startswith(b"550 5.6.11" if has_bare else b"250")
    assert len(room.stored()) == before + (not has_bare)
    assert all(b"Subject: first" in content for content in room.contents())


@pytest.mark.parametrize("cut", range(1, 5))
def test_end_of_data_is_found_wherever_the_network_cuts_it(room: FrontDoorRoom, cut: int) -> None:
    before = len(room.stored())
    end = b"\r\n.\r\n"
    with room.raw() as peer:
        peer.start_message()
        peer.send(b"Subject: cut\r\n\r\ntext" + end[:cut])
        peer.say_nothing_for(0.05)
        peer.send(end[cut:])
        assert peer.reply().startswith(b"250")
    assert len(room.stored()) == before + 1


@pytest.mark.parametrize("bare", [b"\n", b"\r"])
@pytest.mark.parametrize("place", [b"Subject: a%sBcc: x\r\n\r\ntext\r\n", b"Subject: a\r\n\r\nte%sxt\r\n", b"%sx\r\n"])
def test_bare_line_end_anywhere_is_refused(room: FrontDoorRoom, bare: bytes, place: bytes) -> None:
    with room.raw() as peer:
        peer.start_message()
        assert peer.say(place % bare + b".\r\n").startswith(b"550 5.6.11")


def test_command_line_that_ends_in_a_bare_line_feed_is_no_command(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        assert peer.say(b"MAIL FROM:<a@b.example>\n").startswith(b"500")
        assert peer.say(b"MAIL FROM:<a@b.example>\rRCPT TO:<alice@clinic.example>\r\n").startswith(b"500")
        assert peer.say(b"RCPT TO:<alice@clinic.example>\r\n").startswith(b"503")


def test_stuffed_dots_come_off_once_and_an_empty_message_is_possible(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        peer.start_message()
        assert peer.say(b"..\r\n...x\r\n.y\r\n.\r\n").startswith(b"250")
        peer.start_message()
        assert peer.say(b".\r\n").startswith(b"250")
        assert sorted(room.contents()) == [b"", b".\r\n..x\r\ny\r\n"]
