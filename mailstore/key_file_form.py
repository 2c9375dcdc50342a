"""Core: the form in which the files of ``keys/`` are written: one to the byte, and under a seal of the root key."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from mailstore.errors import TamperedError
from mailstore.sealed_format import derive

VERSION: Final = 2
SLOTS: Final = "slots.json"
MEMBERS: Final = "keyring.json"
CAPTURE_PUBLIC: Final = "capture.pub"
RECOVERY: Final = "recovery.json"
NEXT: Final = "next.json"
RESTORE: Final = "Restore keys/ from a backup of the keys."


def canonical(value: object) -> bytes:
    """The one form in which a file of ours is written: whatever differs from it was changed."""
    return json.dumps(value, indent=1).encode() + b"\n"


def parsed(data: bytes, name: str) -> dict[str, Any]:
    """A JSON file of ours. ``TamperedError`` naming it unless it is to the byte as we write it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise tampered(name) from None
    if not isinstance(value, dict) or canonical(value) != data:
        raise tampered(name)
    return value


def sealed(value: Mapping[str, Any], *, root: bytes, name: str) -> bytes:
    """A JSON file with a keyed digest over all of it, which only who has the root key can make."""
    return canonical({**value, "seal": text(_digest(value, root, name))})


def verify_seal(value: Mapping[str, Any], *, root: bytes, name: str) -> None:
    """``TamperedError`` naming the file when its keyed digest is not that of what it says."""
    body = {word: each for word, each in value.items() if word != "seal"}
    if not hmac.compare_digest(_digest(body, root, name), raw(value.get("seal"), name)):
        raise tampered(name)


def text(data: bytes) -> str:
    """Base64 (RFC 4648 section 4)."""
    return b64encode(data).decode("ascii")


def raw(told: object, name: str) -> bytes:
    """Base64 in its one canonical form: bits that a decoder would ignore are changes too (RFC 4648 section 3.5)."""
    try:
        data = b64decode(str(told), validate=True)
    except ValueError:
        raise tampered(name) from None
    if text(data) != told:
        raise tampered(name)
    return data


def tampered(name: str) -> TamperedError:
    """The error for a file of ``keys/`` that is not as it was written."""
    return TamperedError(f"keys/{name} is not what was written", fix=RESTORE)


def _digest(body: Mapping[str, Any], root: bytes, name: str) -> bytes:
    return hmac.digest(derive(root, info=f"strongroom/keys/v2/seal/{name}".encode()), canonical(body), "sha256")
