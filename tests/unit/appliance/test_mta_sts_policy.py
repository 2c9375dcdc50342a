"""A policy says what its text says, to the letter; whatever else a stranger publishes says nothing."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import mta_sts_policy
from appliance.mta_sts_policy import BadPolicyError, PolicyMode

GOOD = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n"


def test_policy_of_the_standard_is_understood() -> None:
    policy = mta_sts_policy.parsed(GOOD)
    assert (policy.mode, policy.is_binding, policy.max_age) == (PolicyMode.ENFORCE, True, timedelta(days=7))
    assert policy.patterns == ("mail.example.com", "*.example.net")


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), GOOD.rstrip("\n"), GOOD + "\n\n", GOOD + "x-more: a b\n"])
def test_line_ends_and_unknown_fields_change_nothing(text: str) -> None:
    assert mta_sts_policy.parsed(text) == mta_sts_policy.parsed(GOOD)


def test_first_of_a_field_told_twice_counts() -> None:
    policy = mta_sts_policy.parsed(GOOD + "mode: none\nmax_age: 1\n")
    assert (policy.mode, policy.max_age) == (PolicyMode.ENFORCE, timedelta(days=7))


def test_policy_never_holds_longer_than_the_standard_lets_it() -> None:
    assert mta_sts_policy.parsed(GOOD.replace("604800", "99999999")).max_age == mta_sts_policy.LONGEST


def test_mode_none_needs_no_server() -> None:
    policy = mta_sts_policy.parsed("version: STSv1\nmode: none\nmax_age: 86400\n")
    assert not policy.is_binding


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not found</html>",
        GOOD.replace("STSv1", "STSv2"),
        GOOD.replace("version: STSv1\n", ""),
        GOOD.replace("enforce", "enforced"),
        GOOD.replace("mode: enforce\n", ""),
        GOOD.replace("mx: mail.example.com\nmx: *.example.net\n", ""),
        GOOD.replace("max_age: 604800\n", ""),
        GOOD.replace("604800", "-1"),
        GOOD.replace("604800", "a week"),
        GOOD.replace("604800", "9" * 5000),
        GOOD.replace("604800", "\u0661"),
        GOOD.replace("mail.example.com", "*"),
        GOOD.replace("mail.example.com", "mail.*.com"),
        GOOD.replace("mail.example.com", "m@il.example.com"),
        GOOD.replace("mail.example.com", ""),
        GOOD + "\x00\n",
        GOOD + "no field\n",
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(BadPolicyError):
        mta_sts_policy.parsed(text)


@pytest.mark.parametrize(
    ("name", "is_covered"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("a.example.net", True),
        ("example.net", False),
        ("a.b.example.net", False),
        ("other.example.com", False),
        ("mail.example.com.evil.example", False),
        ("evilexample.net", False),
        ("", False),
    ],
)
def test_star_stands_for_one_label_and_nothing_else(name: str, is_covered: bool) -> None:  # noqa: FBT001 - a column of the table above
    assert mta_sts_policy.parsed(GOOD).covers(name) is is_covered


@pytest.mark.parametrize(
    ("texts", "announced"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1; more=x; id=abc ; id=def;"], "abc"),
        ([b"v=spf1 -all", b"v=STSv1; id=1;"], "1"),
        ([], ""),
        ([b"v=STSv1; id=1;", b"v=STSv1; id=2;"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv10; id=1;"], ""),
        ([b" v=STSv1; id=1;"], ""),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv1; id=\xff"], ""),
        ([b"v=STSv1; id=;"], ""),
    ],
)
def test_one_announcement_in_its_form_counts(texts: list[bytes], announced: str) -> None:
    assert mta_sts_policy.announced_id(texts) == announced


def test_a_field_of_nothing_but_spaces_costs_no_square_of_them() -> None:
    begun = process_time()
    with pytest.raises(BadPolicyError):
        mta_sts_policy.parsed("mode: a" + " " * 60_000 + "b")
    assert process_time() - begun < 2


@given(st.text(max_size=300), st.binary(max_size=100))
def test_nothing_a_stranger_publishes_breaks_the_reader(text: str, announced: bytes) -> None:
    with contextlib.suppress(BadPolicyError):
        mta_sts_policy.parsed(text)
    mta_sts_policy.announced_id([announced, b"v=STSv1;" + announced])
