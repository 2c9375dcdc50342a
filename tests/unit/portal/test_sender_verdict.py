"""What outsiders claim is never shown as proved, and imitations are marked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstore.actor import Role
from mailstore.addresses import header_addresses
from mailstore.message import Origin
from portal.sender_verdict import SenderFacts, verdict

FACTS = SenderFacts(
    named=header_addresses("Ann Sorensen <ann@hospital.example>")[0],
    origin=Origin.SMTP,
    author=None,
    envelope_sender="ann@hospital.example",
    staff_names=["Dr. Elena Ruiz", "Sam Okafor"],
    local_domains=frozenset({"clinic.example"}),
)


def test_mail_from_outside_is_said_to_be_unproved() -> None:
    assert "Nothing proves" in verdict(FACTS).text


def test_a_patient_who_signed_in_is_proved() -> None:
    assert verdict(replace(FACTS, origin=Origin.PORTAL, author=Role.PATIENT)).kind == "good"


def test_a_colleague_who_signed_in_is_proved() -> None:
    assert verdict(replace(FACTS, origin=Origin.SUBMISSION, author=Role.CLINICIAN)).heading == "A colleague"


def test_our_own_reports_are_ours() -> None:
    assert verdict(replace(FACTS, origin=Origin.SYSTEM)).kind == "good"


@pytest.mark.parametrize(
    ("from_field", "envelope", "heading"),
    [
        ("Sam <sam@clinic.example>", "x@evil.example", "Pretends to be from this practice"),
        ("Sam <sam@CLINIC.example>", "x@evil.example", "Pretends to be from this practice"),
        ("Billing <bill@evil.example>", "sam@Clinic.Example", "Pretends to be from this practice"),
        ("sam okafor <sam.okafor@evil.example>", "x@evil.example", "Has the name of a colleague"),
        ("Dr Elena Ruiz <e@evil.example>", "x@evil.example", "Has the name of a colleague"),
        ('"sam@clinic.example" <x@evil.example>', "x@evil.example", "Shows two addresses"),
        ("undisclosed", "x@evil.example", "No readable sender"),
        ("Sam <sam@cl\u0456nic.example>", "x@evil.example", "Imitates an address of this practice"),
        ("Sam <sam@xn--clnic-o2e.example>", "x@evil.example", "Imitates an address of this practice"),
        ("Sam <sam@c1inic.example>", "x@evil.example", "Imitates an address of this practice"),
        ("Sam <sam@clinic.example.evil.example>", "x@evil.example", "Imitates an address of this practice"),
        ("S\u0430m \u041ek\u0430for <s@evil.example>", "x@evil.example", "Has the name of a colleague"),
        ('"Ok\u0430for, Sam" <s@evil.example>', "x@evil.example", "Has the name of a colleague"),
        ("\uff33\uff41\uff4d Oka\u200bfor <s@evil.example>", "x@evil.example", "Has the name of a colleague"),
    ],
)
def test_imitations_are_marked(from_field: str, envelope: str, heading: str) -> None:
    named = header_addresses(from_field)[0]
    assert verdict(replace(FACTS, named=named, envelope_sender=envelope)).heading == heading


@pytest.mark.parametrize(
    "from_field",
    [
        "Sam Okonkwo <s@hospital.example>",
        "Clinic <info@clinics.example>",
        "A <a@other-clinic.example>",
        "<a@b.example>",
    ],
)
def test_who_merely_resembles_us_is_not_accused(from_field: str) -> None:
    assert verdict(replace(FACTS, named=header_addresses(from_field)[0])).heading == "From outside"


def test_an_address_below_ours_is_said_to_come_from_outside() -> None:
    below = header_addresses("Sam <sam@mail.clinic.example>")[0]
    assert verdict(replace(FACTS, named=below)).kind == "warn"


def test_no_sender_at_all_is_said() -> None:
    assert verdict(replace(FACTS, named=None)).kind == "warn"
