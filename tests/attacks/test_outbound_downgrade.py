"""Attack: somebody who holds the DNS, the web or the line on the way wants mail to go by less than it would.

Whatever is stripped, forged, kept back or swollen: mail goes by the proof that there is, or waits, or by portal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mailstore.errors import TamperedError
from mailstore.message import RecipientState, Route
from tests.dns_room import OutsideDns
from tests.flows.outbound_practice import OutboundPractice, practice
from tests.flows.outside_world import DOMAIN, MX, POLICY, names, policy_published, sent, signed
from tests.flows.receiving_server import CertificateAuthority, receiving, tapped, without_starttls
from tests.flows.tls_identity import identity

SHOWN = identity(MX)
ELSEWHERE = "mx.elsewhere.example"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


@pytest.fixture
def dns(house: OutboundPractice) -> Iterator[OutsideDns]:
    with names(house) as outside:
        yield outside


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CertificateAuthority:
    """A public authority: the one that this machine's system trusts (openssl(1) names the variable)."""
    made = CertificateAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", made.ca_file)
    return made


@pytest.mark.parametrize("promise", ["signed record", "policy"])
def test_where_encryption_was_promised_nothing_at_all_goes_in_clear(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, promise: str
) -> None:
    with (
        receiving(authority.server(MX)) as server,
        tapped(server.port, without_starttls) as tap,
        policy_published(house, dns, authority),
    ):
        if promise == "signed record":
            signed(dns, tap.port, f"3 1 1 {SHOWN.key_digest}")
        message = sent(house, tap.port)
        assert server.arrived == []
    assert house.recipient(message).route is Route.PORTAL
    assert house.recipient(message).state is not RecipientState.NOTIFIED
    assert b"MAIL" not in tap.heard


@pytest.mark.parametrize("parameters", ["1 1 1", "3 1 9"])
def test_signed_records_of_which_none_is_usable_promise_encryption_all_the_same(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, parameters: str
) -> None:
    """RFC 7672 section 2.2: mandatory TLS, though nothing is left to prove the server by."""
    with receiving(authority.server(MX)) as server, tapped(server.port, without_starttls) as tap:
        signed(dns, tap.port, f"{parameters} {SHOWN.key_digest}")
        message = sent(house, tap.port)
        assert server.arrived == []
    assert house.recipient(message).route is Route.PORTAL
    assert house.recipient(message).state is not RecipientState.NOTIFIED
    assert b"MAIL" not in tap.heard


