"""What a receiving server must prove before it is given mail, asked of a TLS connection.

Either a certificate valid for the name of the server (PKIX: RFC 5280, RFC 9525), or a key that its signed DNS records
name (DANE: RFC 7672); both over TLS 1.2 or later (NIST SP 800-52r2 section 3.1). What does not verify counts as no TLS
at all. The one exception is the pickup notice, which holds nothing about health: ``notice_context`` encrypts without
asking who is there (RFC 7435).
"""

from __future__ import annotations

import ssl
from datetime import datetime
from typing import Any

from appliance import tlsa_record
from appliance.delivery_plan import TlsEvidence, TlsFinding, Trust
from appliance.required_proof import ByAuthority, BySignedRecord, Proof
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


def unproved_context() -> ssl.SSLContext:
    """A context that connects to anybody: what was shown is examined by ``examined`` before a word of mail."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def notice_context() -> ssl.SSLContext:
    """Opportunistic encryption for pickup notices only (RFC 7435): whoever answers may read it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def examined(server_name: str, connection: ssl.SSLObject, proof: Proof, *, now: datetime) -> TlsEvidence:
    """The evidence of a finished handshake: under ``required_context``, or for signed records ``unproved_context``."""
    if isinstance(proof, ByAuthority):
        return _verified(server_name, connection, proof.trust)
    if problem := _dane_shortfall(connection, proof, now=now):
        return TlsEvidence(server_name, TlsFinding.CERTIFICATE_INVALID, problem=problem, trust=Trust.DANE)
    return _verified(server_name, connection, Trust.DANE)


def _dane_shortfall(connection: ssl.SSLObject, proof: BySignedRecord, *, now: datetime) -> str:
    return tlsa_record.shortfall(proof.records, _shown(connection), names=proof.names, now=now)


def _shown(connection: ssl.SSLObject) -> list[bytes]:
    """The certificates that the other side showed, in DER, its own first."""
    told: Any = connection
    if not hasattr(told, "get_unverified_chain"):  # public since Python 3.13; before that one step further in
        certificates = told._sslobj.get_unverified_chain() or []  # noqa: SLF001 - the same method, see above
        return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in certificates]
    return [bytes(certificate) for certificate in told.get_unverified_chain()]


def _verified(server_name: str, connection: ssl.SSLObject, trust: Trust) -> TlsEvidence:
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
