"""Core: how mail programs are set up, in the forms in which they ask for it. Only what is offered is told.

Thunderbird: https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat, Outlook: the POX form of
Autodiscover ([MS-OXDSCLI]). There is no mailbox protocol here, so a profile for Apple's Mail, which demands one, is not
made: it finds the server for outgoing mail by its SRV records (RFC 6186).
"""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape

from appliance.dns_records import PublishedNames
from mailstore.addresses import BadAddressError, canonical_domain, parse_mailbox

XML: Final = "text/xml; charset=utf-8"
THUNDERBIRD_PATHS: Final = ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml")
OUTLOOK_PATH: Final = "/autodiscover/autodiscover.xml"
"""Asked for in any mixture of capitals."""

_ASKED_FOR = re.compile(rb"<(?:\w{1,16}:)?EMailAddress>\s*([^\s<>&]{3,254})\s*</", re.IGNORECASE)
_SUBMISSION_WITH_TLS_FROM_THE_START: Final = "submissions"
_POX: Final = "http://schemas.microsoft.com/exchange/autodiscover"


def for_thunderbird(names: PublishedNames, *, practice: str) -> bytes:
    """The file that Thunderbird and its kin ask for."""
    servers = "".join(
        f"""    <outgoingServer type="smtp">
      <hostname>{escape(names.mx_host)}</hostname>
      <port>{port}</port>
      <socketType>{"SSL" if service == _SUBMISSION_WITH_TLS_FROM_THE_START else "STARTTLS"}</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
"""
        for service, port in names.services
    )
    domain = escape(names.domain)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="{domain}">
    <domain>{domain}</domain>
    <displayName>{escape(practice)}</displayName>
{servers}  </emailProvider>
</clientConfig>
""".encode()


def for_outlook(names: PublishedNames, asked: bytes) -> bytes:
    """What Outlook gets for what it sent: with a name to sign in by if that holds an address of the domain."""
    login = f"\n        <LoginName>{escape(found)}</LoginName>" if (found := _address_in(asked, names.domain)) else ""
    servers = "".join(
        f"""
      <Protocol>
        <Type>SMTP</Type>
        <Server>{escape(names.mx_host)}</Server>
        <Port>{port}</Port>{login}
        <SSL>on</SSL>
        <Encryption>{"SSL" if service == _SUBMISSION_WITH_TLS_FROM_THE_START else "TLS"}</Encryption>
        <AuthRequired>on</AuthRequired>
        <SPA>off</SPA>
      </Protocol>"""
        for service, port in names.services
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Autodiscover xmlns="{_POX}/responseschema/2006">
  <Response xmlns="{_POX}/outlook/responseschema/2006a">
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>{servers}
    </Account>
  </Response>
</Autodiscover>
""".encode()


def _address_in(asked: bytes, domain: str) -> str:
    """The address that somebody asked about, if it is of our domain. Whether anybody has it is not told."""
    found = _ASKED_FOR.search(asked)
    try:
        address = parse_mailbox(found[1].decode()) if found else None
    except (BadAddressError, UnicodeDecodeError):
        return ""
    return address.text if address and canonical_domain(address.domain) == domain else ""
