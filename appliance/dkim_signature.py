"""Core: DKIM signatures over mail that leaves (RFC 6376), by RSA and by Ed25519 (RFC 8463).

Both header and body are canonicalised as ``relaxed``: what servers on the way do to white space breaks nothing. Every
signed field is named once more than it is there, so that none can be added (RFC 6376 section 8.15).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mailstore.errors import TamperedError

FIELD_NAME: Final = "DKIM-Signature"
RSA_BITS: Final = 2048
"""RFC 8301 section 3.2: signers use at least 2048 bits; longer keys do not fit into many answers of the DNS."""

SIGNED_FIELDS: Final = (
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "auto-submitted",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
"""What a reader goes by (RFC 6376 section 5.4.1). Trace fields change on the way and are left out."""

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_WHITE = re.compile(rb"[ \t]+")
_LINE_LENGTH = 72


class Algorithm(StrEnum):
    """How a signature is made, as the tag ``a=`` names it."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"

    @property
    def key_type(self) -> str:
        """The tag ``k=`` of the record (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
        return self.value.partition("-")[0]


@dataclass(frozen=True)
class SigningKey:
    """One key that signs for a domain. ``private`` is of the kind that ``algorithm`` asks for."""

    domain: str
    selector: str
    algorithm: Algorithm
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)


def signature_fields(content: bytes, keys: Sequence[SigningKey], *, now: datetime) -> bytes:
    """One field for each key, CRLF included, to be put in front of ``content``, whose line ends are all CRLF."""
    head, _, body = content.partition(b"\r\n\r\n")
    present = header_fields(head)
    digest = body_digest(body)
    return b"".join(_signature_field(key, present, digest, now) for key in keys)


def header_fields(head: bytes) -> list[tuple[str, bytes]]:
    """The fields of a header in order: the name in lower case, and the whole field in its relaxed form."""
    found = []
    for line in _FIELD_END.split(head):
        name, colon, value = line.partition(b":")
        if colon:
            lowered = name.rstrip(b" \t").lower()
            found.append((lowered.decode("latin-1"), lowered + b":" + _relaxed_value(value)))
    return found


def body_digest(body: bytes) -> bytes:
    """SHA-256 over the relaxed body (RFC 6376 section 3.4.4)."""
    single = _WHITE.sub(b" ", body) if b"\t" in body or b"  " in body else body
    relaxed = single.replace(b" \r\n", b"\r\n").removesuffix(b" ").rstrip(b"\r\n")
    return hashlib.sha256(relaxed + b"\r\n" if relaxed else b"").digest()


def signed_data(present: Sequence[tuple[str, bytes]], names: Sequence[str], unsigned: bytes) -> bytes:
    """What is signed (RFC 6376 sections 3.7 and 5.4.2): the named fields, then the signature field itself.

    Of fields that are there repeatedly the last comes first; a name for which none is left stands for none.
    ``unsigned`` is the signature field with nothing after ``b=``.
    """
    left: dict[str, list[bytes]] = {}
    for name, relaxed in present:
        left.setdefault(name, []).append(relaxed)
    chosen = [left[name].pop() for name in names if left.get(name)]
    return b"".join(relaxed + b"\r\n" for relaxed in chosen) + header_fields(unsigned)[0][1]


def signature(key: SigningKey, data: bytes) -> bytes:
    """The signature over ``data``: Ed25519 signs its digest (RFC 8463 section 3)."""
    if isinstance(key.private, Ed25519PrivateKey):
        return key.private.sign(hashlib.sha256(data).digest())
    return key.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


def record_value(algorithm: Algorithm, public: bytes) -> str:
    """What the TXT record of a selector says. ``public`` as ``public_bytes`` gave it."""
    return f"v=DKIM1; k={algorithm.key_type}; p={base64.b64encode(public).decode()}"


def public_bytes(private: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """The public half as a record has it: a SubjectPublicKeyInfo for RSA, the 32 bytes of the key for Ed25519."""
    if isinstance(private, Ed25519PrivateKey):
        return private.public_key().public_bytes_raw()
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_bytes(private: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """The private half as PKCS #8 (RFC 5958). Never written to disk in this form."""
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def loaded(algorithm: Algorithm, private: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    """What ``private_bytes`` gave. ``TamperedError`` for anything else."""
    try:
        key = serialization.load_der_private_key(private, password=None)
    except ValueError:
        raise TamperedError("a DKIM key is not what was written") from None
    kind = Ed25519PrivateKey if algorithm is Algorithm.ED25519 else RSAPrivateKey
    if not isinstance(key, kind):
        raise TamperedError("a DKIM key is not of its kind")
    return key


def published_key(text: str) -> tuple[str, bytes] | None:
    """Key type and public half of a record as somebody published it; None when it is no usable record.

    RFC 6376 section 3.6.1: ``k=`` is rsa unless it is told; a missing or empty ``p=`` is a key that was revoked.
    """
    tags = dict(_tag(part) for part in text.split(";") if part.strip())
    try:
        public = base64.b64decode("".join(tags.get("p", "").split()), validate=True)
    except ValueError:
        return None
    if not public or tags.get("v", "DKIM1") != "DKIM1":
        return None
    return tags.get("k", "rsa").lower(), public


def _tag(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value.strip()


def _signature_field(key: SigningKey, present: Sequence[tuple[str, bytes]], digest: bytes, now: datetime) -> bytes:
    names = _names(present)
    lines = [
        f"{FIELD_NAME}: v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain};",
        f" s={key.selector}; t={int(now.timestamp())};",
        *_folded_names(names),
        f" bh={base64.b64encode(digest).decode()};",
        " b=",
    ]
    unsigned = "\r\n".join(lines)
    made = base64.b64encode(signature(key, signed_data(present, names, unsigned.encode("ascii")))).decode()
    folded = "\r\n ".join(made[start : start + _LINE_LENGTH] for start in range(0, len(made), _LINE_LENGTH))
    return f"{unsigned}{folded}\r\n".encode("ascii")


def _names(present: Sequence[tuple[str, bytes]]) -> list[str]:
    counts = [name for name, _ in present]
    return [name for name in SIGNED_FIELDS for _ in range(counts.count(name) + 1)]


def _folded_names(names: Sequence[str]) -> list[str]:
    lines, line = [], " h="
    for name in names:
        if len(line) + len(name) > _LINE_LENGTH:
            lines.append(line)
            line = "  "
        line += f"{name}:"
    return [*lines, line.removesuffix(":") + ";"]


def _relaxed_value(value: bytes) -> bytes:
    return _WHITE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
