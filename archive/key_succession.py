"""The disposal key's succession: which key took the place of which, signed by both, in ``certificates/``.

A stranger follows it with ``verify_succession``. The old seed itself is gone with the rotation that made the step.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import verify_certificate, verify_succession
from mailstore import durable_file
from mailstore.errors import TamperedError

FILE: Final = "succession.json"


def add(directory: Path, *, old_seed: bytes, new_seed: bytes, at: datetime) -> None:
    """Put down, durably, that the new key takes the place of the old one. Before the old one is let go.

    A step from the same key that stands there already belongs to a rotation that was cut off: nobody has that new key.
    """
    old, new = (Ed25519PrivateKey.from_private_bytes(seed) for seed in (old_seed, new_seed))
    step = {
        "from": old.public_key().public_bytes_raw().hex(),
        "to": new.public_key().public_bytes_raw().hex(),
        "at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    before = [each for each in _steps(directory) if each["from"] != step["from"]]
    told = verify_succession.signed_bytes(step)
    step |= {"signature_from": old.sign(told).hex(), "signature_to": new.sign(told).hex()}
    document = {"format": verify_succession.FORMAT, "steps": [*before, step]}
    durable_file.make_directory(directory)
    durable_file.replace(directory / FILE, verify_certificate.canonical(document))


def keys(directory: Path, public_key: bytes) -> tuple[bytes, ...]:
    """The keys, in PEM, that are the practice's if that one (in PEM too) is; the oldest first."""
    path = directory / FILE
    if not path.exists():
        return (public_key,)
    own = verify_certificate.public_key_of(public_key)
    try:
        line = verify_succession.line_of(path.read_bytes(), own)
    except ValueError:
        return (public_key,)
    return tuple(public_key if key == own else verify_succession.pem_of(key) for key in line)


def let_go_at(directory: Path, line: tuple[bytes, ...]) -> dict[bytes, datetime]:
    """When each key of a line (``keys``) was let go. Nothing that says it was signed later is believed of it.

    Steps out of the line count for nothing: whoever kept an old key can sign those, and date them as he likes.
    """
    pem = verify_succession.pem_of
    return {
        pem(old): datetime.fromisoformat(at)
        for (old, new), at in verify_succession.proved(_steps(directory))
        if pem(old) in line and pem(new) in line
    }


def signer_of(certificate: bytes, candidates: tuple[bytes, ...], *, otherwise: bytes) -> bytes:
    """The key, of these, that a certificate names as its own."""
    try:
        named = verify_certificate.read(certificate).get("public_key_fingerprint")
    except verify_certificate.NotACertificateError:
        return otherwise
    own = {verify_certificate.fingerprint_of(verify_certificate.public_key_of(pem)): pem for pem in candidates}
    return own.get(str(named), otherwise)


def _steps(directory: Path) -> list[dict[str, str]]:
    """What stands there. ``TamperedError`` for a file that is none of these: nothing is built on it."""
    path = directory / FILE
    if not path.exists():
        return []
    try:
        return verify_succession.steps_of(path.read_bytes())
    except ValueError as error:
        raise TamperedError(f"certificates/{FILE} is not what was written", fix="restore it from a backup") from error
