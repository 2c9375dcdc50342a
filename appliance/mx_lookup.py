"""Which servers take mail for a domain: a pinned route, or what the DNS says, within a bounded time.

RFC 5321 section 5.1: MX records in order of preference; with none, the domain's own address; RFC 7505: a null MX
means that the domain takes no mail. An answer that is missing is never taken for "no": a dead DNS makes mail
wait (promise I9).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from appliance.settings import RouteSettings
from mailstore.addresses import canonical_domain

SMTP_PORT = 25
HOST_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
"""RFC 1123 section 2.1, and the underscore that some servers wear; no other name could be in a certificate."""

MAX_SERVERS = 10
"""Servers of one domain that are tried; more serve nobody but a stranger who wants us busy."""


@dataclass(frozen=True)
class MailServer:
    """One server to try. ``name`` is what its certificate must say; ``address`` is empty until looked up."""

    name: str
    address: str = ""
    port: int = SMTP_PORT
    ca_file: str = ""


@dataclass(frozen=True)
class Servers:
    """The servers of a domain, best first."""

    servers: tuple[MailServer, ...]


@dataclass(frozen=True)
class NoMail:
    """The domain says for good that it takes no mail. ``reply`` is worded like an SMTP reply (RFC 7505 section 4)."""

    reply: str


@dataclass(frozen=True)
class NoName:
    """The address names an IP address: there is no name that a certificate could prove."""


@dataclass(frozen=True)
class LookupFailed:
    """Nobody could say. Try again later."""

    problem: str


Found = Servers | NoMail | NoName | LookupFailed


@dataclass(frozen=True)
class LookupSettings:
    """``nameservers`` empty means those of the system. Private addresses are only reached by a pinned route."""

    own_name: str
    seconds: float = 10.0
    nameservers: tuple[str, ...] = ()
    nameserver_port: int = 53
    private_addresses_allowed: bool = False


class MxLookup:
    """Finds the servers of a domain."""

    def __init__(self, pins: Sequence[RouteSettings], settings: LookupSettings) -> None:
        self._pins = {pin.domain.lower(): pin for pin in pins}
        self._settings = settings

    async def servers_of(self, domain: str) -> Found:
        """The servers that take mail for ``domain``, in the order to try them."""
        if domain.startswith("["):
            return NoName()
        name = canonical_domain(domain)
        pin = self._pins.get(name)
        if pin is not None:
            return Servers((MailServer(pin.mx_name, pin.address, pin.port, pin.ca_file),))
        try:
            async with asyncio.timeout(self._settings.seconds):
                return await self._mail_exchangers(name)
        except TimeoutError:
            return LookupFailed("the DNS did not answer in time")
        except dns.resolver.NXDOMAIN:
            return NoMail("550 5.1.2 the domain does not exist")
        except (dns.exception.DNSException, OSError) as error:
            return LookupFailed(f"the DNS could not be asked: {type(error).__name__}")

    async def addresses_of(self, server: MailServer) -> tuple[str, ...]:
        """The addresses of one server, IPv6 and IPv4. Empty when there is none that we may connect to."""
        if server.address:
            return (server.address,)
        try:
            async with asyncio.timeout(self._settings.seconds):
                found = await self._host_addresses(server.name)
        except (TimeoutError, dns.exception.DNSException, OSError):
            return ()
        return tuple(address for address in found if self._may_connect(address))

    async def _mail_exchangers(self, domain: str) -> Found:
        answer = await self._resolver().resolve(domain, "MX", raise_on_no_answer=False)
        records = sorted((record.preference, record.exchange) for record in answer)
        if not records:
            return Servers((MailServer(domain),))
        if len(records) == 1 and records[0][1] == dns.name.root:
            return NoMail("556 5.1.10 the domain takes no mail")
        named = [(preference, host.to_text(omit_final_dot=True).lower()) for preference, host in records]
        hosts = [(preference, host) for preference, host in named if HOST_NAME.fullmatch(host)]
        if not hosts:
            return NoMail("550 5.4.4 the domain names no usable mail server")
        return _worse_than_us_left_out(hosts, self._settings.own_name)

    async def _host_addresses(self, host: str) -> list[str]:
        resolver = self._resolver()
        answers = await asyncio.gather(
            *(resolver.resolve(host, kind, raise_on_no_answer=False) for kind in ("AAAA", "A")),
            return_exceptions=True,
        )
        return [record.to_text() for answer in answers if not isinstance(answer, BaseException) for record in answer]

    def _may_connect(self, address: str) -> bool:
        """A stranger's MX record must not make us knock on doors inside the practice's network."""
        return self._settings.private_addresses_allowed or is_public(address)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._settings.nameservers)
        if self._settings.nameservers:
            resolver.nameservers = list(self._settings.nameservers)
            resolver.port = self._settings.nameserver_port
        resolver.lifetime = self._settings.seconds
        return resolver


def is_public(address: str) -> bool:
    """True for a unicast address of the public internet; an IPv4 address in IPv6 clothes counts as itself."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast


def _worse_than_us_left_out(records: list[tuple[int, str]], own_name: str) -> Found:
    """RFC 5321 section 5.1: a server that finds itself in the list must not send to anything less preferred."""
    own = [preference for preference, host in records if host == own_name.lower()]
    usable = [host for preference, host in records if not own or preference < min(own)]
    if not usable:
        return NoMail("554 5.4.6 the domain's mail server is this one, which does not know it")
    return Servers(tuple(MailServer(host) for host in usable[:MAX_SERVERS]))
