"""What the doctor says about the server certificate in ``tls/``: whose it is, for which names, until when."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from appliance import tls_certificates
from appliance.health_finding import Seen, State
from appliance.settings import Settings
from appliance.tls_certificates import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from appliance.wiring import Appliance

NOTICE: Final = timedelta(days=21)
"""ACME renews 30 days before the end (certbot's default); when that did not happen, somebody has to look."""

OWN_NOTICE: Final = timedelta(days=30)
_LOOPBACK: Final = ("127.", "::1")


def certificate(appliance: Appliance) -> Seen:
    """The files: that they belong together and are for our names, who signed them, and the days left."""
    end = tls_certificates.expires_at(appliance.data.tls)
    settings, now = appliance.settings, appliance.clock.now()
    is_own = is_of_own_authority(appliance.data.tls)
    days = (end - now).days
    told = f"valid until {end:%Y-%m-%d}, {days} days"
    fix = put(appliance.data.tls) if is_own else f"run: sudo certbot renew; or {put(appliance.data.tls)}"
    if end <= now:
        return State.FAIL, f"expired on {end:%Y-%m-%d}", fix
    said = _names_in(appliance.data.tls)
    if missing := [name for name in names_of(settings) if not {name, _starred(name)} & said]:
        return (
            State.FAIL,
            f"{told}; it is not for {' nor for '.join(missing)}",
            from_public_authority(appliance.data.tls),
        )
    if days < (OWN_NOTICE if is_own else NOTICE).days:
        return State.WARN, told, fix
    return State.OK, f"{told}, for {' and '.join(names_of(settings))}", ""


def names_of(settings: Settings) -> tuple[str, ...]:
    """The names that others know our ports by: mail, then pages."""
    return tuple(dict.fromkeys((settings.mx_host, settings.portal_host)))


def is_of_own_authority(directory: Path) -> bool:
    """True when the authority that ``init`` made signed the server certificate."""
    if not (directory / CA_FILE).exists():
        return False
    return _read(directory / CERTIFICATE_FILE).issuer == _read(directory / CA_FILE).subject


def verifying(directory: Path) -> ssl.SSLContext:
    """TLS as a careful stranger speaks it: the authorities of this machine, and ours where we made one."""
    context = ssl.create_default_context()
    if (directory / CA_FILE).exists():
        context.load_verify_locations(directory / CA_FILE)
    return context


def put(directory: Path) -> str:
    """How a certificate that somebody got elsewhere comes into its place."""
    return (
        f"copy the certificate with its whole chain (fullchain.pem) to {directory / CERTIFICATE_FILE} and its key to"
        f" {directory / KEY_FILE}, for the system user alone; they are taken within a minute"
    )


def from_public_authority(directory: Path) -> str:
    """How a practice comes by a certificate that others can prove."""
    return f"set certificates_email in group_vars/all.yml and run the playbook; or {put(directory)}"


def own_authority(settings: Settings, directory: Path) -> Seen:
    """What to say of a certificate that nobody outside can prove."""
    told = "the practice's own authority signed it"
    if settings.portal.listen.startswith(_LOOPBACK):
        return State.OK, f"{told}, which is enough on this machine", ""
    return State.WARN, f"{told}: browsers and other servers cannot prove it", from_public_authority(directory)


def end_of(certificate: bytes) -> datetime:
    """When a certificate (DER) stops being valid."""
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def is_the_one_in(directory: Path, certificate: bytes) -> bool:
    """True when a certificate (DER) is the one that lies in ``tls/``."""
    return x509.load_der_x509_certificate(certificate) == _read(directory / CERTIFICATE_FILE)


def _names_in(directory: Path) -> frozenset[str]:
    """The DNS names that the certificate is for."""
    try:
        found = _read(directory / CERTIFICATE_FILE).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in found.value.get_values_for_type(x509.DNSName))


def _starred(name: str) -> str:
    """The name with a star that would stand for it (RFC 9525 section 6.3)."""
    return f"*.{name.partition('.')[2]}"


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())
