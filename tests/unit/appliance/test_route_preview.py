"""The lamps tell what the relay would find, ask each server once, and never keep a person waiting long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from appliance import outbound_wiring
from appliance.route_preview import PreviewRules, ServerRoutePreview
from mailstore.addresses import parse_mailbox
from mailstore.message import Route
from portal.front_door import PreviewedRoute
from tests.flows.outbound_practice import DOCTOR, OutboundPractice, practice, route
from tests.flows.receiving_server import CertificateAuthority, Script, receiving

PATIENT = "patient@partner.example"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


def lamps(house: OutboundPractice, *, answer_seconds: float = 60.0) -> ServerRoutePreview:
    return ServerRoutePreview(
        house.directory,
        outbound_wiring.servers_of(house.rules(), house.policies(), house.clock),
        rules=PreviewRules(answer_seconds=answer_seconds),
        has_portal_account=lambda address: address.canonical in house.portal_accounts,
    )


def previewed(preview: ServerRoutePreview, *addresses: str) -> Sequence[PreviewedRoute]:
    return preview.preview([parse_mailbox(each) for each in addresses])


def test_each_recipient_has_a_lamp_of_its_own(house: OutboundPractice, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    with receiving(authority.server("mx.partner.example")) as good, receiving() as bad:
        house.routes += [
            route("partner.example", good.port, authority.ca_file),
            route("plain.example", bad.port, authority.ca_file),
        ]
        found = previewed(lamps(house), DOCTOR, PATIENT, "a@plain.example", "nobody@clinic.example", "x@[192.0.2.1]")
    assert [each.route for each in found] == [
        Route.MAILBOX,
        Route.TLS,
        Route.PORTAL,
        Route.UNDECIDED,
        Route.PORTAL,
    ]
    assert "MAIL" not in good.verbs + bad.verbs
    assert "offers no encryption" in found[2].reasons[0]
    assert found[3].reasons == ("No mailbox of this name at this practice",)


def test_a_server_is_asked_once_for_a_while(house: OutboundPractice, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    with receiving(authority.server("mx.partner.example")) as server:
        house.routes.append(route("partner.example", server.port, authority.ca_file))
        preview = lamps(house)
        previewed(preview, PATIENT, "other@partner.example")
        previewed(preview, PATIENT)
        assert server.verbs.count("STARTTLS") == 1


def test_a_slow_server_leaves_the_lamp_undecided_soon(house: OutboundPractice) -> None:
    with receiving(None, Script(seconds={"EHLO": 30})) as server:
        house.routes.append(route("partner.example", server.port))
        before = time.monotonic()
        (found,) = previewed(lamps(house, answer_seconds=0.5), PATIENT)
        assert time.monotonic() - before < house.reply_seconds
    assert found.route is Route.UNDECIDED
    assert "did not answer in time" in found.reasons[0]


def test_a_patient_with_portal_access_is_shown_the_portal_when_the_server_is_away(
    house: OutboundPractice,
) -> None:
    house.routes.append(route("partner.example", 9))
    house.portal_accounts.add(PATIENT)
    assert previewed(lamps(house), PATIENT)[0].route is Route.PORTAL


def test_our_own_broken_trust_store_is_no_error_page(house: OutboundPractice) -> None:
    house.routes.append(route("partner.example", 9, "/nonexistent.pem"))
    assert previewed(lamps(house), PATIENT)[0].route is Route.UNDECIDED
