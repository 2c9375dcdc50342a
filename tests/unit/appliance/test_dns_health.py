"""Each record that is wrong is named with what stands there and what should; asked of a real name server."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance import dns_comparison, dns_health, dns_records
from appliance.dns_records import PublishedNames, Purpose
from appliance.health_finding import Finding, State
from appliance.name_lookup import LookupSettings, NameLookup
from tests import dns_room
from tests.dns_names import DKIM, DOMAIN, IN_USE, MX, NAMES, NEXT, OTHER_KEY, PORTAL, V4, V6, pointer, published
from tests.dns_room import OutsideDns

RSA_NAME = f"{DKIM[0].selector}._domainkey.{DOMAIN}"
TLSA_NAME = f"_25._tcp.{MX}"


@pytest.fixture
def outside() -> Iterator[OutsideDns]:
    with dns_room.served(published()) as served:
        yield served


def lookup(port: int, *, seconds: float = 5.0) -> NameLookup:
    return NameLookup(
        LookupSettings(MX, seconds=seconds, nameservers=("127.0.0.1",), nameserver_port=port, proves=True)
    )


def findings(outside: OutsideDns, names: PublishedNames = NAMES) -> dict[str, Finding]:
    found = dns_comparison.findings(names, dns_health.asked(names, lookup(outside.port)))
    return {each.check.removeprefix("dns "): each for each in found}


def test_all_is_well_when_everything_stands_as_it_should(outside: OutsideDns) -> None:
    found = findings(outside)
    assert {name: each.message for name, each in found.items() if each.state is not State.OK} == {}
    assert set(found) == set(Purpose)


Wrong = tuple[tuple[str, str], tuple[str, ...], Purpose, State, str, str]
"""What is asked, what stands there, whose line says so and how, what it says, and what mends it."""

WRONG: dict[str, Wrong] = {
    "no mx": ((DOMAIN, "MX"), (), Purpose.MX, State.FAIL, "there stands nothing", f"10 {MX}."),
    "other mx": ((DOMAIN, "MX"), ("10 mx.other.example.",), Purpose.MX, State.FAIL, "mx.other.example", f"10 {MX}."),
    "mx beside": (
        (DOMAIN, "MX"),
        (f"10 {MX}.", "20 mx.other.example."),
        Purpose.MX,
        State.WARN,
        "mx.other.example",
        f"10 {MX}.",
    ),
    "no spf": ((DOMAIN, "TXT"), ('"google-site=1"',), Purpose.SPF, State.FAIL, "nothing", "v=spf1 mx -all"),
    "two spf": (
        (DOMAIN, "TXT"),
        ('"v=spf1 mx -all"', '"v=spf1 include:other.example -all"'),
        Purpose.SPF,
        State.FAIL,
        "other.example",
        "v=spf1 mx -all",
    ),
    "spf of others": (
        (DOMAIN, "TXT"),
        ('"v=spf1 include:other.example -all"',),
        Purpose.SPF,
        State.FAIL,
        "other.example",
        "v=spf1 mx include:other.example -all",
    ),
    "spf for all": ((DOMAIN, "TXT"), ('"v=spf1 mx +all"',), Purpose.SPF, State.FAIL, "+all", "v=spf1 mx -all"),
    "no dkim": ((RSA_NAME, "TXT"), (), Purpose.DKIM, State.FAIL, RSA_NAME, DKIM[0].text[:60]),
    "other key": ((RSA_NAME, "TXT"), (f'"{OTHER_KEY}"',), Purpose.DKIM, State.FAIL, OTHER_KEY, DKIM[0].text[:60]),
    "two keys": (
        (RSA_NAME, "TXT"),
        (dns_records.quoted(DKIM[0].text), f'"{OTHER_KEY}"'),
        Purpose.DKIM,
        State.FAIL,
        "only one",
        DKIM[0].text[:60],
    ),
    "no dmarc": ((f"_dmarc.{DOMAIN}", "TXT"), (), Purpose.DMARC, State.FAIL, "nothing", "p=quarantine"),
    "weak dmarc": (
        (f"_dmarc.{DOMAIN}", "TXT"),
        ('"v=DMARC1; p=none"',),
        Purpose.DMARC,
        State.WARN,
        "p=none",
        "p=quarantine",
    ),
    "no tls reports": ((f"_smtp._tls.{DOMAIN}", "TXT"), (), Purpose.TLS_REPORTS, State.WARN, "nothing", "v=TLSRPTv1"),
    "old policy": (
        (f"_mta-sts.{DOMAIN}", "TXT"),
        ('"v=STSv1; id=old"',),
        Purpose.MTA_STS,
        State.WARN,
        "id=old",
        dns_records.policy_id(NAMES),
    ),
    "policy elsewhere": (
        (f"mta-sts.{DOMAIN}", "CNAME"),
        ("www.other.example.",),
        Purpose.MTA_STS,
        State.WARN,
        "leads nowhere",
        f"CNAME {PORTAL}.",
    ),
    "no tlsa": ((TLSA_NAME, "TLSA"), (), Purpose.TLSA, State.WARN, "the zone is signed", IN_USE.hex()),
    "other tlsa": ((TLSA_NAME, "TLSA"), (f"3 1 1 {NEXT.hex()}",), Purpose.TLSA, State.FAIL, NEXT.hex(), IN_USE.hex()),
    "old tlsa left": (
        (TLSA_NAME, "TLSA"),
        (f"3 1 1 {IN_USE.hex()}", f"3 1 1 {NEXT.hex()}"),
        Purpose.TLSA,
        State.WARN,
        NEXT.hex(),
        IN_USE.hex(),
    ),
    "no address": ((MX, "A"), (), Purpose.ADDRESS, State.FAIL, V4, f"IN A {V4}"),
    "other address": ((MX, "A"), (V4, "203.0.113.99"), Purpose.ADDRESS, State.WARN, "203.0.113.99", "203.0.113.99"),
    "no srv": (
        (f"_submissions._tcp.{DOMAIN}", "SRV"),
        (),
        Purpose.MAIL_PROGRAMS,
        State.WARN,
        "nothing",
        f"0 1 465 {MX}.",
    ),
    "no ptr": ((pointer(V4), "PTR"), (), Purpose.REVERSE, State.FAIL, f"{V4} is called nothing", f"PTR {MX}."),
    "other ptr": (
        (pointer(V6), "PTR"),
        ("host7.provider.example.",),
        Purpose.REVERSE,
        State.FAIL,
        "host7.provider.example",
        f"PTR {MX}.",
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_record_is_named_with_its_fix(outside: OutsideDns, wrong: Wrong) -> None:
    question, stands, purpose, state, told, fix = wrong
    if stands:
        outside.records[question] = list(stands)
    else:
        del outside.records[question]
    finding = findings(outside)[purpose]
    assert finding.state is state
    assert told in finding.message
    assert fix in finding.fix
    done_as_told(outside, finding)
    assert findings(outside)[purpose].state is State.OK, "what mends it was done to the letter"


TOLD = re.compile(
    r"(publish, in the place of what stands there|publish|leave only|ask for): (\S+)\. (?:\d+ )?IN (\w+) "
    r"(.+?)(?: \([^)]*\))?(?=; (?:publish|unless|ask for)|$)"
)
AWAY = re.compile(r"take (\S+) away from (\S+), or")


def done_as_told(outside: OutsideDns, finding: Finding) -> None:
    """Change the zone by the words of the fix, and by nothing else."""
    told = TOLD.findall(finding.fix)
    away = AWAY.findall(finding.fix)
    assert told or away, finding.fix
    for _verb, name, kind, value in [each for each in told if each[0] not in {"publish", "ask for"}]:
        outside.records[name, kind] = [
            each for each in outside.records.get((name, kind), []) if kind == "TXT" and each[:7] != value[:7]
        ]
    for _verb, name, kind, value in told:
        outside.records.setdefault((name, kind), []).append(value)
    for address, host in away:
        outside.records[host, "A"].remove(address)


def test_newsletter_goes_on_being_sent_in_our_name_when_we_are_named_beside_it(outside: OutsideDns) -> None:
    outside.has(DOMAIN, "TXT", '"v=spf1 include:newsletter.example ~all"', '"other=1"')
    finding = findings(outside)[Purpose.SPF]
    assert "v=spf1 mx include:newsletter.example ~all" in finding.fix
    done_as_told(outside, finding)
    assert '"other=1"' in outside.records[DOMAIN, "TXT"]
    assert findings(outside)[Purpose.SPF].state is State.OK


def test_longer_spf_that_names_us_is_well(outside: OutsideDns) -> None:
    outside.has(DOMAIN, "TXT", f'"v=spf1 ip4:{V4} include:newsletter.example ~all"', '"other=1"')
    assert findings(outside)[Purpose.SPF].state is State.OK


def test_stricter_dmarc_is_well(outside: OutsideDns) -> None:
    outside.has(f"_dmarc.{DOMAIN}", "TXT", '"v=DMARC1;p=reject;rua=mailto:a@other.example"')
    assert findings(outside)[Purpose.DMARC].state is State.OK


def test_key_that_does_not_sign_now_is_missed_less(outside: OutsideDns) -> None:
    del outside.records[RSA_NAME, "TXT"]
    names = replace(NAMES, dkim=(replace(DKIM[0], signs=False), DKIM[1]))
    assert findings(outside, names)[Purpose.DKIM].state is State.WARN


def test_text_cut_into_other_strings_is_the_same(outside: OutsideDns) -> None:
    value = DKIM[0].text
    outside.has(RSA_NAME, "TXT", f'"{value[:10]}" "{value[10:200]}" "{value[200:]}"')
    assert findings(outside)[Purpose.DKIM].state is State.OK


def test_name_that_leads_back_elsewhere_is_wrong(outside: OutsideDns) -> None:
    """Forward-confirmed: a name that anybody may give to their address proves nothing."""
    del outside.records[MX, "AAAA"]
    finding = findings(outside)[Purpose.REVERSE]
    assert (finding.state, V6 in finding.message) == (State.FAIL, True)


def test_tlsa_is_not_missed_in_a_zone_that_nobody_proves(outside: OutsideDns) -> None:
    del outside.records[TLSA_NAME, "TLSA"]
    outside.unsigned.add(DOMAIN)
    assert findings(outside)[Purpose.TLSA].state is State.OFF


def test_next_key_that_is_not_published_yet_is_a_warning(outside: OutsideDns) -> None:
    finding = findings(outside, replace(NAMES, tlsa=(IN_USE, NEXT)))[Purpose.TLSA]
    assert (finding.state, NEXT.hex() in finding.fix) == (State.WARN, True)


def test_practice_that_does_not_know_its_addresses_is_held_against_the_dns_alone(outside: OutsideDns) -> None:
    names = replace(NAMES, addresses=())
    found = findings(outside, names)
    assert {name for name, each in found.items() if each.state is not State.OK} == set()
    del outside.records[pointer(V4), "PTR"]
    assert findings(outside, names)[Purpose.REVERSE].state is State.FAIL


def test_one_name_that_fails_leaves_the_others_known(outside: OutsideDns) -> None:
    outside.fails.add((RSA_NAME, "TXT"))
    found = findings(outside)
    assert (found[Purpose.DKIM].state, found[Purpose.DKIM].is_unknown) == (State.WARN, True)
    assert (found[Purpose.MX].state, found[Purpose.MX].is_unknown) == (State.OK, False)


def test_typo_in_a_published_key_is_a_finding_like_any_other_wrong_record(outside: OutsideDns) -> None:
    outside.records[RSA_NAME, "TXT"] = ['"v=DKIM1; k=rsa; p=MIIB\\226\\128\\139"']
    found = findings(outside)
    assert (found[Purpose.DKIM].state, found[Purpose.DKIM].is_unknown) == (State.FAIL, False)
    assert DKIM[0].text[:60] in found[Purpose.DKIM].fix


def test_names_of_addresses_are_unknown_when_the_addresses_are(outside: OutsideDns) -> None:
    outside.fails.update({(MX, "A"), (MX, "AAAA")})
    assert findings(outside, replace(NAMES, addresses=()))[Purpose.REVERSE].is_unknown


def test_resolver_that_is_silent_costs_a_bounded_time_and_one_warning() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        started = time.monotonic()
        asked = dns_health.asked(NAMES, lookup(silent.getsockname()[1], seconds=1.0))
        assert time.monotonic() - started < 6
    (finding,) = dns_comparison.findings(NAMES, asked)
    assert (finding.check, finding.state) == ("dns", State.WARN)
    assert finding.is_unknown
    assert "is_public" in finding.fix
