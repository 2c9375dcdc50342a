"""Where mail for a domain goes: asked of a real DNS server on this machine, in bounded time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from appliance.mx_lookup import (
    MAX_SERVERS,
    Found,
    MailServer,
    MxLookup,
    NoMail,
    NoName,
    Servers,
)
from appliance.name_lookup import Addresses, LookupFailed, LookupSettings, NameLookup
from appliance.settings import RouteSettings

ZONE = {
    ("two.example.", "MX"): ["20 second.two.example.", "10 First.two.example."],
    ("null.example.", "MX"): ["0 ."],
    ("implicit.example.", "A"): ["192.0.2.7"],
    ("loop.example.", "MX"): ["10 better.example.", "20 mail.clinic.example.", "30 worse.example."],
    ("onlyus.example.", "MX"): ["10 mail.clinic.example."],
    ("many.example.", "MX"): [f"10 mx{number}.many.example." for number in range(50)],
    ("odd.example.", "MX"): [r"5 \000\001.odd.example.", r"6 sp\032ace.odd.example.", "7 mx_1.odd.example."],
    ("hostile.example.", "MX"): [r"10 a\010b.hostile.example."],
    ("xn--bcher-kva.example.", "MX"): ["10 mx.buecher.example."],
    ("mx.example.", "A"): ["192.0.2.1", "127.0.0.1", "10.1.2.3", "9.9.9.9"],
    ("mx.example.", "AAAA"): ["::1", "2620:fe::fe", "::ffff:10.0.0.1", "2002:a00:1::1", "ff0e::1"],
    ("broken.example.", "SERVFAIL"): [],
    ("silent.example.", "SILENT"): [],
}


def answer(question: dns.message.Message) -> dns.message.Message | None:
    name = question.question[0].name.to_text().lower()
    kind = dns.rdatatype.to_text(question.question[0].rdtype)
    if (name, "SILENT") in ZONE:
        return None
    response = dns.message.make_response(question)
    response.flags |= dns.flags.RA
    if (name, "SERVFAIL") in ZONE:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif (name, kind) in ZONE:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *ZONE[name, kind]))
    elif not any(known == name for known, _ in ZONE):
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response


@pytest.fixture(scope="module")
def settings() -> Iterator[LookupSettings]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

        def serve() -> None:
            while True:
                data, peer = listener.recvfrom(4096)
                if not data:
                    return
                response = answer(dns.message.from_wire(data))
                if response is not None:
                    listener.sendto(response.to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield LookupSettings("mail.clinic.example", 30.0, ("127.0.0.1",), port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"", ("127.0.0.1", port))
        thread.join()


def servers_of(domain: str, settings: LookupSettings, *pins: RouteSettings) -> Found:
    return asyncio.run(MxLookup(pins, settings).servers_of(domain))


def addresses_of(host: str, settings: LookupSettings) -> tuple[str, ...]:
    found = asyncio.run(NameLookup(settings).addresses_of(host))
    assert isinstance(found, Addresses)
    return found.addresses


def names(found: Found) -> list[str]:
    assert isinstance(found, Servers)
    return [server.name for server in found.servers]


def test_the_most_preferred_server_comes_first(settings: LookupSettings) -> None:
    assert names(servers_of("two.example", settings)) == ["first.two.example", "second.two.example"]


def test_a_null_mx_takes_no_mail(settings: LookupSettings) -> None:
    found = servers_of("null.example", settings)
    assert isinstance(found, NoMail)
    assert found.reply.startswith("556 5.1.10")


def test_without_mx_the_domain_itself_is_the_server(settings: LookupSettings) -> None:
    assert servers_of("implicit.example", settings) == Servers((MailServer("implicit.example"),))


def test_a_domain_that_does_not_exist_takes_no_mail(settings: LookupSettings) -> None:
    found = servers_of("nothing.example", settings)
    assert isinstance(found, NoMail)
    assert found.reply.startswith("550 5.1.2")


@pytest.mark.parametrize("domain", ["broken.example", "silent.example"])
def test_a_dns_that_fails_says_nothing_for_good_and_soon(settings: LookupSettings, domain: str) -> None:
    before = time.monotonic()
    assert isinstance(servers_of(domain, replace(settings, seconds=1.0)), LookupFailed)
    assert time.monotonic() - before < settings.seconds


def test_servers_no_better_than_ourselves_are_left_out(settings: LookupSettings) -> None:
    assert names(servers_of("loop.example", settings)) == ["better.example"]
    assert isinstance(servers_of("onlyus.example", settings), NoMail)


def test_a_domain_with_very_many_servers_does_not_keep_us_busy(settings: LookupSettings) -> None:
    assert len(names(servers_of("many.example", settings))) == MAX_SERVERS


def test_names_that_no_host_can_have_are_left_out(settings: LookupSettings) -> None:
    assert names(servers_of("odd.example", settings)) == ["mx_1.odd.example"]
    assert isinstance(servers_of("hostile.example", settings), NoMail)


def test_an_internationalised_domain_is_asked_by_its_a_label(settings: LookupSettings) -> None:
    assert names(servers_of("bücher.example", settings)) == ["mx.buecher.example"]


def test_an_address_literal_has_no_name_to_prove(settings: LookupSettings) -> None:
    assert servers_of("[192.0.2.1]", settings) == NoName()


def test_a_pinned_route_asks_no_dns(settings: LookupSettings) -> None:
    pin = RouteSettings("two.example", "mx.elsewhere.example", "10.0.0.1", 2525, "/ca.pem")
    found = servers_of("TWO.example", replace(settings, nameserver_port=9), pin)
    assert found == Servers((MailServer("mx.elsewhere.example", "10.0.0.1", 2525, "/ca.pem"),))


def test_a_strangers_mx_record_does_not_lead_into_our_network(settings: LookupSettings) -> None:
    assert set(addresses_of("mx.example", settings)) == {"9.9.9.9", "2620:fe::fe"}


def test_private_addresses_are_reached_where_the_settings_allow_it(settings: LookupSettings) -> None:
    told = replace(settings, inner_networks=(ipaddress.ip_network("10.1.0.0/16"),))
    assert set(addresses_of("mx.example", told)) == {"9.9.9.9", "2620:fe::fe", "10.1.2.3"}


def test_a_server_without_an_address_has_none(settings: LookupSettings) -> None:
    assert addresses_of("nothing.example", settings) == ()
