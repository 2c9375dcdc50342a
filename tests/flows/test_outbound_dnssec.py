"""DANE by real DNSSEC: zones that are signed here, proved by a real unbound, asked by the practice."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.resolver
import pytest

from mailstore.message import RecipientState, Route
from tests import signed_zone
from tests.flows.outbound_practice import OutboundPractice, practice
from tests.flows.receiving_server import CertificateAuthority, receiving
from tests.flows.tls_identity import identity
from tests.free_ports import free_port
from tests.signed_zone import SignedZone

SHOWN = identity("mx.partner.example")
UNBOUND = "/usr/sbin/unbound"
SETTINGS = """
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1
  port: {port}
  do-not-query-localhost: no
  do-daemonize: no
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  aggressive-nsec: no
  trust-anchor: "{partner}"
  trust-anchor: "{forged}"
remote-control:
  control-enable: no
forward-zone:
  name: "example"
  forward-addr: 127.0.0.1@{server}
"""


@dataclass(frozen=True)
class World:
    """``forged`` is a zone whose key is not the one that the resolver was told to trust."""

    partner: SignedZone
    unsigned: SignedZone
    forged: SignedZone
    resolver_port: int


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("unbound")
    zones = SignedZone("partner.example"), SignedZone("plain.example", is_signed=False), SignedZone("forged.example")
    for zone in zones:
        zone.has("@", "MX", "10 mx")
        zone.has("mx", "A", "127.0.0.1")
    made = World(*zones, resolver_port=free_port())
    with signed_zone.serving(*zones) as server:
        told = SETTINGS.format(
            folder=folder,
            port=made.resolver_port,
            partner=made.partner.anchor,
            forged=SignedZone("forged.example").anchor,
            server=server.port,
        )
        (folder / "unbound.conf").write_text(told, "utf-8")
        with subprocess.Popen([UNBOUND, "-c", str(folder / "unbound.conf")], stderr=subprocess.DEVNULL) as unbound:
            try:
                _wait_for(made.resolver_port)
                yield made
            finally:
                unbound.terminate()


def _wait_for(port: int) -> None:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 0.2
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            resolver.resolve("partner.example", "MX")
        except (dns.exception.DNSException, OSError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError("unbound does not answer")


@pytest.fixture
def house(tmp_path: Path, world: World) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        opened.outside.dns_port = world.resolver_port
        opened.outside.dns_proves = True
        opened.outside.dns_seconds = 5
        yield opened


def test_key_in_a_signed_zone_is_proof(house: OutboundPractice, world: World) -> None:
    with receiving(SHOWN.context) as server:
        house.outside.mail_port = server.port
        world.partner.has(f"_{server.port}._tcp.mx", "TLSA", f"3 1 1 {SHOWN.key_digest}")
        message = house.send("patient@partner.example")
        house.step()
    assert house.recipient(message).state is RecipientState.DELIVERED
    assert "a signed DNS record (DANE)" in house.recipient(message).reasons[0]


def test_another_key_in_a_signed_zone_keeps_mail_from_a_good_certificate(
    house: OutboundPractice, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
    with receiving(authority.server("mx.partner.example")) as server:
        house.outside.mail_port = server.port
        world.partner.has(f"_{server.port}._tcp.mx", "TLSA", f"3 1 1 {SHOWN.key_digest}")
        message = house.send("patient@partner.example")
        house.step()
        assert house.recipient(message).route is Route.PORTAL
        world.partner.has(f"_{server.port}._tcp.mx", "TLSA")
        message = house.send("patient@partner.example")
        house.step()
    assert "public certificate authority" in house.recipient(message).reasons[0]


def test_record_in_an_unsigned_zone_proves_nothing(house: OutboundPractice, world: World) -> None:
    with receiving(SHOWN.context) as server:
        house.outside.mail_port = server.port
        world.unsigned.has(f"_{server.port}._tcp.mx", "TLSA", f"3 1 1 {SHOWN.key_digest}")
        message = house.send("patient@plain.example")
        house.step()
    assert house.recipient(message).route is Route.PORTAL


def test_forged_zone_makes_mail_wait(house: OutboundPractice, world: World) -> None:
    with receiving(SHOWN.context) as server:
        house.outside.mail_port = server.port
        world.forged.has(f"_{server.port}._tcp.mx", "TLSA", f"3 1 1 {SHOWN.key_digest}")
        message = house.send("patient@forged.example")
        house.step()
        assert server.verbs == []
    assert house.recipient(message).state is RecipientState.DEFERRED
