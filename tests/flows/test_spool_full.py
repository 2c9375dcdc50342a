"""The spool at its cap: mail is put off before it is sent, people are told calmly, nothing is lost, it passes (I9)."""

from __future__ import annotations

from pathlib import Path

from tests.smtp_room import FrontDoorRoom
from tests.vault_room import a_deposit

LETTER = b"From: a@elsewhere.example\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
MAIL_FROM = b"MAIL FROM:<a@elsewhere.example>\r\n"


def test_smtp_says_so_before_the_message_and_takes_it_later(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        room.depositor.deposit(a_deposit(b"there is mail already"))
        room.gauge.cap_bytes = 1
        assert [peer.say(MAIL_FROM)[:10] for _ in range(3)] == [b"452 4.3.1 "] * 3
        room.gauge.cap_bytes = 1 << 40
        peer.start_message()
        room.gauge.cap_bytes = 1
        assert peer.say(LETTER).startswith(b"452 4.3.1 ")
        assert len(room.stored()) == 1
        room.gauge.cap_bytes = 1 << 40
        peer.start_message()
        assert peer.say(LETTER).startswith(b"250 ")
        assert len(room.stored()) == 2
