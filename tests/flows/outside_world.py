"""An outside world for one practice: a domain with its mail server, its names, and what it publishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mailstore.message import MessageId
from tests.dns_room import OutsideDns, served
from tests.flows.outbound_practice import OutboundPractice
from tests.flows.policy_host import PolicyHost, publishing
from tests.flows.receiving_server import CertificateAuthority

DOMAIN = "partner.example"
MX = "mx.partner.example"
PATIENT = f"patient@{DOMAIN}"
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {MX}\r\nmax_age: 604800\r\n"


@contextmanager
def names(house: OutboundPractice) -> Iterator[OutsideDns]:
    """The names of the domain, which the practice's own resolver proves."""
    outside = OutsideDns()
    outside.has(DOMAIN, "MX", f"10 {MX}.")
    outside.has(MX, "A", "127.0.0.1")
    with served(outside):
        house.outside.dns_port = outside.port
        house.outside.dns_proves = True
        yield outside


def signed(dns: OutsideDns, port: int, *records: str, host: str = MX) -> None:
    """What the signed records of a server at a port say."""
    dns.has(f"_{port}._tcp.{host}", "TLSA", *records)


def sent(house: OutboundPractice, port: int) -> MessageId:
    """A message to the domain's patient, after all that is due was done; its server listens on ``port``."""
    house.outside.mail_port = port
    message = house.send(PATIENT)
    house.step()
    return message


@contextmanager
def policy_published(
    house: OutboundPractice, dns: OutsideDns, authority: CertificateAuthority, text: str = POLICY, *, name: str = ""
) -> Iterator[PolicyHost]:
    """The domain announces and publishes a policy; ``name``: what the web server's certificate says instead."""
    dns.has(f"_mta-sts.{DOMAIN}", "TXT", '"v=STSv1; id=20260301;"')
    dns.has(f"mta-sts.{DOMAIN}", "A", "127.0.0.1")
    with publishing(PolicyHost(text), authority.server(name or f"mta-sts.{DOMAIN}")) as host:
        house.outside.policy_port = host.port
        yield host
