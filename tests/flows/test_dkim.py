"""What leaves is signed: as another server gets it, over real sockets, and as another implementation verifies it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.dkim_keys import DkimKey, KeyState, NewPair
from mailstore.message import RecipientState
from tests import dkim_verifier
from tests.flows.outbound_practice import DKIM_KEYS, LETTER, OutboundPractice, practice, route
from tests.flows.receiving_server import CertificateAuthority, ReceivingServer, receiving

DOMAIN = "clinic.example"
PARTNER = "partner.example"
PATIENT = "patient@partner.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("outside"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


@pytest.fixture
def partner(house: OutboundPractice, authority: CertificateAuthority) -> Iterator[ReceivingServer]:
    with receiving(authority.server("mx.partner.example")) as server:
        house.routes.append(route(PARTNER, server.port, authority.ca_file))
        yield server


def keys_of(house: OutboundPractice) -> list[DkimKey]:
    with house.database.read() as connection:
        return DKIM_KEYS.keys(connection, DOMAIN)


def verdicts(house: OutboundPractice, content: bytes) -> list[bool]:
    return dkim_verifier.verdicts(content, dkim_verifier.records_of(keys_of(house)))


@pytest.mark.parametrize(
    "content",
    [
        LETTER,
        LETTER + "Größe, süß \t \r\n".encode() + b"x" * 990 + b"\r\n\r\n\r\n",
        LETTER.replace(b"Subject:", b"Bcc: hidden@partner.example\r\nSubject:"),
        LETTER.removesuffix(b"\r\n"),
    ],
    ids=["plain", "8-bit and long", "blind copy", "no last line end"],
)
def test_relayed_mail_verifies_where_it_arrives(
    house: OutboundPractice, partner: ReceivingServer, content: bytes
) -> None:
    house.send(PATIENT, content=content)
    house.step()
    (arrived,) = partner.arrived
    assert verdicts(house, arrived.content) == [True, True]
    assert b"d=clinic.example" in arrived.content


def test_the_copy_after_an_unknown_answer_verifies_too(house: OutboundPractice, partner: ReceivingServer) -> None:
    partner.script.kept_then_dropped = True
    house.send(PATIENT)
    house.step()
    partner.script.kept_then_dropped = False
    house.later(minutes=6)
    house.step()
    assert [verdicts(house, each.content) for each in partner.arrived] == [[True, True], [True, True]]


def test_notice_verifies(house: OutboundPractice) -> None:
    with receiving(None) as server:
        house.routes.append(route(PARTNER, server.port))
        house.send(PATIENT)
        house.step()
    (notice,) = server.arrived
    assert verdicts(house, notice.content) == [True, True]


def test_what_is_kept_is_not_touched(house: OutboundPractice, partner: ReceivingServer) -> None:
    message = house.send(PATIENT)
    house.step()
    assert len(partner.arrived) == 1
    assert house.retrieval.content(message) == LETTER


def test_prepared_keys_sign_nothing_until_they_are_put_in_use(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    before = {key.selector for key in keys_of(house)}
    with house.database.write() as connection:
        DKIM_KEYS.prepare(connection, DOMAIN, NewPair.made(), actor="system", now=house.clock.now())
    prepared = {key.selector for key in keys_of(house) if key.state is KeyState.PREPARED}
    house.send(PATIENT)
    house.step()
    with house.database.write() as connection:
        DKIM_KEYS.activate(connection, DOMAIN, actor="system", now=house.clock.now())
    house.send(PATIENT)
    house.step()
    first, second = (each.content for each in partner.arrived)
    assert [selector.encode() in first for selector in sorted(before)] == [True, True]
    assert [selector.encode() in first for selector in sorted(prepared)] == [False, False]
    assert [selector.encode() in second for selector in sorted(before)] == [False, False]
    assert [selector.encode() in second for selector in sorted(prepared)] == [True, True]
    assert verdicts(house, first) == verdicts(house, second) == [True, True]


def test_without_a_key_mail_waits_and_does_not_leave_unsigned(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    with house.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM dkim_keys")
    message = house.send(PATIENT)
    house.step()
    assert partner.arrived == []
    assert house.recipient(message).state is not RecipientState.DELIVERED
