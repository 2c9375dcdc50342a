"""Until the first run is finished, other servers are told to come again, and the machine's own mail comes in."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from appliance import smtp_replies
from appliance.data_directory import DataDirectory
from appliance.first_run_mark import Latch
from appliance.smtp_door import Door, DoorKind
from appliance.smtp_replies import Reply
from appliance.smtp_session import SmtpSession
from appliance.smtp_wire import SmtpWire
from tests.smtp_room import ALICE, MAIL, FrontDoorRoom


@dataclass
class Connection:
    """A connection from wherever a test says, over which nothing but commands goes."""

    peer_address: str
    tls: str = ""

    def say(self, reply: Reply | bytes) -> None:
        raise AssertionError(f"nothing is said by the way: {reply!r}")

    async def start_tls(self) -> None:
        raise AssertionError("nobody asked for it")

    def receiving(self) -> AbstractContextManager[None]:
        return nullcontext()

    def committing(self) -> AbstractContextManager[None]:
        return nullcontext()


def told(door: Door, peer: str) -> Reply | bytes:
    """What a peer hears that says MAIL."""

    async def dialogue() -> Reply | bytes:
        session = SmtpSession(door, SmtpWire(lambda: None), Connection(peer))
        await session.obey(b"EHLO mx.elsewhere.example")
        return await session.obey(b"MAIL FROM:<sender@elsewhere.example>")

    return asyncio.run(dialogue())


def test_other_servers_come_again_until_the_first_run_is_finished(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.first_run.write_text("{}", "utf-8")
    with FrontDoorRoom(tmp_path / "vault", latch=Latch(data)) as room:
        door = replace(room.door(DoorKind.MX), latch=Latch(data))
        assert told(door, "192.0.2.7") is smtp_replies.NOT_YET
        assert smtp_replies.NOT_YET.code == 451
        with room.client() as client:
            client.sendmail("probe@clinic.example", [ALICE], MAIL)
        assert len(room.inbox()) == 1, "a message through the whole path, sent by the machine itself"
        data.first_run.unlink()
        assert told(door, "192.0.2.7") is smtp_replies.SENDER_OK


def test_our_own_people_send_before_it_is_finished(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.first_run.write_text("{}", "utf-8")
    with FrontDoorRoom(tmp_path / "vault", latch=Latch(data)) as room, room.signed_in() as client:
        client.sendmail(ALICE, ["bob@clinic.example"], MAIL.replace(b"sender@elsewhere.example", ALICE.encode()))
