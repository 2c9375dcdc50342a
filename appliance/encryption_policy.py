"""Core: which way each recipient's copy takes, and why, in words that the front desk understands.

Nothing is ever sent in clear: there is no value for it. An outside copy leaves over TLS that proved itself, or it
waits in the portal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from appliance.delivery_plan import (
    DeliveryPlan,
    Located,
    Place,
    RecipientFacts,
    RouteDecision,
    TlsEvidence,
    TlsFinding,
    Trust,
    Unreachable,
)
from mailstore.message import RecipientPlan, RecipientState, Route
from portal.front_door import Refused

SAFE_VERSIONS = frozenset({"TLSv1.2", "TLSv1.3"})
"""NIST SP 800-52r2 section 3.1."""

MAILBOX_REASON = "Mailbox at this practice"
UNDECIDED_REASON = "Will be sent only over verified TLS, otherwise by portal"
UNKNOWN_REASON = "No mailbox of this name at this practice"


def plan(recipients: Sequence[Located], *, may_leave_the_practice: bool) -> DeliveryPlan | Refused:
    """The route of each recipient, or why the message is not taken at all.

    ``may_leave_the_practice`` is False for patients and for mail from other servers: we relay for nobody.
    """
    for located in recipients:
        if located.place is Place.UNKNOWN_HERE:
            return Refused("no_such_mailbox", f"{UNKNOWN_REASON}: {located.address.text}")
        if located.place is Place.OUTSIDE and not may_leave_the_practice:
            return Refused("outside_recipient", "This message may only go to people at this practice.")
    return DeliveryPlan(tuple(_recipient_plan(located) for located in recipients))


def _recipient_plan(located: Located) -> RecipientPlan:
    route, reasons = preview(located)
    state = RecipientState.DELIVERED if route is Route.MAILBOX else RecipientState.QUEUED
    return RecipientPlan(located.address, route, reasons, state, located.mailbox)


def preview(located: Located) -> tuple[Route, tuple[str, ...]]:
    """The route as far as it can be told before any server was asked, and the reasons."""
    match located.place:
        case Place.HERE:
            return Route.MAILBOX, (MAILBOX_REASON,)
        case Place.OUTSIDE:
            return Route.UNDECIDED, (UNDECIDED_REASON,)
        case Place.UNKNOWN_HERE:
            return Route.UNDECIDED, (UNKNOWN_REASON,)
        case _:
            assert_never(located.place)


def after_probe(evidence: TlsEvidence | Unreachable, facts: RecipientFacts) -> RouteDecision:
    """The route of an outside recipient, now that a server was asked.

    Proven TLS goes there. A server that cannot prove itself never gets the mail: portal. A server that is away
    for now is asked again, unless the recipient can read in the portal at once or has waited long enough.
    """
    if isinstance(evidence, Unreachable):
        return _while_away(f"The mail server could not be reached{_why(evidence.problem)}", facts)
    if evidence.finding is TlsFinding.REFUSED_FOR_NOW:
        return _while_away(f"{evidence.server_name} cannot encrypt at the moment", facts)
    if evidence.finding is TlsFinding.VERIFIED and evidence.version in SAFE_VERSIONS:
        return RouteDecision(Route.TLS, (_proof(evidence),))
    return RouteDecision(Route.PORTAL, (_shortfall(evidence), "So it is sent by portal, never unprotected"))


def _shortfall(evidence: TlsEvidence) -> str:
    """What the server failed to prove."""
    name = evidence.server_name
    words = {
        TlsFinding.VERIFIED: f"{name} offers only outdated encryption ({evidence.version})",
        TlsFinding.NOT_OFFERED: f"{name} offers no encryption",
        TlsFinding.CERTIFICATE_INVALID: f"{_false_certificate(evidence)}{_why(evidence.problem)}",
        TlsFinding.HANDSHAKE_FAILED: f"Encryption with {name} failed{_why(evidence.problem)}",
        TlsFinding.NO_NAME: "The address names no server that could prove itself",
        TlsFinding.OUTSIDE_POLICY: f"{name} is not among the servers that the domain's own policy names (MTA-STS)",
        TlsFinding.NO_VOUCHER: f"Nothing but an unsigned DNS answer says that {name} is the domain's server",
    }
    return words[evidence.finding]


def _false_certificate(evidence: TlsEvidence) -> str:
    if evidence.trust is Trust.DANE:
        return f"{evidence.server_name} does not prove itself as its signed DNS record (DANE) asks"
    return f"The certificate of {evidence.server_name} is not valid for it"


def _proof(evidence: TlsEvidence) -> str:
    vouchers = {
        Trust.PKIX: "a public certificate authority",
        Trust.PINNED: "the certificate authority set for this partner",
        Trust.MTA_STS: "a public certificate authority and the domain's own policy (MTA-STS)",
        Trust.DANE: "a signed DNS record (DANE)",
    }
    shown = evidence.version.replace("TLSv", "TLS ")
    return f"Verified {shown} to {evidence.server_name}, proved by {vouchers[evidence.trust]}"


def _while_away(reason: str, facts: RecipientFacts) -> RouteDecision:
    if facts.has_portal_account:
        return RouteDecision(Route.PORTAL, (reason, "The recipient has a portal account and can read it there now"))
    if facts.waiting >= facts.portal_after:
        minutes = int(facts.portal_after.total_seconds() // 60)
        return RouteDecision(Route.PORTAL, (reason, f"No verified connection within {minutes} minutes, so by portal"))
    return RouteDecision(Route.UNDECIDED, (reason, UNDECIDED_REASON))


def _why(problem: str) -> str:
    return f" ({problem})" if problem else ""
