"""Checks a certificate of disposal with nothing but Python: no network, no appliance, no other package.

    python3 -I verify_certificate.py FILE --public-key PEM

Prints ``valid`` or the problems, one a line; exit status 0 valid, 1 not valid, 2 wrong call. What is checked: the
signature (Ed25519, RFC 8032), the canonical form (RFC 8785 for the types used), the Merkle root over what was
destroyed and the proof that the audit log holds the entry (RFC 9162 section 2.1), the signature of the log's
checkpoint, and that the parts agree with each other. ``docs/formats/disposal-certificate.md`` is the format.

Whether the public key is the practice's own is for the reader to know: take it from the practice, not from whoever
hands over the certificate. Runs on Python 3.8 and later, and imports nothing of ours.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any, Iterator, NoReturn, Sequence  # noqa: UP035  # this file also runs on Python 3.8

FORMAT = "strongroom-disposal-certificate-1"
CERTIFICATE_BYTES_MAX = 64 * 1024 * 1024
PUBLIC_KEY_BYTES_MAX = 4_096
NESTING_MAX = 8
INTEGER_DIGITS_MAX = 16
INTEGER_MAX = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly (RFC 7493 section 2.2)."""

SIGNING_CONTEXT = b"strongroom/disposal-certificate/v1\n"
CHECKPOINT_HEADER = "strongroom audit checkpoint v1"
COMPLETED = "disposal.completed"

_HEX_32, _HEX_64 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
_ID = re.compile(r"[a-z2-7]{26}")
_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z", re.ASCII)
_PERSON = {"account": _ID, "name": str, "role": str, "at": _TIME}

SHAPE: dict[str, Any] = {
    **dict.fromkeys(("format", "practice"), str),
    **dict.fromkeys(("approved_count", "count"), int),
    **dict.fromkeys(("id", "disposal"), _ID),
    **dict.fromkeys(("cooled_off_at", "issued_at"), _TIME),
    **dict.fromkeys(("proposed", "approved", "run"), _PERSON),
    **dict.fromkeys(("set_hash", "merkle_root", "public_key_fingerprint"), _HEX_32),
    "authority": {
        **dict.fromkeys(("schedule", "proposed_by", "approved_by"), _ID),
        "approved_at": _TIME,
        "categories": [{"name": str, "title": str, "retain": str, "clock": str, "citation": str, "count": int}],
    },
    "destroyed": {"first_at": _TIME, "last_at": _TIME, "completed_at": _TIME},
    "kept": [{"why": str, "count": int}],
    "leaves": [_HEX_32],
    "method": {"standard": str, "steps": [{"place": str, "done": str}]},
    "residual_risks": [str],
    "audit": {
        "entry": str,
        "index": int,
        "path": [_HEX_32],
        "checkpoint": {"size": int, "root": _HEX_32, "at": int, "signature": _HEX_64, "public_key": _HEX_32},
    },
    "signature": _HEX_64,
}
"""What stands in a certificate: every key, no other, and of which form. A list has any number of its one form."""


class NotACertificateError(ValueError):
    """The file cannot be taken apart far enough to check anything else."""


def problems_of(certificate: bytes, public_key_pem: bytes) -> list[str]:
    """Everything that is wrong with a certificate; an empty list means that it is valid."""
    try:
        key = public_key_of(public_key_pem)
        document = read(certificate)
    except NotACertificateError as error:
        return [str(error)]
    if found := list(shape_problems(document, SHAPE, "certificate")):
        return found
    found += [] if certificate == canonical(document) else ["the file is not in canonical form"]
    for check in (_set_problems, _people_problems, _audit_problems):
        found += check(document)
    return found + list(_signature_problems(document, key))


