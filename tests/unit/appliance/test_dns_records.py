"""Every record that a practice publishes, in a form that name servers read."""

from __future__ import annotations

from dataclasses import replace

import dns.rdatatype
import dns.zone
import pytest

from appliance import dns_records, mta_sts_policy
from appliance.dns_records import Purpose
from appliance.mta_sts_policy import PolicyMode
from tests.dns_names import DKIM, DOMAIN, IN_USE, MX, NAMES, NEXT, PORTAL, V4, V6


def told(purpose: Purpose) -> list[tuple[str, str, str]]:
    return [(each.name, each.kind, each.value) for each in dns_records.records(NAMES) if each.purpose is purpose]


def test_every_purpose_has_a_record() -> None:
    assert {record.purpose for record in dns_records.records(NAMES)} == set(Purpose)


def test_mail_comes_to_us_and_only_we_send_it() -> None:
    assert told(Purpose.MX) == [(DOMAIN, "MX", f"10 {MX}.")]
    assert told(Purpose.SPF) == [(DOMAIN, "TXT", "v=spf1 mx -all"), (MX, "TXT", "v=spf1 a -all")]


def test_each_address_stands_at_both_hosts_and_has_a_name() -> None:
    assert told(Purpose.ADDRESS) == [
        (host, kind, address) for host in (MX, PORTAL) for kind, address in (("A", V4), ("AAAA", V6))
    ]
    assert told(Purpose.REVERSE) == [
        ("7.113.0.203.in-addr.arpa", "PTR", f"{MX}."),
        ("7.0.0.0." + "0.0.0.0." * 5 + "8.b.d.0.1.0.0.2.ip6.arpa", "PTR", f"{MX}."),
    ]


def test_one_host_for_mail_and_pages_has_its_addresses_once() -> None:
    found = dns_records.records(replace(NAMES, portal_host=MX))
    assert [each.name for each in found if each.purpose is Purpose.ADDRESS] == [MX, MX]


def test_what_is_not_offered_is_said_to_be_missing() -> None:
    """RFC 6186 section 3.4."""
    found = {name: value for name, kind, value in told(Purpose.MAIL_PROGRAMS) if kind == "SRV"}
    assert found[f"_submissions._tcp.{DOMAIN}"] == f"0 1 465 {MX}."
    assert found[f"_imaps._tcp.{DOMAIN}"] == "0 0 0 ."


def test_next_key_of_the_server_is_published_beside_the_one_in_use() -> None:
    found = dns_records.records(replace(NAMES, tlsa=(IN_USE, NEXT)))
    values = [each.value for each in found if each.purpose is Purpose.TLSA]
    assert values == [f"3 1 1 {IN_USE.hex()}", f"3 1 1 {NEXT.hex()}"]


def test_zone_text_is_read_by_a_name_server() -> None:
    text = dns_records.zone_text(dns_records.records(NAMES))
    head = f"$ORIGIN {DOMAIN}.\n@ 60 IN SOA ns.{DOMAIN}. a.{DOMAIN}. 1 2 3 4 5\n@ 60 IN NS ns.{DOMAIN}.\n"
    zone = dns.zone.from_text(head + text, check_origin=False)
    for key in DKIM:
        (record,) = zone.find_rdataset(f"{key.selector}._domainkey", "TXT")
        assert b"".join(record.strings).decode() == key.text
    assert zone.find_rdataset("_25._tcp.mx", "TLSA")[0].cert == IN_USE
    assert sum(len(found) for _, found in zone.iterate_rdatasets()) == len(dns_records.records(NAMES)) + 2 - 2


def test_records_of_other_zones_are_remarks() -> None:
    lines = dns_records.zone_text(dns_records.records(NAMES)).splitlines()
    assert [line for line in lines if "arpa." in line and not line.startswith("; ")] == []
    assert sum("arpa." in line for line in lines) == 2


def test_long_text_is_cut_into_strings() -> None:
    """RFC 1035 section 3.3: a character-string has at most 255 bytes."""
    told = dns_records.quoted("x" * 600)
    assert [len(piece) for piece in told.strip('"').split('" "')] == [255, 255, 90]


@pytest.mark.parametrize("mode", list(PolicyMode))
def test_policy_is_read_by_those_who_send_to_us(mode: PolicyMode) -> None:
    names = replace(NAMES, mta_sts_mode=mode.value)
    policy = mta_sts_policy.parsed(dns_records.policy_text(names))
    assert policy.mode is mode
    assert policy.covers(MX)
    (announced,) = (each.value for each in dns_records.records(names) if each.name == f"_mta-sts.{DOMAIN}")
    assert mta_sts_policy.announced_id([announced.encode()]) == dns_records.policy_id(names)


def test_another_policy_has_another_id() -> None:
    """RFC 8461 section 3.1: others fetch the policy again only when the id has changed."""
    ids = {dns_records.policy_id(replace(NAMES, mta_sts_mode=mode.value)) for mode in PolicyMode}
    ids.add(dns_records.policy_id(replace(NAMES, mx_host=f"mx2.{DOMAIN}")))
    assert len(ids) == 4
    assert all(each.isalnum() and len(each) <= 32 for each in ids)
