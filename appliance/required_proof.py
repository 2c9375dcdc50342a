"""Core: what one mail server must show before it is given mail, decided from what was proved about it.

In this order: an authority that the settings pin; a signed DNS record (DANE); the domain's own policy (MTA-STS); a
public certificate for the name of the server, where the practice lets that suffice. The first that there is decides,
and no failure of it ever leads to a weaker one (RFC 7672 section 2.2, RFC 8461 section 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.delivery_plan import TlsEvidence, TlsFinding, Trust
from appliance.mta_sts_policy import MtaStsPolicy
from appliance.tlsa_record import TlsaRecord


@dataclass(frozen=True)
class ByAuthority:
    """A certificate for the server's name: of ``ca_file`` alone, or when that is empty of the system's authorities."""

    trust: Trust
    ca_file: str = ""


@dataclass(frozen=True)
class BySignedRecord:
    """A key that usable records name. ``names``: what a certificate may say, the first of them asked for by SNI."""

    records: tuple[TlsaRecord, ...]
    names: tuple[str, ...]


Proof = ByAuthority | BySignedRecord


def of_pinned(ca_file: str) -> Proof:
    """What a server must show that the settings name."""
    return ByAuthority(Trust.PINNED, ca_file) if ca_file else ByAuthority(Trust.PKIX)


def of_found(
    server_name: str, *, policy: MtaStsPolicy | None, public_certificate_suffices: bool
) -> Proof | TlsEvidence:
    """What a server must show that the DNS names and that has no signed record; or why nothing it shows is enough."""
    if policy is not None and policy.is_binding:
        if policy.covers(server_name):
            return ByAuthority(Trust.MTA_STS)
        return TlsEvidence(server_name, TlsFinding.OUTSIDE_POLICY)
    if public_certificate_suffices:
        return ByAuthority(Trust.PKIX)
    return TlsEvidence(server_name, TlsFinding.NO_VOUCHER)
