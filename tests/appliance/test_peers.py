"""A practice among others: names in signed zones, a certificate by ACME, and a stock Postfix to exchange mail with.

Run by ``make test-appliance``. Two guests; the zones and the certificate authority are on this machine. The tests build
on one another and stand in their order.
"""

from __future__ import annotations

import json
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests import signed_zone
from tests.appliance import acme_authority, guest, postfix_peer
from tests.appliance.acme_authority import AcmeAuthority
from tests.appliance.guest import Guest
from tests.appliance.postfix_peer import BEA
from tests.appliance.practice_ground import DOMAIN, PLAYBOOK, REPOSITORY, added, changed, found, signed_in, variables
from tests.signed_zone import SignedZone

ADA, RITA = f"ada@{DOMAIN}", f"rita@{DOMAIN}"
MX, PORTAL = f"mx.{DOMAIN}", f"portal.{DOMAIN}"
RECORD = re.compile(rf"^(\S+)\.{re.escape(DOMAIN)}\. \d+ IN (\S+) (.+)$|^{re.escape(DOMAIN)}\. \d+ IN (\S+) (.+)$")
PACKAGE_ZONES = ("com", "dev", "io", "net", "org")
ZONE_SECONDS = 6
"""A little more than a resolver keeps an answer of ``signed_zone``."""

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class World:
    """Two machines and what vouches for them."""

    practice: Guest
    peer: Guest
    authority: AcmeAuthority
    ours: SignedZone
    theirs: SignedZone
    told: dict[str, object]
    clinician: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("acme")
    with guest.booted("practice-peers") as practice, guest.booted("peer") as peer:
        ours = SignedZone(DOMAIN, address=practice.host_address)
        theirs = SignedZone(postfix_peer.DOMAIN, address=practice.host_address)
        for name in ("mx", "portal", "mta-sts", "autoconfig", "autodiscover"):
            ours.has(name, "A", practice.address)
        theirs.has("@", "MX", f"10 {postfix_peer.MX}.")
        theirs.has("mx", "A", peer.address)
        with (
            signed_zone.serving(ours, theirs, address="0.0.0.0") as names,  # noqa: S104 - the guests ask from outside
            acme_authority.running(
                folder, address=practice.host_address, name_server=f"127.0.0.1:{names.port}"
            ) as authority,
        ):
            zones = [DOMAIN, postfix_peer.DOMAIN]
            anchors = [ours.anchor, theirs.anchor]
            told = _told(practice, authority, zones=zones, anchors=anchors, port=names.port)
            guest.playbook(practice, REPOSITORY, program=PLAYBOOK, told=told)
            postfix_peer.set_up(peer, anchors=anchors, zones=zones, name_server=f"{peer.host_address}@{names.port}")
            theirs.has("_25._tcp.mx", "TLSA", f"3 1 1 {postfix_peer.key_digest(peer)}")
            yield World(practice, peer, authority, ours, theirs, told, _furnished(practice))


def _told(
    practice: Guest, authority: AcmeAuthority, *, zones: list[str], anchors: list[str], port: int
) -> dict[str, object]:
    """Where packages come from is what this machine's resolver says, which proves nothing."""
    resolvers = re.findall(r"^nameserver (\S+)", Path("/etc/resolv.conf").read_text("utf-8"), re.MULTILINE)
    return variables(
        strongroom_resolver=True,
        resolver_forward_to=[
            *({"zone": zone, "addresses": resolvers, "unsigned": True} for zone in PACKAGE_ZONES),
            *({"zone": zone, "addresses": [f"{practice.host_address}@{port}"]} for zone in zones),
        ],
        resolver_anchors=anchors,
        certificates_email=f"admin@{DOMAIN}",
        certificates_server=authority.directory,
        certificates_authority=str(authority.own_authority),
    )


def _furnished(practice: Guest) -> dict[str, Any]:
    """People, and the settings of a practice whose peers are in private networks."""
    clinician = added(practice, ADA, "clinician")
    records = added(practice, RITA, "records")
    settings = "/var/lib/strongroom/strongroom.toml"
    practice.run(f"sed -i 's|^inner_networks = .*|inner_networks = \"10.77.0.0/16\"|' {settings}")
    practice.run("systemctl restart 'strongroom.target' 2>/dev/null || systemctl restart strongroom.service")
    _greeted(practice)
    signed_in(practice, RITA, records["totp_secret"])
    return dict(clinician)


def _greeted(practice: Guest) -> None:
    """Wait until it takes mail again."""
    end = time.monotonic() + 90
    while True:
        try:
            smtplib.SMTP(practice.address, 25, timeout=30).close()
        except (smtplib.SMTPException, OSError):
            assert time.monotonic() < end, "it does not take mail"
            time.sleep(0.5)
        else:
            return


def test_certificate_is_of_the_authority_on_mail_and_pages(world: World) -> None:
    context = ssl.create_default_context(cadata=world.authority.root)
    assert _mail_certificate(world, context)["serialNumber"] == _page_certificate(world, context)["serialNumber"]


def test_what_the_practice_says_to_publish_is_what_the_doctor_finds(world: World) -> None:
    _publish(world)
    items = json.loads(world.practice.run("strongroom doctor --json", check=False).stdout)["items"]
    lines = {item["check"]: item["state"] for item in items if item["check"].startswith("dns")}
    assert {check: state for check, state in lines.items() if state == "fail"}.keys() <= {"dns reverse"}
    assert lines["dns tlsa"] == "ok"


