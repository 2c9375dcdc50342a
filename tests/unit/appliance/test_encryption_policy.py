from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.delivery_plan import (
    DeliveryPlan,
    Located,
    Place,
    RecipientFacts,
    TlsEvidence,
    TlsFinding,
    Trust,
    Unreachable,
)
from appliance.encryption_policy import after_probe, plan, preview
from mailstore.addresses import Address
from mailstore.message import RecipientState, Route
from portal.front_door import Refused

HERE = Located(Address("alice", "clinic.example"), Place.HERE, "mailbox-1")
OUTSIDE = Located(Address("pat", "elsewhere.example"), Place.OUTSIDE)
UNKNOWN = Located(Address("nobody", "clinic.example"), Place.UNKNOWN_HERE)
PATIENT = RecipientFacts(has_portal_account=True, waiting=timedelta(0), portal_after=timedelta(minutes=30))
STRANGER = RecipientFacts(has_portal_account=False, waiting=timedelta(minutes=29), portal_after=timedelta(minutes=30))
STRANGER_WHO_WAITED = RecipientFacts(
    has_portal_account=False, waiting=timedelta(minutes=30), portal_after=timedelta(minutes=30)
)


def test_each_recipient_gets_a_route_and_its_reason() -> None:
    made = plan([HERE, OUTSIDE], may_leave_the_practice=True)
    assert isinstance(made, DeliveryPlan)
    assert [(each.route, each.state, each.mailbox) for each in made.recipients] == [
        (Route.MAILBOX, RecipientState.DELIVERED, "mailbox-1"),
        (Route.UNDECIDED, RecipientState.QUEUED, None),
    ]
    assert [each.reasons for each in made.recipients] == [
        ("Mailbox at this practice",),
        ("Will be sent only over verified TLS, otherwise by portal",),
    ]


def test_nobody_relays_who_may_not() -> None:
    refused = plan([HERE, OUTSIDE], may_leave_the_practice=False)
    assert isinstance(refused, Refused)
    assert refused.code == "outside_recipient"


def test_unknown_mailbox_refuses_the_message() -> None:
    refused = plan([HERE, UNKNOWN], may_leave_the_practice=True)
    assert isinstance(refused, Refused)
    assert refused.code == "no_such_mailbox"


def test_preview_tells_of_an_unknown_mailbox() -> None:
    assert preview(UNKNOWN) == (Route.UNDECIDED, ("No mailbox of this name at this practice",))


@pytest.mark.parametrize("facts", [PATIENT, STRANGER, STRANGER_WHO_WAITED])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_proven_tls_is_used_and_its_proof_is_named(version: str, facts: RecipientFacts) -> None:
    evidence = TlsEvidence("mx.elsewhere.example", TlsFinding.VERIFIED, version, trust=Trust.PINNED)
    decision = after_probe(evidence, facts)
    assert decision.route is Route.TLS
    assert "mx.elsewhere.example" in decision.reasons[0]
    assert "set for this partner" in decision.reasons[0]


@pytest.mark.parametrize("facts", [PATIENT, STRANGER, STRANGER_WHO_WAITED])
@pytest.mark.parametrize("version", ["", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.4"])
def test_encryption_that_is_not_known_to_be_safe_is_none(version: str, facts: RecipientFacts) -> None:
    assert after_probe(TlsEvidence("mx.x.example", TlsFinding.VERIFIED, version), facts).route is Route.PORTAL


@pytest.mark.parametrize("facts", [PATIENT, STRANGER, STRANGER_WHO_WAITED])
@pytest.mark.parametrize("finding", sorted(set(TlsFinding) - {TlsFinding.VERIFIED, TlsFinding.REFUSED_FOR_NOW}))
def test_server_that_cannot_prove_itself_never_gets_the_mail(finding: TlsFinding, facts: RecipientFacts) -> None:
    decision = after_probe(TlsEvidence("mx.x.example", finding, "TLSv1.3", problem="self-signed"), facts)
    assert decision.route is Route.PORTAL
    assert decision.reasons[-1] == "So it is sent by portal, never unprotected"


@pytest.mark.parametrize("away", [Unreachable("no answer"), TlsEvidence("mx.x.example", TlsFinding.REFUSED_FOR_NOW)])
def test_server_that_is_away_is_waited_for_unless_the_portal_serves_better(away: Unreachable | TlsEvidence) -> None:
    assert after_probe(away, PATIENT).route is Route.PORTAL
    assert after_probe(away, STRANGER).route is Route.UNDECIDED
    assert after_probe(away, STRANGER_WHO_WAITED).route is Route.PORTAL


def test_every_decision_has_reasons() -> None:
    evidence: list[TlsEvidence | Unreachable] = [TlsEvidence("mx.x.example", finding) for finding in TlsFinding]
    for each in [*evidence, Unreachable()]:
        for facts in (PATIENT, STRANGER, STRANGER_WHO_WAITED):
            assert all(after_probe(each, facts).reasons)
