from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.smtp_authentication import (
    FAILURES_PER_PEER,
    PEERS_REMEMBERED,
    Credentials,
    FailureCount,
    credentials_from,
    decoded,
    plain_credentials,
)


def encoded(text: bytes) -> bytes:
    return base64.b64encode(text)


@pytest.mark.parametrize("acting_as", [b"", b"a@b.example"])
def test_plain_gives_login_and_password(acting_as: bytes) -> None:
    found = plain_credentials(encoded(acting_as + b"\0a@b.example\0p\xc3\xa4ss"))
    assert found == Credentials("a@b.example", "päss")


@pytest.mark.parametrize(
    "offered",
    [
        b"",
        b"=",
        b"***",
        b"YQ",
        encoded(b"a"),
        encoded(b"a\0b"),
        encoded(b"\0a\0b\0c"),
        encoded(b"boss\0a\0b"),
        encoded(b"\0\0b"),
        encoded(b"\0a\0"),
        encoded(b"\0a\0\xff"),
        encoded(b"\0a\0b")[:-1] + b"\n",
    ],
)
def test_everything_else_is_no_credentials(offered: bytes) -> None:
    assert plain_credentials(offered) is None


@given(st.binary(max_size=60))
def test_no_bytes_make_reading_credentials_fail(offered: bytes) -> None:
    plain_credentials(offered)
    plain_credentials(encoded(offered))
    decoded(offered)
    credentials_from(offered, offered)


def test_secrets_stay_out_of_repr() -> None:
    assert "secret" not in repr(Credentials("secret", "secret"))


def test_attempts_count_while_they_run_and_success_takes_back_only_its_own() -> None:
    count = FailureCount()
    for _ in range(FAILURES_PER_PEER):
        assert not count.is_blocked("192.0.2.1")
        count.begin("192.0.2.1")
    assert count.is_blocked("192.0.2.1")
    assert not count.is_blocked("192.0.2.2")
    count.succeeded("192.0.2.1", "Anna@clinic.example")
    assert not count.is_blocked("192.0.2.1", "bob@clinic.example")
    count.begin("192.0.2.1")
    assert count.is_blocked("192.0.2.1", "bob@clinic.example")
    assert not count.is_blocked("192.0.2.1", "anna@clinic.example")


def test_ipv6_peer_is_its_network() -> None:
    count = FailureCount()
    for number in range(FAILURES_PER_PEER):
        count.begin(f"2001:db8::{number:x}")
    assert count.is_blocked("2001:db8::ffff")
    assert not count.is_blocked("2001:db8:0:1::1")


def test_ipv4_peers_in_ipv6_clothes_are_counted_each_by_itself() -> None:
    count = FailureCount()
    for _ in range(FAILURES_PER_PEER):
        count.begin("::ffff:192.0.2.1")
    assert count.is_blocked("192.0.2.1")
    assert not count.is_blocked("::ffff:192.0.2.2")


def test_memory_of_peers_is_bounded() -> None:
    count = FailureCount()
    for number in range(PEERS_REMEMBERED + 50):
        count.begin(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        count.succeeded(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "anna@clinic.example")
    assert len(count._failures) == len(count._known) == PEERS_REMEMBERED
