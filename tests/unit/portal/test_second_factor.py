"""One-time codes: RFC 6238, one step of drift, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from portal import second_factor
from portal.second_factor import accepted_step, in_groups, picture, provisioning_address, secret_from

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECRET = secret_from(b"12345678901234567890")
STEP = int(NOW.timestamp()) // 30


def code(at: datetime = NOW) -> str:
    return str(pyotp.TOTP(SECRET).at(at))


def test_the_codes_are_those_of_the_standard() -> None:
    at = datetime(2005, 3, 18, 1, 58, 29, tzinfo=UTC)
    assert accepted_step(SECRET, "081804", now=at, last_step=-1) == 0x23523EC  # RFC 6238 appendix B


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_one_step_of_drift_is_allowed(seconds: int) -> None:
    assert accepted_step(SECRET, code(NOW + timedelta(seconds=seconds)), now=NOW, last_step=-1) is not None


@pytest.mark.parametrize("seconds", [-90, 90, 3600])
def test_more_drift_is_not(seconds: int) -> None:
    assert accepted_step(SECRET, code(NOW + timedelta(seconds=seconds)), now=NOW, last_step=-1) is None


def test_a_code_is_used_once() -> None:
    assert accepted_step(SECRET, code(), now=NOW, last_step=STEP) is None
    assert accepted_step(SECRET, code(NOW - timedelta(seconds=30)), now=NOW, last_step=STEP) is None


@pytest.mark.parametrize(
    "typed", ["", "abcdef", "12345", "1234567", "\uff11\uff12\uff13\uff14\uff15\uff16", "000000' or 1=1"]
)
def test_what_is_no_code_is_wrong(typed: str) -> None:
    assert accepted_step(SECRET, typed, now=NOW, last_step=-1) is None


def test_spaces_in_a_code_are_allowed() -> None:
    assert accepted_step(SECRET, f" {code()[:3]} {code()[3:]}", now=NOW, last_step=-1) == STEP


def test_the_picture_is_inline_and_carries_the_practice() -> None:
    address = provisioning_address(SECRET, account="pat@mail.example", practice="Riverside Clinic")
    assert "issuer=Riverside%20Clinic" in address
    assert picture(address).startswith("data:image/svg+xml;base64,")


def test_the_secret_can_be_typed_in_groups() -> None:
    assert in_groups(SECRET).replace(" ", "") == SECRET


def test_a_secret_has_160_bits() -> None:
    with pytest.raises(ValueError, match="20 random bytes"):
        secret_from(b"short")
    assert second_factor.SECRET_BYTES * 8 == 160
