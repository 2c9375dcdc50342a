"""The practice's own certificate authority and server certificate, made by ``init``.

Good for trying out and for closed networks; a public practice puts the files of a public authority in their
place. ECDSA on P-256, because every mail server and browser in use takes it (RFC 9325 section 4.2.1).
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailstore import durable_file
from mailstore.errors import RefusedError, TamperedError

CA_FILE = "ca.pem"
CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"
NEXT_KEY_FILE = "next.key"
"""The key of a later certificate, whose TLSA record is published before that certificate is in use (RFC 7671 8.1)."""

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=397)
"""Browsers refuse a server certificate that lives longer than 398 days (CA/Browser Forum BR 6.3.2)."""

CLOCK_SLACK = timedelta(hours=1)


@dataclass(frozen=True)
class GeneratedCertificates:
    """PEM files ready to be written. The authority's private key is forgotten: nothing more can be issued."""

    ca: bytes
    server: bytes
    server_key: bytes = field(repr=False)


def server_names(domain: str) -> tuple[str, ...]:
    """The DNS names that the server certificate carries for a practice."""
    hosts = ("mx", "mail", "portal", "mta-sts", "autoconfig", "autodiscover")
    return ("localhost", domain, *(f"{host}.{domain}" for host in hosts))


def generate(*, practice: str, domain: str, now: datetime) -> GeneratedCertificates:
    """A fresh authority and one server certificate signed by it."""
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _authority(practice, ca_key, now)
    server = _server(domain, server_key, ca, ca_key, now=now)
    return GeneratedCertificates(
        ca=ca.public_bytes(serialization.Encoding.PEM),
        server=server.public_bytes(serialization.Encoding.PEM) + ca.public_bytes(serialization.Encoding.PEM),
        server_key=server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _authority(practice: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    common_name = f"{practice} (own authority)"[:64]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        _builder(name, name, key.public_key(), now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    domain: str,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in server_names(domain)]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    return (
        _builder(name, ca.subject, key.public_key(), now, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + life)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def write(directory: Path, made: GeneratedCertificates) -> None:
    """Put the three files in their place; only the owner may read the private key."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content, mode in (
        (CA_FILE, made.ca, 0o644),
        (CERTIFICATE_FILE, made.server, 0o644),
        (KEY_FILE, made.server_key, 0o600),
    ):
        path = directory / name
        path.touch(mode=mode, exist_ok=False)
        path.write_bytes(content)


def server_context(directory: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer with the practice's certificate (RFC 9325 section 3.1.1)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE)
    return context


def expires_at(directory: Path) -> datetime:
    """When the server certificate stops being valid. ``TamperedError`` naming the file that cannot be used."""
    certificate = _certificate_in(directory / CERTIFICATE_FILE)
    try:
        server_context(directory)
    except ssl.SSLError:
        raise TamperedError(
            f"tls/{KEY_FILE} does not belong to tls/{CERTIFICATE_FILE}, or either was changed"
        ) from None
    _refuse_foreign_key(directory / KEY_FILE, certificate)
    if (directory / CA_FILE).exists():
        authority = _certificate_in(directory / CA_FILE)
        for issued in (authority, certificate):
            _refuse_forged(issued, authority)
    return certificate.not_valid_after_utc


def _certificate_in(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise TamperedError(f"tls/{path.name} is no certificate") from None


def _refuse_foreign_key(path: Path, certificate: x509.Certificate) -> None:
    """OpenSSL compares the public half that is written beside an EC key; what counts is the private half itself."""
    if _private_key_in(path).public_key() != certificate.public_key():
        raise TamperedError(f"tls/{path.name} does not belong to tls/{CERTIFICATE_FILE}, or either was changed")


def _private_key_in(path: Path) -> PrivateKeyTypes:
    """The key, with its public half computed anew."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return ec.derive_private_key(key.private_numbers().private_value, key.curve)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise TamperedError(f"tls/{path.name} is no private key") from None
    return key


def _refuse_forged(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Whatever names the authority as its issuer must be signed by it."""
    if certificate.issuer != authority.subject:
        return
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise TamperedError(f"tls/{CA_FILE} or tls/{CERTIFICATE_FILE} was changed") from None


def key_digests(directory: Path) -> tuple[bytes, ...]:
    """SHA-256 of the server's public key, and of the next one where that is prepared (RFC 6698 section 2.1.3)."""
    digests = [_digest(_certificate_in(directory / CERTIFICATE_FILE).public_key())]
    if (next_key := directory / NEXT_KEY_FILE).exists():
        digests.append(_digest(_private_key_in(next_key).public_key()))
    return tuple(dict.fromkeys(digests))


def _digest(key: PublicKeyTypes) -> bytes:
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).digest()


def prepare_next_key(directory: Path) -> Path:
    """Make the key that a later certificate shall be for. ``RefusedError`` when there is one."""
    path = directory / NEXT_KEY_FILE
    if path.exists():
        raise RefusedError(f"tls/{NEXT_KEY_FILE} is there already", fix="publish its TLSA record, then use it")
    key = ec.generate_private_key(ec.SECP256R1())
    told = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    durable_file.write_new(path, told)
    return path
