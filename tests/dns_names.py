"""A practice as the DNS should show it, and a name server that shows it."""

from __future__ import annotations

import base64
import ipaddress

from appliance import dkim_signature, dns_records
from appliance.dkim_keys import NewPair
from appliance.dns_records import PublishedKey, PublishedNames
from tests.dns_room import OutsideDns

DOMAIN = "clinic.example"
MX = f"mx.{DOMAIN}"
PORTAL = f"portal.{DOMAIN}"
V4, V6 = "203.0.113.7", "2001:db8::7"
PAIR = NewPair.made()
DKIM = tuple(
    PublishedKey(
        f"20260302-1-{algorithm.key_type}",
        dkim_signature.record_value(algorithm, dkim_signature.public_bytes(private)),
    )
    for algorithm, private in PAIR.privates
)
IN_USE, NEXT = bytes(range(32)), bytes(range(1, 33))
NAMES = PublishedNames(
    domain=DOMAIN,
    mx_host=MX,
    portal_host=PORTAL,
    portal_port=443,
    services=(("submissions", 465), ("submission", 587)),
    addresses=(V4, V6),
    dkim=DKIM,
    tlsa=(IN_USE,),
    report_address=f"postmaster@{DOMAIN}",
    dmarc_policy="quarantine",
    mta_sts_mode="testing",
)
OTHER_KEY = f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(32)).decode()}"


def published(names: PublishedNames = NAMES) -> OutsideDns:
    """A name server with exactly the records that ``dns records`` would print, PTR included."""
    outside = OutsideDns()
    for record in dns_records.records(names):
        told = dns_records.quoted(record.value) if record.kind == "TXT" else record.value
        outside.records.setdefault((record.name, record.kind), []).append(told)
    return outside


def pointer(address: str) -> str:
    """The name under which an address has its name."""
    return ipaddress.ip_address(address).reverse_pointer
