"""Core: every record that a practice publishes in the DNS, made from what it really has and offers.

What stands here is what ``strongroom dns records`` prints and what ``strongroom doctor`` looks for.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

TIME_TO_LIVE_SECONDS: Final = 3600
MOST_OF_ONE_STRING: Final = 255
"""Bytes of one character-string of a TXT record (RFC 1035 section 3.3)."""

ASK_THE_PROVIDER: Final = "whoever gave you the address sets it, not the zone of the domain"
_MAX_AGE_SECONDS: Final = {"none": 86_400, "testing": 86_400, "enforce": 2_592_000}
"""RFC 8461 section 3.2: weeks once it is enforced; a policy that is tried out is to be forgotten soon."""

_POLICY_ID_DIGITS: Final = 20
_SMTP_PORT: Final = 25


class Purpose(StrEnum):
    """What a record is for; the doctor has a line for each."""

    ADDRESS = "address"
    MX = "mx"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    MTA_STS = "mta-sts"
    TLS_REPORTS = "tls-reports"
    TLSA = "tlsa"
    MAIL_PROGRAMS = "mail-programs"
    REVERSE = "reverse"


@dataclass(frozen=True)
class DnsRecord:
    """One record. ``name`` is whole and without its last dot; ``value`` is as a zone file has it, names with the dot.

    ``values`` of a TXT record are its text in one piece. ``is_needed`` is False for what only makes things easier.
    """

    purpose: Purpose
    name: str
    kind: str
    value: str
    says: str
    is_needed: bool = True

    @property
    def zone_line(self) -> str:
        """The record in the syntax of zone files (RFC 1035 section 5.1)."""
        told = quoted(self.value) if self.kind == "TXT" else self.value
        return f"{self.name}. {TIME_TO_LIVE_SECONDS} IN {self.kind} {told}"


@dataclass(frozen=True)
class PublishedKey:
    """A key that signs mail: the name below ``_domainkey``, what its record says, and whether it signs now."""

    selector: str
    text: str
    signs: bool = True


@dataclass(frozen=True)
class PublishedNames:
    """What the records are made from.

    ``addresses`` are those that strangers reach this machine by; without any the records of addresses are left out.
    ``tlsa`` are the SHA-256 digests of the server's public keys, the one in use first. ``services`` are pairs of
    service name and port for mail programs (RFC 6186, RFC 8314).
    """

    domain: str
    mx_host: str
    portal_host: str
    portal_port: int
    services: tuple[tuple[str, int], ...]
    addresses: tuple[str, ...]
    dkim: tuple[PublishedKey, ...]
    tlsa: tuple[bytes, ...]
    report_address: str
    dmarc_policy: str
    mta_sts_mode: str
    missing_services: tuple[str, ...] = field(default=("imap", "imaps", "pop3", "pop3s"))

    @property
    def policy_host(self) -> str:
        """Where the policy about our mail servers is served (RFC 8461 section 3.3)."""
        return f"mta-sts.{self.domain}"

    @property
    def program_hosts(self) -> tuple[str, str]:
        """Where mail programs look for how they are set up: Thunderbird, then Outlook."""
        return f"autoconfig.{self.domain}", f"autodiscover.{self.domain}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every name under which pages or policies are served, and that a certificate has to carry."""
        return self.portal_host, self.policy_host, *self.program_hosts


def policy_text(names: PublishedNames) -> str:
    """The policy about our mail servers (RFC 8461 section 3.2)."""
    mode = names.mta_sts_mode
    age = _MAX_AGE_SECONDS[mode]
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {names.mx_host}\r\nmax_age: {age}\r\n"


def policy_id(names: PublishedNames) -> str:
    """What tells one policy from another: it changes whenever the text does (RFC 8461 section 3.1)."""
    return hashlib.sha256(policy_text(names).encode()).hexdigest()[:_POLICY_ID_DIGITS]


def records(names: PublishedNames) -> tuple[DnsRecord, ...]:
    """Every record, in the order in which a person reads them."""
    return (
        *_addresses(names),
        *_mail(names),
        *_dkim(names),
        *_reports(names),
        *_transport(names),
        *_programs(names),
        *_reverse(names),
    )


