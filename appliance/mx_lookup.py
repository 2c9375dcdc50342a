"""Which servers take mail for a domain, where each of them is, and which of its keys the DNS names.

RFC 5321 section 5.1: MX records in order of preference; with none, the domain's own address; RFC 7505: a null MX
means that the domain takes no mail. Signed records of keys (DANE): RFC 7672 section 2.2. An answer that is missing is
never taken for "no": a dead DNS makes mail wait (promise I9).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import dns.name

from appliance import tlsa_record
from appliance.name_lookup import Addresses, Answer, LookupFailed, LookupSettings, NameLookup
from appliance.required_proof import BySignedRecord
from appliance.settings import RouteSettings
from appliance.tlsa_record import TlsaRecord
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
    """The servers of a domain, best first. ``is_proved``: the DNS proved that these are its servers."""

    servers: tuple[MailServer, ...]
    is_proved: bool = False


@dataclass(frozen=True)
class Whereabouts:
    """Where a server is, and by which key it proves itself where the DNS names one.

    ``is_tls_promised``: the DNS proved that there are records of keys. Though none of them be usable, the server
    encrypts (RFC 7672 section 2.2).
    """

    addresses: tuple[str, ...]
    signed: BySignedRecord | None = None
    is_tls_promised: bool = False


@dataclass(frozen=True)
class NoMail:
    """The domain says for good that it takes no mail. ``reply`` is worded like an SMTP reply (RFC 7505 section 4)."""

    reply: str


@dataclass(frozen=True)
class NoName:
    """The address names an IP address: there is no name that a certificate could prove."""


Found = Servers | NoMail | NoName | LookupFailed


class MxLookup:
    """Finds the servers of a domain."""

    def __init__(self, pins: Sequence[RouteSettings], settings: LookupSettings) -> None:
        self._pins = {pin.domain.lower(): pin for pin in pins}
        self._settings = settings
        self._names = NameLookup(settings)

    async def servers_of(self, domain: str) -> Found:
        """The servers that take mail for ``domain``, in the order to try them."""
        if domain.startswith("["):
            return NoName()
        name = canonical_domain(domain)
        pin = self._pins.get(name)
        if pin is not None:
            return Servers((MailServer(pin.mx_name, pin.address, pin.port, pin.ca_file),))
        answer = await self._names.ask(name, "MX")
        if isinstance(answer, LookupFailed):
            return answer
        if not answer.exists:
            return NoMail("550 5.1.2 the domain does not exist")
        return self._mail_exchangers(name, answer)

    async def whereabouts_of(self, server: MailServer, domain: str, *, is_proved: bool) -> Whereabouts | LookupFailed:
        """Where a server is, and its signed records when it was proved to be the domain's.

        ``LookupFailed`` when anything about it could not be asked: mail waits rather than go to it with less proof
        (RFC 7672 section 2.1.2).
        """
        if server.address:
            return Whereabouts((server.address,))
        found = await self._names.addresses_of(server.name)
        if isinstance(found, LookupFailed) or not is_proved:
            return found if isinstance(found, LookupFailed) else Whereabouts(found.addresses)
        async for base in self._tlsa_bases(server.name, found):
            if isinstance(base, LookupFailed):
                return base
            answer = await self._names.ask(f"_{server.port}._tcp.{base}", "TLSA")
            if isinstance(answer, LookupFailed):
                return answer
            if answer.is_proved and answer.records:
                return Whereabouts(found.addresses, _signed(answer, base, domain), is_tls_promised=True)
        return Whereabouts(found.addresses)

    async def _tlsa_bases(self, host: str, found: Addresses) -> AsyncIterator[str | LookupFailed]:
        """Names to look below for signed records, as far as all that leads there is proved (RFC 7672 section 2.2.3)."""
        if found.is_proved:
            for name in dict.fromkeys((found.name, host)):
                yield name
        elif found.name != host:
            alias = await self._names.ask(host, "CNAME")
            if isinstance(alias, LookupFailed):
                yield alias
            elif alias.is_proved and alias.records:
                yield host

    def _mail_exchangers(self, domain: str, answer: Answer) -> Found:
        records = sorted((record.preference, record.exchange) for record in answer.records)
        port = self._settings.mail_port
        if not records:
            return Servers((MailServer(domain, port=port),), answer.is_proved)
        if len(records) == 1 and records[0][1] == dns.name.root:
            return NoMail("556 5.1.10 the domain takes no mail")
        named = [(preference, host.to_text(omit_final_dot=True).lower()) for preference, host in records]
        hosts = [(preference, host) for preference, host in named if HOST_NAME.fullmatch(host)]
        if not hosts:
            return NoMail("550 5.4.4 the domain names no usable mail server")
        usable = _better_than_us(hosts, self._settings.own_name)
        if not usable:
            return NoMail("554 5.4.6 the domain's mail server is this one, which does not know it")
        return Servers(tuple(MailServer(host, port=port) for host in usable[:MAX_SERVERS]), answer.is_proved)


def _signed(answer: Answer, base: str, domain: str) -> BySignedRecord | None:
    """What usable records ask for. Where none is usable there is no signed key (RFC 7672 section 2.2)."""
    told = [TlsaRecord(record.usage, record.selector, record.mtype, record.cert) for record in answer.records]
    records = tlsa_record.usable(told)
    return BySignedRecord(records, tuple(dict.fromkeys((base, domain)))) if records else None


def _better_than_us(records: list[tuple[int, str]], own_name: str) -> list[str]:
    """RFC 5321 section 5.1: a server that finds itself in the list must not send to anything less preferred."""
    own = [preference for preference, host in records if host == own_name.lower()]
    return [host for preference, host in records if not own or preference < min(own)]
