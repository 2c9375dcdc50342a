"""Which proof a receiving server must give: DANE, else MTA-STS, else a public certificate, else the portal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore.message import RecipientState, Route
from tests.dns_room import OutsideDns
from tests.flows.outbound_practice import OutboundPractice, practice
from tests.flows.outside_world import DOMAIN, MX, POLICY, names, policy_published, sent, signed
from tests.flows.receiving_server import CertificateAuthority, receiving
from tests.flows.tls_identity import identity


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CertificateAuthority:
    """A public authority: the one that this machine's system trusts (openssl(1) names the variable)."""
    made = CertificateAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", made.ca_file)
    return made


@pytest.fixture
def dns(house: OutboundPractice) -> Iterator[OutsideDns]:
    with names(house) as outside:
        yield outside


def test_key_that_the_signed_record_names_is_proof_whoever_certified_it(
    house: OutboundPractice, dns: OutsideDns
) -> None:
    shown = identity("some.other.name.example", lasts=timedelta(days=-1))
    with receiving(shown.context) as server:
        signed(dns, server.port, f"3 1 1 {shown.key_digest}")
        message = sent(house, server.port)
        assert server.arrived[0].tls == "TLSv1.3"
    recipient = house.recipient(message)
    assert (recipient.route, recipient.state) == (Route.TLS, RecipientState.DELIVERED)
    assert recipient.reasons == (f"Verified TLS 1.3 to {MX}, proved by a signed DNS record (DANE)",)


def test_authority_that_the_signed_record_names_is_proof_for_the_right_name(
    house: OutboundPractice, dns: OutsideDns, tmp_path: Path
) -> None:
    private = CertificateAuthority(tmp_path)
    with receiving(private.server(MX, with_authority=True)) as server:
        signed(dns, server.port, f"2 0 1 {hashlib.sha256(private.der).hexdigest()}")
        message = sent(house, server.port)
    assert house.recipient(message).reasons == (f"Verified TLS 1.3 to {MX}, proved by a signed DNS record (DANE)",)


def test_servers_that_the_domains_own_policy_names_are_proved_by_their_certificate(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with policy_published(house, dns, authority) as host, receiving(authority.server(MX)) as server:
        message = sent(house, server.port)
        assert host.asked == [(f"mta-sts.{DOMAIN}", "/.well-known/mta-sts.txt")]
    assert house.recipient(message).route is Route.TLS
    assert "the domain's own policy (MTA-STS)" in house.recipient(message).reasons[0]


def test_signed_record_comes_before_the_policy(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    shown = identity(MX)
    with policy_published(house, dns, authority) as host, receiving(shown.context) as server:
        signed(dns, server.port, f"3 1 1 {shown.key_digest}")
        message = sent(house, server.port)
        assert host.asked == []
    assert "DANE" in house.recipient(message).reasons[0]


def test_public_certificate_is_proof_where_the_domain_says_nothing_and_the_practice_lets_it(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with receiving(authority.server(MX)) as server:
        message = sent(house, server.port)
        assert (f"_mta-sts.{DOMAIN}", "TXT") in dns.asked
        assert house.recipient(message).reasons[0].endswith("proved by a public certificate authority")
        house.outside.public_certificate_suffices = False
        message = sent(house, server.port)
    recipient = house.recipient(message)
    assert recipient.route is Route.PORTAL
    assert recipient.reasons[0] == f"Nothing but an unsigned DNS answer says that {MX} is the domain's server"


def test_policy_is_kept_and_not_fetched_again_while_it_is_the_one_announced(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with policy_published(house, dns, authority) as host, receiving(authority.server(MX)) as server:
        sent(house, server.port)
        sent(house, server.port)
        assert len(host.asked) == 1
        dns.has(f"_mta-sts.{DOMAIN}", "TXT", '"v=STSv1; id=20260302;"')
        sent(house, server.port)
        assert len(host.asked) == 2
        house.later(days=2)
        sent(house, server.port)
        assert len(host.asked) == 3


def test_policy_in_testing_or_none_binds_nobody(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    text = POLICY.replace("enforce", "testing").replace(MX, "elsewhere.example")
    with policy_published(house, dns, authority, text), receiving(authority.server(MX)) as server:
        message = sent(house, server.port)
    assert house.recipient(message).reasons[0].endswith("proved by a public certificate authority")


def test_which_domains_are_written_to_is_in_no_plain_column(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority
) -> None:
    with policy_published(house, dns, authority), receiving(authority.server(MX)) as server:
        sent(house, server.port)
    kept = house.policies().of(DOMAIN, now=house.clock.now())
    assert kept is not None
    assert kept.announced == "20260301"
    for path in house.folder.rglob("*.sqlite3*"):
        assert b"partner.example" not in path.read_bytes()
