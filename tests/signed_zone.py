"""Authoritative name servers of signed zones on this machine (DNSSEC, RFC 4035): what a validating resolver proves.

A zone is signed by a key of its own whenever it is told anew; whoever is to prove it is given its ``anchor``. Answers
hold what proves them, that something is not there (NSEC, RFC 4034 section 4) included.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

HEAD = """
$TTL 5
@ SOA ns hostmaster 1 3600 600 86400 5
@ NS ns
ns A {address}
"""
LIFETIME_SECONDS = 86_400


class SignedZone:
    """One zone. ``is_signed`` False makes one that nobody can prove."""

    def __init__(self, name: str, *, address: str = "127.0.0.1", is_signed: bool = True) -> None:
        self.origin = dns.name.from_text(name)
        self._address = address
        self._key = ec.generate_private_key(ec.SECP256R1()) if is_signed else None
        self._lines: dict[tuple[str, str], list[str]] = {}
        self._zone = self._made()

    @property
    def anchor(self) -> str:
        """The DS record that vouches for the zone's key."""
        assert self._key is not None
        digest = dns.dnssec.make_ds(self.origin, self._dnskey(), "SHA256")
        return f"{self.origin.to_text()} DS {digest.to_text()}"

    def has(self, name: str, kind: str, *told: str) -> None:
        """Say this of a name in the zone from now on; nothing told takes it away."""
        self._lines[name, kind] = list(told)
        self._zone = self._made()

    def forge(self) -> None:
        """Sign everything from now on with another key than the one that the anchor names."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._zone = self._made()

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """The answer to one question about this zone."""
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        name, kind = query.question[0].name, query.question[0].rdtype
        zone = self._zone
        if node := zone.get_node(name):
            alias = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
            if alias is not None and kind != dns.rdatatype.CNAME:
                _add(response.answer, zone, name, dns.rdatatype.CNAME)
                _add(response.answer, zone, alias[0].target, kind)
            elif not _add(response.answer, zone, name, kind):
                self._deny(response, name)
            return response
        if not any(each.is_subdomain(name) for each in zone.nodes):
            response.set_rcode(dns.rcode.NXDOMAIN)
            self._deny(response, dns.name.Name((b"*", *name.parent().labels)))
        self._deny(response, name)
        return response

    def _deny(self, response: dns.message.Message, name: dns.name.Name) -> None:
        """The SOA, and the record that says which name follows the last one before ``name``."""
        _add(response.authority, self._zone, self.origin, dns.rdatatype.SOA)
        before = max((each for each in self._zone.nodes if each <= name), default=self.origin)
        _add(response.authority, self._zone, before, dns.rdatatype.NSEC)

    def _made(self) -> dns.zone.Zone:
        records = [f"{name} {kind} {line}" for (name, kind), told in self._lines.items() for line in told]
        text = HEAD.format(address=self._address) + "\n".join([*records, ""])
        zone = dns.zone.from_text(text, self.origin, relativize=False)
        if self._key is not None:
            with zone.writer() as transaction:
                keys: list[Any] = [(self._key, self._dnskey())]
                dns.dnssec.sign_zone(zone, transaction, keys, lifetime=LIFETIME_SECONDS)
        return zone

    def _dnskey(self) -> Any:
        assert self._key is not None
        return dns.dnssec.make_dnskey(self._key.public_key(), "ECDSAP256SHA256", flags=257)


def _add(section: list[dns.rrset.RRset], zone: dns.zone.Zone, name: dns.name.Name, kind: Any) -> bool:
    """Put records with their signatures into a section; False when there are none."""
    node = zone.get_node(name)
    found = node.get_rdataset(dns.rdataclass.IN, kind) if node else None
    if node is None or found is None:
        return False
    told = [found, node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.RRSIG, kind)]
    for rdataset in told:
        if rdataset is not None:
            rrset = dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))
            if rrset not in section:
                section.append(rrset)
    return True


@dataclass
class NameServer:
    """Answers for its zones over UDP and TCP on ``port``."""

    zones: tuple[SignedZone, ...]
    port: int = 0
    asked: list[str] = field(default_factory=list)

    def answer(self, wire: bytes) -> bytes:
        """The answer to a question as it came."""
        query = dns.message.from_wire(wire)
        self.asked.append(query.question[0].to_text())
        inside = [zone for zone in self.zones if query.question[0].name.is_subdomain(zone.origin)]
        if inside:
            return max(inside, key=lambda zone: len(zone.origin)).answer(query).to_wire()
        refused = dns.message.make_response(query)
        refused.set_rcode(dns.rcode.REFUSED)
        return refused.to_wire()


@contextmanager
def serving(*zones: SignedZone, address: str = "127.0.0.1") -> Iterator[NameServer]:
    """A name server for the length of a test."""
    server = NameServer(zones)

    class OverUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, connection = self.request
            connection.sendto(server.answer(data), self.client_address)

    class OverTcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while length := self.rfile.read(2):
                told = server.answer(self.rfile.read(struct.unpack(">H", length)[0]))
                self.wfile.write(struct.pack(">H", len(told)) + told)

    with socketserver.ThreadingUDPServer((address, 0), OverUdp) as udp:
        server.port = udp.server_address[1]
        with socketserver.ThreadingTCPServer((address, server.port), OverTcp) as tcp:
            threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in (udp, tcp)]
            for thread in threads:
                thread.start()
            try:
                yield server
            finally:
                udp.shutdown()
                tcp.shutdown()
                for thread in threads:
                    thread.join()
