"""Core: how each recipient's copy travels, as frozen values that are stored with the message and shown to people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from mailstore.addresses import Address
from mailstore.message import RecipientPlan, Route


class Place(StrEnum):
    """Where an address belongs. UNKNOWN_HERE: our own domain, and nobody has that mailbox."""

    HERE = "here"
    UNKNOWN_HERE = "unknown_here"
    OUTSIDE = "outside"


@dataclass(frozen=True)
class Located:
    """An address and where it belongs. ``mailbox`` is our name for the mailbox when the place is HERE."""

    address: Address
    place: Place
    mailbox: str | None = None


@dataclass(frozen=True)
class DeliveryPlan:
    """One plan for each recipient, in the order of the envelope."""

    recipients: tuple[RecipientPlan, ...]


class TlsFinding(StrEnum):
    """What asking a receiving server for TLS showed."""

    VERIFIED = "verified"
    NOT_OFFERED = "not_offered"
    REFUSED_FOR_NOW = "refused_for_now"
    CERTIFICATE_INVALID = "certificate_invalid"
    HANDSHAKE_FAILED = "handshake_failed"
    NO_NAME = "no_name"
    """The address names no host that a certificate could prove, such as ``user@[192.0.2.1]``."""
    OUTSIDE_POLICY = "outside_policy"
    """The DNS names a server that the domain's own policy (MTA-STS) does not name."""
    NO_VOUCHER = "no_voucher"
    """Nobody but the DNS vouches for the server's name, and the practice does not let that suffice."""


class Trust(StrEnum):
    """What vouches for the name in a certificate."""

    PKIX = "pkix"
    """The certificate authorities of the system (RFC 5280, RFC 9525)."""
    PINNED = "pinned"
    """The authorities that the settings name for this route, and no others."""
    MTA_STS = "mta-sts"
    """PKIX, for a name that the domain's own policy lists (RFC 8461)."""
    DANE = "dane"
    """A TLSA record under DNSSEC (RFC 7672)."""


@dataclass(frozen=True)
class TlsEvidence:
    """What one server proved. ``version`` is such as ``TLSv1.3``; ``problem`` what was wrong, in words."""

    server_name: str
    finding: TlsFinding
    version: str = ""
    cipher: str = ""
    problem: str = ""
    trust: Trust = Trust.PKIX


@dataclass(frozen=True)
class Unreachable:
    """No server of the domain could be talked to just now. ``problem`` says why, in words."""

    problem: str = ""


@dataclass(frozen=True)
class RecipientFacts:
    """What the decision needs to know of an outside recipient. ``waiting`` is the time since we accepted the mail."""

    has_portal_account: bool
    waiting: timedelta
    portal_after: timedelta


@dataclass(frozen=True)
class RouteDecision:
    """The route after a server was asked, with the reasons. UNDECIDED means: stay in the queue and ask again."""

    route: Route
    reasons: tuple[str, ...] = field(repr=False)