def test_stock_postfix_brings_mail_over_tls_that_it_verified_by_dane(world: World) -> None:
    postfix_peer.send(world.peer, ADA, subject="From the peer", text="The word is persimmon.")
    said = postfix_peer.log(world.peer, "status=sent")
    assert f"Verified TLS connection established to {MX}" in said
    assert found(world.practice, "persimmon", asked_by=RITA) == ["From the peer"]


def test_practice_sends_to_it_over_tls_that_it_verified_by_dane(world: World) -> None:
    message = _sent(world, "To the peer")
    arrived = postfix_peer.letters(world.peer, "Subject: To the peer")
    assert "using TLSv1.3" in arrived
    (recipient,) = _trace(world, message, until="delivered")["recipients"]
    assert recipient["reasons"] == [f"Verified TLS 1.3 to {postfix_peer.MX}, proved by a signed DNS record (DANE)"]


def test_other_key_than_the_signed_record_names_gets_no_mail(world: World) -> None:
    world.theirs.has("_25._tcp.mx", "TLSA", f"3 1 1 {'ab' * 32}")
    time.sleep(ZONE_SECONDS)
    message = _sent(world, "Not for that key")
    (recipient,) = _trace(world, message, until="notified")["recipients"]
    assert recipient["route"] == "portal"
    assert "does not prove itself as its signed DNS record (DANE) asks" in recipient["reasons"][0]
    assert "Not for that key" not in postfix_peer.letters(world.peer, "Subject: To the peer")


def test_forged_zone_makes_mail_wait(world: World) -> None:
    world.theirs.forge()
    time.sleep(ZONE_SECONDS)
    message = _sent(world, "Not into a forged zone")
    (recipient,) = _trace(world, message, until="deferred")["recipients"]
    assert recipient["route"] == "undecided"


def test_renewed_certificate_is_shown_without_a_restart_and_the_signed_record_stays_true(world: World) -> None:
    context = ssl.create_default_context(cadata=world.authority.root)
    before, record = _mail_certificate(world, context)["serialNumber"], _record(world, "TLSA")
    since = world.practice.said("systemctl show -p ActiveEnterTimestamp 'strongroom*' | sort -u")
    renewing = "certbot -q renew --force-renewal --no-random-sleep-on-renew"
    world.practice.run(f"REQUESTS_CA_BUNDLE=/etc/strongroom/acme-authority.pem {renewing}")
    end = time.monotonic() + 180
    while before in (shown(world, context)["serialNumber"] for shown in (_mail_certificate, _page_certificate)):
        assert time.monotonic() < end, "the old certificate is still shown"
        time.sleep(1)
    assert _record(world, "TLSA") == record
    assert world.practice.said("systemctl show -p ActiveEnterTimestamp 'strongroom*' | sort -u") == since


def test_second_run_changes_nothing(world: World) -> None:
    again = guest.playbook(world.practice, REPOSITORY, program=PLAYBOOK, told=world.told)
    assert changed(again.stdout) == 0, again.stdout


def _publish(world: World) -> None:
    """Put into the zone all that the practice asks for."""
    told: dict[tuple[str, str], list[str]] = {}
    for line in world.practice.said("strongroom dns records --zone").splitlines():
        if match := RECORD.match(line):
            name, kind, value, kind_of_all, value_of_all = match.groups()
            told.setdefault((name or "@", kind or kind_of_all), []).append(value or value_of_all)
    assert ("@", "MX") in told
    for name, kind in told:
        if kind == "CNAME":
            world.ours.has(name, "A")
    for (name, kind), values in told.items():
        world.ours.has(name, kind, *values)
    time.sleep(ZONE_SECONDS)


def _record(world: World, kind: str) -> list[str]:
    lines = world.practice.said("strongroom dns records --zone").splitlines()
    return [line for line in lines if f" IN {kind} " in line]


def _mail_certificate(world: World, context: ssl.SSLContext) -> dict[str, Any]:
    with smtplib.SMTP(world.practice.address, 25, timeout=30) as client:
        client._host = MX  # type: ignore[attr-defined] # the name that the certificate must be good for
        client.starttls(context=context)
        assert isinstance(client.sock, ssl.SSLSocket)
        return dict(client.sock.getpeercert() or {})


def _page_certificate(world: World, context: ssl.SSLContext) -> dict[str, Any]:
    with (
        socket.create_connection((world.practice.address, 443), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=PORTAL) as secured,
    ):
        return dict(secured.getpeercert() or {})


def _sent(world: World, subject: str) -> str:
    """Ada writes to Bea from her mail program; answers the message's id."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = ADA, BEA, subject
    letter.set_content("The word is quince.\r\n")
    context = ssl.create_default_context(cadata=world.authority.root)
    with smtplib.SMTP(world.practice.address, 587, timeout=30) as client:
        client._host = MX  # type: ignore[attr-defined] # the name that the certificate must be good for
        client.starttls(context=context)
        client.login(ADA, world.clinician["app_password"])
        client.send_message(letter)
    query = json.dumps(f'subject:"{subject}"')
    found(world.practice, query, asked_by=RITA)
    answer = json.loads(world.practice.said(f"strongroom archive search {query} --as {RITA} --json"))
    return str(answer["items"][0]["id"])


def _trace(world: World, message: str, *, until: str) -> dict[str, Any]:
    """Where a message stands, as soon as its recipient's state is the one that is waited for."""
    end = time.monotonic() + 60
    while True:
        trace: dict[str, Any] = json.loads(world.practice.said(f"strongroom message trace {message} --json"))
        if trace["recipients"][0]["state"] == until:
            return trace
        assert time.monotonic() < end, trace
        time.sleep(0.5)
