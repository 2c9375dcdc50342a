"""Passkeys under attack: answers played again, made for others or too late, and strangers who only ask."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from portal import access_rules
from portal.sessions import Session
from portal.sign_in import Wrong
from portal.sign_in_rules import Step
from portal.tables import sessions as table
from portal.tables import throttles
from tests.portal_room import ORIGIN, PortalRoom, Somebody, portal_room

HERE = "192.0.2.9"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@dataclass(frozen=True)
class Device:
    """A device with one passkey (ES256, RFC 9053 section 2.1) that signs whatever it is asked."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: bytes = b"the only passkey"

    def enrolled(self, room: PortalRoom, somebody: Somebody) -> None:
        point = self.key.public_key().public_numbers()
        cose = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + point.x.to_bytes(32, "big")
        cose += b"\x22\x58\x20" + point.y.to_bytes(32, "big")
        with room.database.write() as connection:
            records = room.portal.desk.records
            records.add_passkey(connection, somebody.account.id, (self.name, cose, 0), "Phone", room.clock.now())

    def answer(self, options: str) -> str:
        told = {"type": "webauthn.get", "challenge": json.loads(options)["challenge"], "origin": ORIGIN.rstrip("/")}
        client_data = json.dumps(told).encode()
        host = ORIGIN.removeprefix("https://").rstrip("/").partition(":")[0]
        device_data = hashlib.sha256(host.encode()).digest() + b"\x05" + struct.pack(">I", 0)
        signed = self.key.sign(device_data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": text(client_data),
            "authenticatorData": text(device_data),
            "signature": text(signed),
        }
        return json.dumps({"id": text(self.name), "rawId": text(self.name), "type": "public-key", "response": response})


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.fixture
def device(room: PortalRoom) -> Device:
    made = Device()
    made.enrolled(room, room.patient())
    return made


def anonymous(room: PortalRoom) -> Session:
    return room.portal.desk.sessions.anonymous()


def answered(room: PortalRoom, session: Session, answer: str) -> Session | Wrong:
    return room.portal.sign_in.passkey(room.found(session), answer, HERE)


def test_strangers_who_only_ask_write_nothing(room: PortalRoom) -> None:
    for _ in range(5):
        room.portal.sign_in.passkey_options(anonymous(room))
    with room.database.read() as connection:
        assert room.database.rows.select(connection, table) == []
        assert room.database.rows.select(connection, throttles) == []


def test_an_answer_signs_in_once_and_not_again(room: PortalRoom, device: Device) -> None:
    session = anonymous(room)
    answer = device.answer(room.portal.sign_in.passkey_options(session))
    signed_in = answered(room, session, answer)
    assert isinstance(signed_in, Session)
    assert signed_in.step is Step.SIGNED_IN
    assert signed_in.role not in access_rules.STAFF
    assert isinstance(answered(room, session, answer), Wrong)
    room.portal.sign_in.sign_out(room.found(session))
    assert isinstance(answered(room, session, answer), Wrong)
    room.clock.advance(timedelta(seconds=1))
    again = device.answer(room.portal.sign_in.passkey_options(session))
    assert isinstance(answered(room, session, again), Session)


def test_a_challenge_dies_with_a_wrong_answer_too(room: PortalRoom, device: Device) -> None:
    session = anonymous(room)
    options = room.portal.sign_in.passkey_options(session)
    assert isinstance(answered(room, session, Device().answer(options)), Wrong)
    assert isinstance(answered(room, session, device.answer(options)), Wrong)


def test_an_answer_is_for_one_session_and_for_minutes(room: PortalRoom, device: Device) -> None:
    session = anonymous(room)
    answer = device.answer(room.portal.sign_in.passkey_options(session))
    assert isinstance(answered(room, anonymous(room), answer), Wrong)
    room.clock.advance(timedelta(minutes=5))
    assert isinstance(answered(room, session, answer), Wrong)


def test_a_challenge_of_ones_own_making_opens_nothing(room: PortalRoom, device: Device) -> None:
    session = anonymous(room)
    for challenge in (b"", b"\0" * 32, bytes(8) + b"x" * 24, b"\xff" * 4_000):
        assert isinstance(answered(room, session, device.answer(json.dumps({"challenge": text(challenge)}))), Wrong)
