"""Checks the certificate of a decommission with nothing but Python: no network, no appliance, no other package.

    python3 -I verify_decommission.py FILE --public-key PEM

Prints ``valid`` or the problems, one a line; exit status 0 valid, 1 not valid, 2 wrong call. ``verify_certificate.py``
has to lie beside it: the two spell, hash and sign alike. The key of the practice dies with what it certifies. So it
signs the order, which names a second key, made for this one purpose; that one signs what was done, and dies as well.
What is checked: both signatures (Ed25519, RFC 8032), the canonical form (RFC 8785 for the types used), that two persons
agreed, that the times are in order, and that the audit log tells of the beginning. ``docs/formats/decommission.md`` is
the format. Runs on Python 3.8 and later, and imports nothing of ours but the file beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence  # noqa: UP035  # this file also runs on Python 3.8

FORMAT = "strongroom-decommission-1"
ORDER_CONTEXT = b"strongroom/decommission-order/v1\n"
COMPLETION_CONTEXT = b"strongroom/decommission-completion/v1\n"
BEGUN = "decommission.begun"
_BESIDE = "verify_certificate"


def _beside() -> Any:
    """The file beside this one, loaded by its place: run with ``-I`` no folder is looked through."""
    if _BESIDE in sys.modules:
        return sys.modules[_BESIDE]
    spec = importlib.util.spec_from_file_location(_BESIDE, Path(__file__).resolve().with_name(f"{_BESIDE}.py"))
    if spec is None or spec.loader is None:
        raise SystemExit(f"{_BESIDE}.py has to lie beside this file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_BESIDE] = module
    spec.loader.exec_module(module)
    return module


_certificate = _beside()
_ID, _HEX_32, _HEX_64, _TIME = (
    re.compile(r"[a-z2-7]{26}"),
    re.compile(r"[0-9a-f]{64}"),
    re.compile(r"[0-9a-f]{128}"),
    (re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z", re.ASCII)),
)
_PERSON = {"account": _ID, "name": str, "role": str, "at": _TIME}

SHAPE: dict[str, Any] = {
    "order": {
        "format": str,
        "id": _ID,
        "practice": str,
        **dict.fromkeys(("proposed", "approved", "begun"), _PERSON),
        "cooled_off_at": _TIME,
        "messages": int,
        "holds": [_ID],
        "terms": _HEX_32,
        "ways_in": [{"id": str, "kind": str}],
        "key_copies": [{"name": str, "until": str}],
        "completion_key": _HEX_32,
        "audit": {
            "entry": str,
            "index": int,
            "path": [_HEX_32],
            "checkpoint": {"size": int, "root": _HEX_32, "at": int, "signature": _HEX_64, "public_key": _HEX_32},
        },
        "public_key_fingerprint": _HEX_32,
        "signature": _HEX_64,
    },
    "completion": {
        "order": _HEX_32,
        "completed_at": _TIME,
        "done": [{"place": str, "done": str}],
        "out_of_reach": [{"name": str, "why": str}],
        "residual_risks": [str],
        "signature": _HEX_64,
    },
}
"""What stands in a certificate: every key, no other, and of which form."""


def problems_of(certificate: bytes, public_key_pem: bytes) -> list[str]:
    """Everything that is wrong with a certificate; an empty list means that it is valid."""
    try:
        key = _certificate.public_key_of(public_key_pem)
        document = _certificate.read(certificate)
    except _certificate.NotACertificateError as error:
        return [str(error)]
    found = list(_certificate.shape_problems(document, SHAPE, "certificate"))
    if found:
        return found
    found += [] if certificate == _certificate.canonical(document) else ["the file is not in canonical form"]
    for check in (_people_problems, _audit_problems):
        found += check(document["order"])
    return found + list(_signature_problems(document, key))


def order_problems(order: dict[str, Any], key: bytes) -> list[str]:
    """What is wrong with an order alone, under the practice's key: for whoever goes on with one that was cut off."""
    found = list(_certificate.shape_problems(order, SHAPE["order"], "order"))
    return found or [*_people_problems(order), *_audit_problems(order), *_order_signature_problems(order, key)]