def read(certificate: bytes) -> dict[str, Any]:
    """The JSON object of a file. Raises ``NotACertificateError`` for what two readers could take differently."""
    if len(certificate) > CERTIFICATE_BYTES_MAX:
        raise NotACertificateError("the file is larger than any certificate")
    if _nesting(certificate) > NESTING_MAX:
        raise NotACertificateError("the file nests deeper than any certificate")
    try:
        document = json.loads(
            certificate.decode("utf-8"),
            object_pairs_hook=_no_key_twice,
            parse_int=_whole_number,
            parse_float=_no_fraction,
            parse_constant=_no_fraction,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise NotACertificateError("the file is not JSON in UTF-8") from error
    if not isinstance(document, dict):
        raise NotACertificateError("the file is no JSON object")
    return document


def canonical(document: Any) -> bytes:
    """The one spelling of a JSON value (RFC 8785; our keys are ASCII and our numbers whole)."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def signed_bytes(document: dict[str, Any]) -> bytes:
    """What the signature of a certificate covers: the purpose, then everything but the signature itself."""
    return SIGNING_CONTEXT + canonical({key: value for key, value in document.items() if key != "signature"})


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one leaf (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree head over leaf hashes (RFC 9162 section 2.1.1)."""
    level = list(leaves)
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


def root_by_path(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to; None when the proof has not the length it must have.

    RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if node % 2 or node == last:
            root = _node(step, root)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            root = _node(root, step)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def public_key_of(pem: bytes) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM (RFC 8410 section 4)."""
    text = pem[: PUBLIC_KEY_BYTES_MAX + 1].decode("ascii", "replace").strip()
    found = re.fullmatch(r"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----", text)
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
    except binascii.Error:
        der = b""
    if len(pem) > PUBLIC_KEY_BYTES_MAX or not der.startswith(_SPKI) or len(der) != len(_SPKI) + _POINT_BYTES:
        raise NotACertificateError("the public key is no Ed25519 public key in PEM")
    return der[len(_SPKI) :]


_SPKI = bytes.fromhex("302a300506032b6570032100")


def fingerprint_of(key: bytes) -> str:
    """The name of a public key: SHA-256 of its DER form, as ``openssl pkey -pubin -outform DER`` gives it."""
    return hashlib.sha256(_SPKI + key).hexdigest()


def _signature_problems(document: dict[str, Any], key: bytes) -> Iterator[str]:
    if document["format"] != FORMAT:
        yield f"the format is not {FORMAT}"
    if document["public_key_fingerprint"] != fingerprint_of(key):
        yield "the certificate names another public key than the one given"
    if not is_signed(key, signed_bytes(document), bytes.fromhex(document["signature"])):
        yield "the signature does not verify under the public key given"


def _set_problems(document: dict[str, Any]) -> Iterator[str]:
    leaves = [bytes.fromhex(leaf) for leaf in document["leaves"]]
    if merkle_root(leaves).hex() != document["merkle_root"]:
        yield "the Merkle root is not that of the leaves"
    if len(set(leaves)) != len(leaves):
        yield "a leaf stands in the list twice"
    if not leaves or document["count"] != len(leaves):
        yield "the count is not that of the leaves"
    kept, categories = document["kept"], document["authority"]["categories"]
    if any(part["count"] < 1 for part in (*kept, *categories)):
        yield "a part counts less than one record"
    if sum(category["count"] for category in categories) != document["count"]:
        yield "the categories do not add up to the count"
    if document["count"] + sum(reason["count"] for reason in kept) != document["approved_count"]:
        yield "destroyed and kept do not add up to what was approved"


def _people_problems(document: dict[str, Any]) -> Iterator[str]:
    if document["proposed"]["account"] == document["approved"]["account"]:
        yield "the one who proposed also approved"
    if document["authority"]["proposed_by"] == document["authority"]["approved_by"]:
        yield "the one who proposed the schedule also approved it"
    destroyed = document["destroyed"]
    times = [document["authority"]["approved_at"]]
    times += [document["proposed"]["at"], document["approved"]["at"], document["cooled_off_at"]]
    times += [document["run"]["at"], destroyed["first_at"], destroyed["last_at"]]
    times += [destroyed["completed_at"], document["issued_at"]]
    if times != sorted(times):
        yield "the times are not in the order in which things must have happened"


def _audit_problems(document: dict[str, Any]) -> Iterator[str]:
    audit, checkpoint = document["audit"], document["audit"]["checkpoint"]
    try:
        written = audit["entry"].encode("ascii")
        entry = read(written)
    except ValueError:
        yield "the audit entry cannot be read"
        return
    size, root = checkpoint["size"], bytes.fromhex(checkpoint["root"])
    path = [bytes.fromhex(step) for step in audit["path"]]
    if root_by_path(leaf_hash(written), index=audit["index"], size=size, path=path) != root:
        yield "the audit entry is not in the log that the checkpoint names"
    note = f"{CHECKPOINT_HEADER}\n{size}\n{checkpoint['root']}\n{checkpoint['at']}\n".encode("ascii")
    if not is_signed(bytes.fromhex(checkpoint["public_key"]), note, bytes.fromhex(checkpoint["signature"])):
        yield "the signature of the checkpoint does not verify"
    yield from _entry_problems(document, entry)


def _entry_problems(document: dict[str, Any], entry: dict[str, Any]) -> Iterator[str]:
    detail = entry.get("detail")
    told = {"certificate": document["id"], **{name: document[name] for name in ("merkle_root", "count", "set_hash")}}
    if entry.get("event") != COMPLETED or entry.get("object") != document["disposal"]:
        yield "the audit entry is not about the completion of this disposal"
    if not isinstance(detail, dict) or any(detail.get(name) != value for name, value in told.items()):
        yield "the audit entry says something else than the certificate"


def shape_problems(value: Any, shape: Any, place: str) -> Iterator[str]:
    """What of a document does not have the form that belongs there; the verifier of drill reports asks here too."""
    if isinstance(shape, dict):
        if not isinstance(value, dict) or value.keys() != shape.keys():
            yield f"{place}: not the parts that belong there"
            return
        for key, form in shape.items():
            yield from shape_problems(value[key], form, f"{place}.{key}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place}: not a list"
            return
        wrong = (p for at, part in enumerate(value) for p in shape_problems(part, shape[0], f"{place}[{at}]"))
        yield from (problem for problem, _ in zip(wrong, range(10)))  # noqa: B905  # Python 3.8 has no strict=
    elif shape in (str, int):
        if type(value) is not shape:
            yield f"{place}: not a {'text' if shape is str else 'whole number'}"
    elif not isinstance(value, str) or not shape.fullmatch(value):
        yield f"{place}: not of the right form"


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def _nesting(data: bytes) -> int:
    depth = deepest = 0
    for token in _TOKEN.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotACertificateError("a key stands twice in one JSON object")
    return found


def _whole_number(text: str) -> int:
    if len(text) > INTEGER_DIGITS_MAX or not 0 <= int(text) <= INTEGER_MAX:
        raise NotACertificateError("a number is larger than every reader can keep, or below zero")
    return int(text)


def _no_fraction(_text: str) -> NoReturn:
    raise NotACertificateError("a number is not whole")


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


_POINT_BYTES, _SIGNATURE_BYTES = 32, 64
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_IDENTITY = (0, 1, 1, 0)


def is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """True when the signature is by that key over that message (RFC 8032 section 5.1.7).

    Stricter than the paragraph: points of small order are refused in both places, so that no signature fits two
    messages, and a scalar of at least L is refused, so that no second signature can be made from a first.
    """
    signed_by, commitment = _point(key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if len(signature) != _SIGNATURE_BYTES or signed_by is None or commitment is None or scalar >= _L:
        return False
    if _is_of_small_order(signed_by) or _is_of_small_order(commitment):
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    return _same(_times(_BASE, scalar), _sum(commitment, _times(signed_by, challenge)))


def _sum(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """RFC 8032 section 5.1.4, in extended homogeneous coordinates."""
    low = (a[1] - a[0]) * (b[1] - b[0]) % _P
    high = (a[1] + a[0]) * (b[1] + b[0]) % _P
    twist = 2 * a[3] * b[3] * _D % _P
    scale = 2 * a[2] * b[2] % _P
    e, f, g, h = high - low, scale - twist, scale + twist, high + low
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(point: tuple[int, ...], scalar: int) -> tuple[int, ...]:
    """Not in constant time: everything here is public."""
    found: tuple[int, ...] = _IDENTITY
    while scalar:
        if scalar & 1:
            found = _sum(found, point)
        point, scalar = _sum(point, point), scalar >> 1
    return found


def _same(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % _P == 0 and (a[1] * b[2] - b[1] * a[2]) % _P == 0


def _is_of_small_order(point: tuple[int, ...]) -> bool:
    return _same(_times(point, 8), _IDENTITY)


def _point(encoded: bytes) -> tuple[int, ...] | None:
    """RFC 8032 section 5.1.3; None for what is no canonical encoding of a point."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    if len(encoded) != _POINT_BYTES or y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return (x, y, 1, x * y % _P)


_BASE = _point(bytes.fromhex("58" + "66" * 31)) or _IDENTITY


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the file named on the command line; the exit status."""
    parser = argparse.ArgumentParser(description="Check a certificate of disposal.")
    parser.add_argument("file", type=Path, help="the certificate, a JSON file")
    parser.add_argument("--public-key", type=Path, required=True, help="the practice's disposal key, a PEM file")
    asked = parser.parse_args(arguments)
    try:
        certificate = _contents(asked.file, CERTIFICATE_BYTES_MAX)
        public_key = _contents(asked.public_key, PUBLIC_KEY_BYTES_MAX)
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return 2
    problems = problems_of(certificate, public_key)
    sys.stdout.write("".join(f"{_shown(line)}\n" for line in problems) or "valid\n")
    return 1 if problems else 0


def _contents(path: Path, most: int) -> bytes:
    """The bytes of a file, one more than allowed at the most, so that a huge one is noticed and not loaded."""
    with path.open("rb") as file:
        return file.read(most + 1)


def _shown(line: str) -> str:
    """A line that a terminal shows and does not obey."""
    return line.encode("ascii", "backslashreplace").decode("ascii") if line.isprintable() else repr(line)


if __name__ == "__main__":
    sys.exit(main())