def test_key_that_no_signed_record_names_gets_nothing_however_good_its_certificate(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with receiving(authority.server(MX)) as server, tapped(server.port) as tap:
        signed(dns, tap.port, f"3 1 1 {SHOWN.key_digest}")
        message = sent(house, tap.port)
        assert [each for each in server.arrived if b"CANARY" in each.content] == []
    recipient = house.recipient(message)
    assert recipient.route is Route.PORTAL
    assert "does not prove itself as its signed DNS record (DANE) asks" in recipient.reasons[0]


@pytest.mark.parametrize("kept_back", [(DOMAIN, "MX"), ("TLSA", "TLSA"), (f"_mta-sts.{DOMAIN}", "TXT")])
def test_answer_that_is_kept_back_or_forged_makes_mail_wait_and_never_go_by_less(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, kept_back: tuple[str, str]
) -> None:
    with receiving(authority.server(MX)) as server:
        name, kind = kept_back
        dns.fails.add((f"_{server.port}._tcp.{MX}" if name == "TLSA" else name, kind))
        message = sent(house, server.port)
        assert house.recipient(message).state is RecipientState.DEFERRED
        assert server.verbs == []
        dns.fails.clear()
        house.later(minutes=10)
        house.step()
    assert house.recipient(message).state is RecipientState.DELIVERED


def test_one_family_of_addresses_that_is_kept_back_hides_no_signed_record(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    dns.fails.add((MX, "AAAA"))
    with receiving(authority.server(MX)) as server:
        signed(dns, server.port, f"3 1 1 {SHOWN.key_digest}")
        assert house.recipient(sent(house, server.port)).route is Route.PORTAL


@pytest.mark.parametrize("unproved", [DOMAIN, MX])
def test_records_that_nobody_proved_are_not_even_asked_for(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, unproved: str
) -> None:
    dns.unsigned.add(unproved)
    with receiving(authority.server(MX)) as server:
        signed(dns, server.port, f"3 1 1 {SHOWN.key_digest}")
        message = sent(house, server.port)
    assert "public certificate authority" in house.recipient(message).reasons[0]
    assert "TLSA" not in {kind for _, kind in dns.asked}


def test_word_of_a_resolver_that_the_settings_do_not_name_proves_nothing(
    house: OutboundPractice, dns: OutsideDns
) -> None:
    house.outside.dns_proves = False
    with receiving(SHOWN.context) as server:
        signed(dns, server.port, f"3 1 1 {SHOWN.key_digest}")
        message = sent(house, server.port)
    assert house.recipient(message).route is Route.PORTAL
    assert "TLSA" not in {kind for _, kind in dns.asked}


@pytest.mark.parametrize("parameters", ["0 0 1", "1 1 1", "3 1 7"])
def test_record_that_cannot_count_lets_nobody_in(house: OutboundPractice, dns: OutsideDns, parameters: str) -> None:
    with receiving(SHOWN.context) as server:
        signed(dns, server.port, f"{parameters} {SHOWN.key_digest}")
        assert house.recipient(sent(house, server.port)).route is Route.PORTAL


@pytest.mark.parametrize("looping", [DOMAIN, MX, "TLSA", f"_mta-sts.{DOMAIN}"])
def test_names_that_lead_in_circles_make_mail_wait_and_cost_little(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, looping: str
) -> None:
    before = time.monotonic()
    with receiving(authority.server(MX)) as server:
        name = f"_{server.port}._tcp.{MX}" if looping == "TLSA" else looping
        dns.has(name, "CNAME", "round.example.")
        dns.has("round.example", "CNAME", f"{name}.")
        message = sent(house, server.port)
        assert server.arrived == []
    assert house.recipient(message).state is RecipientState.DEFERRED
    assert time.monotonic() - before < 12


def test_alias_is_proved_by_the_records_at_its_end(house: OutboundPractice, dns: OutsideDns) -> None:
    dns.records.pop((MX, "A"))
    dns.has(MX, "CNAME", f"{ELSEWHERE}.")
    dns.has(ELSEWHERE, "A", "127.0.0.1")
    with receiving(SHOWN.context) as server:
        signed(dns, server.port, f"3 1 1 {SHOWN.key_digest}", host=ELSEWHERE)
        assert house.recipient(sent(house, server.port)).route is Route.TLS


def test_alias_into_an_unsigned_zone_is_proved_by_the_records_where_it_begins(
    house: OutboundPractice, dns: OutsideDns
) -> None:
    dns.records.pop((MX, "A"))
    dns.has(MX, "CNAME", f"{ELSEWHERE}.")
    dns.has(ELSEWHERE, "A", "127.0.0.1")
    dns.unsigned.add(ELSEWHERE)
    with receiving(SHOWN.context) as server:
        signed(dns, server.port, f"3 1 1 {SHOWN.key_digest}")
        assert house.recipient(sent(house, server.port)).route is Route.TLS


def test_server_outside_the_domains_policy_gets_nothing_however_good_its_certificate(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    dns.has(DOMAIN, "MX", f"10 {ELSEWHERE}.")
    dns.has(ELSEWHERE, "A", "127.0.0.1")
    with policy_published(house, dns, authority), receiving(authority.server(ELSEWHERE)) as server:
        message = sent(house, server.port)
        assert [each for each in server.arrived if b"CANARY" in each.content] == []
    recipient = house.recipient(message)
    assert recipient.route is Route.PORTAL
    assert "not among the servers that the domain's own policy names" in recipient.reasons[0]


@pytest.mark.parametrize(
    "way", ["announcement gone", "announcement kept back", "web away", "false certificate", "huge"]
)
def test_policy_that_was_seen_binds_whatever_happens_to_announcement_and_web(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, way: str
) -> None:
    with policy_published(house, dns, authority), receiving(authority.server(MX)) as server:
        sent(house, server.port)
    dns.has(DOMAIN, "MX", f"10 {ELSEWHERE}.")
    dns.has(ELSEWHERE, "A", "127.0.0.1")
    name = "evil.example" if way == "false certificate" else ""
    told = POLICY.replace(MX, ELSEWHERE) + "x: y\n" * (20_000 if way == "huge" else 0)
    with policy_published(house, dns, authority, told, name=name), receiving(authority.server(ELSEWHERE)) as server:
        dns.has(f"_mta-sts.{DOMAIN}", "TXT", '"v=STSv1; id=forged;"')
        if way == "announcement gone":
            dns.records.pop((f"_mta-sts.{DOMAIN}", "TXT"))
        elif way == "announcement kept back":
            dns.fails.add((f"_mta-sts.{DOMAIN}", "TXT"))
        elif way == "web away":
            house.outside.policy_port = 9
        assert house.recipient(sent(house, server.port)).route is Route.PORTAL


@pytest.mark.parametrize(
    "change",
    [{"status": 404}, {"status": 302, "location": "https://evil.example/"}, {"kind": "text/html"}, {"text": "no"}],
)
def test_answer_that_is_no_policy_is_none(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, change: dict[str, str | int]
) -> None:
    house.outside.public_certificate_suffices = False
    with policy_published(house, dns, authority) as host, receiving(authority.server(MX)) as server:
        vars(host).update(change)
        assert house.recipient(sent(house, server.port)).route is Route.PORTAL
        assert len(host.asked) == 1
        assert house.policies().of(DOMAIN, now=house.clock.now()) is None


def test_policy_host_inside_our_network_is_never_knocked_on(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with policy_published(house, dns, authority) as host, receiving(authority.server(MX)) as server:
        dns.has(f"mta-sts.{DOMAIN}", "A", "10.1.2.3")
        dns.has(f"mta-sts.{DOMAIN}", "AAAA", "::ffff:10.1.2.3", "fe80::1")
        sent(house, server.port)
        assert host.asked == []


def test_kept_policy_that_was_edited_is_refused(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with policy_published(house, dns, authority), receiving(authority.server(MX)) as server:
        sent(house, server.port)
    with house.database.write() as connection:
        connection.execute(text("UPDATE mta_sts_policies SET expires_at = expires_at + 1"))
    with pytest.raises(TamperedError, match="mta_sts_policies"):
        house.policies().of(DOMAIN, now=house.clock.now())
