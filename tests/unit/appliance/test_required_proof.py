"""The strongest voucher that there is decides; none ever gives way to a weaker one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance import required_proof
from appliance.delivery_plan import TlsEvidence, TlsFinding, Trust
from appliance.mta_sts_policy import MtaStsPolicy, PolicyMode
from appliance.required_proof import ByAuthority

MX = "mx.partner.example"


def policy(mode: PolicyMode, *patterns: str) -> MtaStsPolicy:
    return MtaStsPolicy(mode, patterns, timedelta(days=7))


def test_pinned_authority_is_the_only_one() -> None:
    assert required_proof.of_pinned("/partner.pem") == ByAuthority(Trust.PINNED, "/partner.pem")
    assert required_proof.of_pinned("") == ByAuthority(Trust.PKIX)


@pytest.mark.parametrize("suffices", [True, False])
def test_binding_policy_decides_whatever_the_practice_lets_suffice(suffices: bool) -> None:  # noqa: FBT001 - both columns of a table
    binding = policy(PolicyMode.ENFORCE, MX)
    told = required_proof.of_found(MX, policy=binding, public_certificate_suffices=suffices)
    assert told == ByAuthority(Trust.MTA_STS)
    told = required_proof.of_found("mx.evil.example", policy=binding, public_certificate_suffices=suffices)
    assert told == TlsEvidence("mx.evil.example", TlsFinding.OUTSIDE_POLICY)


@pytest.mark.parametrize("said", [None, policy(PolicyMode.TESTING, "other.example"), policy(PolicyMode.NONE)])
def test_without_a_binding_policy_the_practice_decides(said: MtaStsPolicy | None) -> None:
    told = required_proof.of_found(MX, policy=said, public_certificate_suffices=True)
    assert told == ByAuthority(Trust.PKIX)
    told = required_proof.of_found(MX, policy=said, public_certificate_suffices=False)
    assert told == TlsEvidence(MX, TlsFinding.NO_VOUCHER)