def order_bytes(order: dict[str, Any]) -> bytes:
    """What the practice signs: the purpose, then everything but the signature."""
    return ORDER_CONTEXT + _unsigned(order)


def completion_bytes(completion: dict[str, Any]) -> bytes:
    """What the key of this one purpose signs, likewise."""
    return COMPLETION_CONTEXT + _unsigned(completion)


def digest_of(order: dict[str, Any]) -> str:
    """The order that a completion speaks of."""
    return hashlib.sha256(_certificate.canonical(order)).hexdigest()


def _unsigned(document: dict[str, Any]) -> bytes:
    return bytes(_certificate.canonical({key: value for key, value in document.items() if key != "signature"}))


def _people_problems(order: dict[str, Any]) -> Iterator[str]:
    if order["format"] != FORMAT:
        yield f"the format is not {FORMAT}"
    if order["proposed"]["account"] == order["approved"]["account"]:
        yield "the one who proposed also approved"
    holds = {"holds": sorted(set(order["holds"]))}
    if hashlib.sha256(_certificate.canonical(holds)).hexdigest() != order["terms"]:
        yield "the holds are not those that both persons named"
    times = [order["proposed"]["at"], order["approved"]["at"], order["begun"]["at"]]
    if times != sorted(times):
        yield "the times are not in the order in which things must have happened"


def _audit_problems(order: dict[str, Any]) -> Iterator[str]:
    audit, checkpoint = order["audit"], order["audit"]["checkpoint"]
    try:
        written = audit["entry"].encode("ascii")
        entry = _certificate.read(written)
    except ValueError:
        yield "the audit entry cannot be read"
        return
    size, root = checkpoint["size"], bytes.fromhex(checkpoint["root"])
    path = [bytes.fromhex(step) for step in audit["path"]]
    leaf = _certificate.leaf_hash(written)
    if _certificate.root_by_path(leaf, index=audit["index"], size=size, path=path) != root:
        yield "the audit entry is not in the log that the checkpoint names"
    head = _certificate.CHECKPOINT_HEADER
    note = f"{head}\n{size}\n{checkpoint['root']}\n{checkpoint['at']}\n".encode("ascii")
    if not _certificate.is_signed(
        bytes.fromhex(checkpoint["public_key"]), note, bytes.fromhex(checkpoint["signature"])
    ):
        yield "the signature of the checkpoint does not verify"
    detail = entry.get("detail")
    if entry.get("event") != BEGUN or entry.get("object") != order["id"]:
        yield "the audit entry is not about the beginning of this decommission"
    if not isinstance(detail, dict) or detail.get("terms") != order["terms"]:
        yield "the audit entry says something else than the certificate"


def _order_signature_problems(order: dict[str, Any], key: bytes) -> Iterator[str]:
    if order["public_key_fingerprint"] != _certificate.fingerprint_of(key):
        yield "the certificate names another public key than the one given"
    if not _certificate.is_signed(key, order_bytes(order), bytes.fromhex(order["signature"])):
        yield "the signature of the order does not verify under the public key given"


def _signature_problems(document: dict[str, Any], key: bytes) -> Iterator[str]:
    order, completion = document["order"], document["completion"]
    yield from _order_signature_problems(order, key)
    if completion["order"] != digest_of(order):
        yield "what was done is told of another order"
    if completion["completed_at"] < order["begun"]["at"]:
        yield "it was completed before it began"
    by = bytes.fromhex(order["completion_key"])
    if not _certificate.is_signed(by, completion_bytes(completion), bytes.fromhex(completion["signature"])):
        yield "the signature of what was done does not verify under the key that the order names"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the file named on the command line; the exit status."""
    parser = argparse.ArgumentParser(description="Check the certificate of a decommission.")
    parser.add_argument("file", type=Path, help="the certificate, a JSON file")
    parser.add_argument("--public-key", type=Path, required=True, help="the practice's key, a PEM file")
    asked = parser.parse_args(arguments)
    try:
        certificate, public_key = asked.file.read_bytes(), asked.public_key.read_bytes()
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return 2
    problems = problems_of(certificate, public_key)
    shown = (line.encode("ascii", "backslashreplace").decode("ascii") for line in problems)
    sys.stdout.write("".join(f"{line}\n" for line in shown) or "valid\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