def zone_text(published: Sequence[DnsRecord]) -> str:
    """The records as a zone file, each after what it is for; those of other zones as remarks."""
    lines: list[str] = []
    for record in published:
        if not lines or lines[-1] != f"; {record.says}":
            lines.append(f"; {record.says}")
        lines.append(f"; {record.zone_line}" if record.purpose is Purpose.REVERSE else record.zone_line)
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text as character-strings of at most 255 bytes, each in quotes."""
    pieces = [text[start : start + MOST_OF_ONE_STRING] for start in range(0, len(text), MOST_OF_ONE_STRING)]
    return " ".join(f'"{piece}"' for piece in pieces)


def _addresses(names: PublishedNames) -> Iterator[DnsRecord]:
    hosts = {names.mx_host: "Where our mail server is", names.portal_host: "Where the pages are"}
    for host, says in hosts.items():
        for address in names.addresses:
            kind = "AAAA" if isinstance(ipaddress.ip_address(address), ipaddress.IPv6Address) else "A"
            yield DnsRecord(Purpose.ADDRESS, host, kind, address, says)


def _mail(names: PublishedNames) -> Iterator[DnsRecord]:
    yield DnsRecord(Purpose.MX, names.domain, "MX", f"10 {names.mx_host}.", "Mail for the domain comes here")
    says = "Only our mail server sends mail of the domain (RFC 7208)"
    yield DnsRecord(Purpose.SPF, names.domain, "TXT", "v=spf1 mx -all", says)
    says = "Reports without a sender come from our mail server too (RFC 7208 section 2.3)"
    yield DnsRecord(Purpose.SPF, names.mx_host, "TXT", "v=spf1 a -all", says)


def _dkim(names: PublishedNames) -> Iterator[DnsRecord]:
    for key in names.dkim:
        name = f"{key.selector}._domainkey.{names.domain}"
        says = "Keys that prove what we sign (RFC 6376)" if key.signs else "Keys that shall sign, or did until lately"
        yield DnsRecord(Purpose.DKIM, name, "TXT", key.text, says, is_needed=key.signs)


def _reports(names: PublishedNames) -> Iterator[DnsRecord]:
    mailto = f"mailto:{names.report_address}"
    dmarc = f"v=DMARC1; p={names.dmarc_policy}; rua={mailto}"
    says = "What others do with mail that only pretends to be ours (RFC 7489)"
    yield DnsRecord(Purpose.DMARC, f"_dmarc.{names.domain}", "TXT", dmarc, says)
    says = "Other servers report when TLS with ours fails (RFC 8460)"
    tls = f"v=TLSRPTv1; rua={mailto}"
    yield DnsRecord(Purpose.TLS_REPORTS, f"_smtp._tls.{names.domain}", "TXT", tls, says, is_needed=False)


def _transport(names: PublishedNames) -> Iterator[DnsRecord]:
    says = "There is a policy about TLS with our mail server (RFC 8461)"
    announced = f"v=STSv1; id={policy_id(names)}"
    yield DnsRecord(Purpose.MTA_STS, f"_mta-sts.{names.domain}", "TXT", announced, says)
    says = "Where that policy is served"
    yield DnsRecord(Purpose.MTA_STS, names.policy_host, "CNAME", f"{names.portal_host}.", says)
    name = f"_{_SMTP_PORT}._tcp.{names.mx_host}"
    for digest in names.tlsa:
        says = "The key of our mail server; counts where the zone is signed by DNSSEC (RFC 7672)"
        yield DnsRecord(Purpose.TLSA, name, "TLSA", f"3 1 1 {digest.hex()}", says, is_needed=False)


def _programs(names: PublishedNames) -> Iterator[DnsRecord]:
    says = "Mail programs find where to hand in mail (RFC 6186, RFC 8314)"
    for service, port in names.services:
        name = f"_{service}._tcp.{names.domain}"
        yield _for_programs(name, "SRV", f"0 1 {port} {names.mx_host}.", says)
    for service in names.missing_services:
        says = "Mail programs learn that this is not offered (RFC 6186 section 3.4)"
        yield _for_programs(f"_{service}._tcp.{names.domain}", "SRV", "0 0 0 .", says)
    for host in names.program_hosts:
        says = "Mail programs find how they are to be set up"
        yield _for_programs(host, "CNAME", f"{names.portal_host}.", says)
    name = f"_autodiscover._tcp.{names.domain}"
    yield _for_programs(name, "SRV", f"0 0 {names.portal_port} {names.portal_host}.", says)


def _for_programs(name: str, kind: str, value: str, says: str) -> DnsRecord:
    return DnsRecord(Purpose.MAIL_PROGRAMS, name, kind, value, says, is_needed=False)


def _reverse(names: PublishedNames) -> Iterator[DnsRecord]:
    for address in names.addresses:
        name = ipaddress.ip_address(address).reverse_pointer
        says = f"The name of our address: {ASK_THE_PROVIDER}"
        yield DnsRecord(Purpose.REVERSE, name, "PTR", f"{names.mx_host}.", says)
