"""Core: TLSA records of mail servers: which of them count, and whether what a server shows is what they name.

RFC 6698 is the record, RFC 7671 how it is used, RFC 7672 what of it holds for mail. A record speaks only when the DNS
proved it; whoever hands records in has seen to that.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

DANE_TA: Final = 2
DANE_EE: Final = 3
"""The usages that count for mail; the others ask for an authority that nobody agreed on (RFC 7672 section 3.1)."""

_WHOLE: Final = 0
_KEY_ALONE: Final = 1
_AS_IT_IS: Final = 0
_DIGESTS: Final[dict[int, Callable[[bytes], bytes]]] = {
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}
_DIGEST_BYTES: Final = {1: 32, 2: 64}
MOST_RECORDS: Final = 32
"""Records of one server that are looked at; more serve nobody but a stranger who wants us busy."""

MOST_CERTIFICATES: Final = 16


@dataclass(frozen=True)
class TlsaRecord:
    """One record as the DNS gives it (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def is_usable(self) -> bool:
        """Whether it can prove a mail server. One that cannot is as good as none (RFC 7671 section 4.1)."""
        known = self.usage in (DANE_TA, DANE_EE) and self.selector in (_WHOLE, _KEY_ALONE)
        if self.matching == _AS_IT_IS:
            return known and bool(self.data)
        return known and len(self.data) == _DIGEST_BYTES.get(self.matching)

    def names(self, certificate: x509.Certificate) -> bool:
        """Whether it is about this certificate or its key."""
        if self.selector == _WHOLE:
            told = certificate.public_bytes(Encoding.DER)
        else:
            told = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found = told if self.matching == _AS_IT_IS else _DIGESTS[self.matching](told)
        return hmac.compare_digest(found, self.data)


def usable(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """The records that count: of several digests of one kind only the strongest (RFC 7671 section 9)."""
    known = [record for record in records if record.is_usable][:MOST_RECORDS]
    strongest: dict[tuple[int, int], int] = {}
    for record in known:
        kind = record.usage, record.selector
        strongest[kind] = max(strongest.get(kind, _AS_IT_IS), record.matching)
    return tuple(record for record in known if record.matching in (_AS_IT_IS, strongest[record.usage, record.selector]))


def shortfall(records: Sequence[TlsaRecord], shown: Sequence[bytes], *, names: Sequence[str], now: datetime) -> str:
    """Why the certificates that a server showed are not what its records name, or nothing.

    ``shown`` is its chain in DER, its own certificate first. For DANE-EE the key is all that counts: neither name nor
    date (RFC 7672 section 3.1.1). For DANE-TA the chain must lead to what is named, be valid now, and be for one of
    ``names`` (sections 3.1.2 and 3.2.2).
    """
    try:
        own, *above = [x509.load_der_x509_certificate(each) for each in shown[:MOST_CERTIFICATES]]
        if any(record.usage == DANE_EE and record.names(own) for record in records):
            return ""
        anchors = _anchors([record for record in records if record.usage == DANE_TA], above)
    except (ValueError, UnsupportedAlgorithm):
        return "it shows no certificate that can be read"
    if not anchors:
        return "its key is none of those in its signed DNS record"
    return _chain_problem(own, above, anchors, names=names, now=now)


def _anchors(records: Sequence[TlsaRecord], above: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The authorities that the records name: out of what the server shows, or out of a record that holds one whole."""
    shown = [certificate for certificate in above if any(record.names(certificate) for record in records)]
    whole = [record.data for record in records if (record.selector, record.matching) == (_WHOLE, _AS_IT_IS)]
    return shown or [x509.load_der_x509_certificate(data) for data in whole]


def _chain_problem(
    own: x509.Certificate,
    above: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    *,
    names: Sequence[str],
    now: datetime,
) -> str:
    """What is wrong with the way from the server's certificate to an authority that was named."""
    policy = PolicyBuilder().store(Store(list(anchors))).time(now)
    policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SERVER)
    problem = "it has no name"
    for name in names:
        try:
            policy.build_server_verifier(x509.DNSName(name)).verify(own, list(above))
        except (VerificationError, ValueError) as error:
            problem = str(error).partition(" (encountered")[0]
        else:
            return ""
    return f"its certificate does not lead to the authority in its signed DNS record: {problem}"


_SERVER: Final = (
    ExtensionPolicy.webpki_defaults_ee()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
)
_AUTHORITY: Final = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.SubjectKeyIdentifier, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
)
"""As for the public web, but for marks that a private authority often leaves out (RFC 5280 asks for no more)."""
