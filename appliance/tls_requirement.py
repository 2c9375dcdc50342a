"""What a receiving server must prove before it is given mail: a certificate valid for the name of the MX.

PKIX validation (RFC 5280, RFC 9525) with TLS 1.2 or later (NIST SP 800-52r2 section 3.1). A certificate that
does not verify counts as no TLS at all. The one exception is the pickup notice, which holds nothing about
health: ``notice_context`` encrypts without asking who is there (RFC 7435).
"""

from __future__ import annotations

import ssl

from appliance.delivery_plan import TlsEvidence, TlsFinding, Trust
from mailstore.errors import StorageUnavailableError

TEMPORARY = range(400, 500)
"""RFC 5321 section 4.2.1."""


def required_context(ca_file: str = "") -> ssl.SSLContext:
    """A context that connects only to the named host, proved by the system's certificates or by ``ca_file`` alone.

    Raises ``StorageUnavailableError`` when the file cannot be read: our own fault, so the mail waits.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    try:
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    except (OSError, ssl.SSLError) as error:
        raise StorageUnavailableError(
            "the certificates to trust for an outbound route cannot be read",
            fix="check ca_file under [[outbound.route]] in strongroom.toml",
        ) from error
    return context


def notice_context() -> ssl.SSLContext:
    """Opportunistic encryption for pickup notices only (RFC 7435): whoever answers may read it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def verified(server_name: str, connection: ssl.SSLObject, *, trust: Trust) -> TlsEvidence:
    """The evidence of a finished handshake under ``required_context``."""
    cipher = connection.cipher()
    return TlsEvidence(
        server_name=server_name,
        finding=TlsFinding.VERIFIED,
        version=connection.version() or "",
        cipher=cipher[0] if cipher else "",
        trust=trust,
    )


def not_verified(server_name: str, error: ssl.SSLError) -> TlsEvidence:
    """The evidence of a handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsEvidence(server_name, TlsFinding.CERTIFICATE_INVALID, problem=error.verify_message)
    reason = (error.reason or "handshake failed").replace("_", " ").lower()
    return TlsEvidence(server_name, TlsFinding.HANDSHAKE_FAILED, problem=reason)


def refused(server_name: str, code: int) -> TlsEvidence:
    """The evidence of a server that offers STARTTLS and then declines it (RFC 3207 section 4)."""
    finding = TlsFinding.REFUSED_FOR_NOW if code in TEMPORARY else TlsFinding.NOT_OFFERED
    return TlsEvidence(server_name, finding, problem=f"STARTTLS was answered with {code}")
