"""The names and services that a practice offers to strangers, as the settings and this machine say."""

from __future__ import annotations

import ipaddress
import socket

from appliance.dns_records import PublishedKey, PublishedNames
from appliance.settings import Settings

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that nobody has (RFC 5737, RFC 3849): asking for the way to them sends nothing."""

_DISCARD_PORT = 9


def offered(settings: Settings, *, dkim: tuple[PublishedKey, ...] = (), tlsa: tuple[bytes, ...] = ()) -> PublishedNames:
    """What the settings alone say: enough for whoever serves the policy and the files of mail programs."""
    domain, submission = settings.practice.domain, settings.submission
    return PublishedNames(
        domain=domain,
        mx_host=settings.mx_host,
        portal_host=settings.portal_host,
        portal_port=settings.portal.port,
        services=(("submissions", submission.implicit_tls_port), ("submission", submission.port)),
        addresses=_addresses(settings) or own_addresses(),
        dkim=dkim,
        tlsa=tlsa,
        report_address=settings.dns.report_address or f"postmaster@{domain}",
        dmarc_policy=settings.dns.dmarc_policy,
        mta_sts_mode=settings.dns.mta_sts_mode,
    )


def _addresses(settings: Settings) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(each)) for each in settings.dns.addresses.split())


def own_addresses() -> tuple[str, ...]:
    """The public addresses that this machine sends from; none behind a router that changes them."""
    found = [_own_address(family, address) for family, address in _ELSEWHERE.items()]
    return tuple(address for address in found if address and ipaddress.ip_address(address).is_global)


def _own_address(family: socket.AddressFamily, towards: str) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((towards, _DISCARD_PORT))
        except OSError:
            return ""
        return str(asked.getsockname()[0])
