"""Attack: a machine on the way reads, strips STARTTLS, shows a false certificate, or injects into the dialogue.

The machine keeps every byte that passes in clear. Nothing of a message may ever be among them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.message import RecipientState, Route
from tests.flows.outbound_practice import LETTER, OutboundPractice, practice, route
from tests.flows.receiving_server import (
    CertificateAuthority,
    receiving,
    stranger,
    tapped,
    without_starttls,
)

PARTNER = "partner.example"
MX = "mx.partner.example"
PATIENT = "patient@partner.example"
SECRETS = (b"CANARY", base64.b64encode(b"CANARY-BODY"), b"doctor@clinic.example")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("outside"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


def assert_silent(heard: bytes) -> None:
    assert not any(secret in heard for secret in SECRETS)


def test_over_verified_tls_the_wire_shows_nothing(house: OutboundPractice, authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX)) as server, tapped(server.port) as tap:
        house.routes.append(route(PARTNER, tap.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
        assert server.arrived[0].content.endswith(LETTER)
    assert house.recipient(message).state is RecipientState.DELIVERED
    assert b"STARTTLS" in tap.heard
    assert_silent(bytes(tap.heard))
    assert PATIENT.encode() not in tap.heard


@pytest.mark.parametrize("kind", ["no tls", "stranger", "wrong name"])
def test_without_a_proof_the_wire_shows_the_notice_and_nothing_else(
    house: OutboundPractice, authority: CertificateAuthority, kind: str
) -> None:
    contexts = {"no tls": None, "stranger": stranger(MX), "wrong name": authority.server("a.example")}
    with receiving(contexts[kind]) as server, tapped(server.port) as tap:
        house.routes.append(route(PARTNER, tap.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
    assert house.recipient(message).route is Route.PORTAL
    assert_silent(bytes(tap.heard))


def test_stripped_starttls_yields_the_notice_and_nothing_else(
    house: OutboundPractice, authority: CertificateAuthority
) -> None:
    with receiving(authority.server(MX)) as server, tapped(server.port, without_starttls) as tap:
        house.routes.append(route(PARTNER, tap.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
    assert house.recipient(message).route is Route.PORTAL
    assert b"The blue door is open" in tap.heard
    assert_silent(bytes(tap.heard))


@pytest.mark.parametrize(
    "injected",
    [
        b"250-mx.partner.example\r\n250 AUTH PLAIN\r\n",
        b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n250 2.0.0 kept\r\n",
        b"554 5.7.1 go away\r\n",
    ],
)
def test_replies_injected_behind_the_starttls_answer_count_for_nothing(
    house: OutboundPractice, authority: CertificateAuthority, injected: bytes
) -> None:
    def inject(data: bytes) -> bytes:
        return data + injected if data.startswith(b"220 Ready to start TLS") else data

    with receiving(authority.server(MX)) as server, tapped(server.port, inject) as tap:
        house.routes.append(route(PARTNER, tap.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
        recipient = house.recipient(message)
        taken = recipient.state is RecipientState.DELIVERED
        assert taken == (len(server.arrived) == 1)
    assert b"Ready to start TLS" in tap.heard
    assert recipient.state is not RecipientState.FAILED
    assert_silent(bytes(tap.heard))


@pytest.mark.parametrize("refusal", [b"554 5.7.1 no", b"550 5.1.1 nobody"])
def test_a_refusal_forged_before_tls_fails_no_message(
    house: OutboundPractice, authority: CertificateAuthority, refusal: bytes
) -> None:
    with (
        receiving(authority.server(MX)) as server,
        tapped(server.port, lambda data: refusal + b"\r\n" if data.startswith(b"220 ") else data) as tap,
    ):
        house.routes.append(route(PARTNER, tap.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
    assert house.recipient(message).state is RecipientState.DEFERRED
    assert house.inbox() == []
    assert_silent(bytes(tap.heard))
