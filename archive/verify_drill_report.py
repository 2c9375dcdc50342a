"""Checks the report of a restore drill with nothing but Python: no network, no appliance, no other package.

    python3 -I verify_drill_report.py FILE --public-key PEM

Prints ``valid`` or the problems, one a line; exit status 0 valid, 1 not valid, 2 wrong call. ``verify_certificate.py``
has to lie beside it: the two spell, hash and sign alike. What is checked: the signature (Ed25519, RFC 8032), the
canonical form (RFC 8785 for the types used), and that the parts agree: a drill that says it passed lost nothing,
compared and opened every message of its sample, and found no key of what was disposed of.
``docs/formats/drill-report.md`` is the format.

``valid`` says that the practice signed this and that it does not contradict itself. Whether the drill passed stands in
it. Runs on Python 3.8 and later, and imports nothing of ours but the file beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence  # noqa: UP035  # this file also runs on Python 3.8

FORMAT = "strongroom-drill-report-1"
SIGNING_CONTEXT = b"strongroom/drill-report/v1\n"
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
_GENERATION = {"sequence": int, "as_of": _TIME, "listing": _HEX_32, "pieces": int, "bytes": int}

SHAPE: dict[str, Any] = {
    **dict.fromkeys(("format", "practice", "target", "opened_with"), str),
    "id": _ID,
    **dict.fromkeys(("begun_at", "ended_at"), _TIME),
    "data": _GENERATION,
    "keys": _GENERATION,
    "missing_pieces": int,
    "messages": {
        **dict.fromkeys(("in_backup", "without_key", "sampled", "compared", "opened", "bytes"), int),
        "leaves": [_HEX_32],
        "merkle_root": _HEX_32,
    },
    "ledger": {"pages": int, "destroyed": int, "with_key": int},
    "problems": [str],
    "passed": int,
    "public_key_fingerprint": _HEX_32,
    "signature": _HEX_64,
}
"""What stands in a report: every key, no other, and of which form. ``passed`` is 1 or 0."""


def problems_of(report: bytes, public_key_pem: bytes) -> list[str]:
    """Everything that is wrong with a report; an empty list means that it is valid, whether the drill passed or not."""
    try:
        key = _certificate.public_key_of(public_key_pem)
        document = _certificate.read(report)
    except _certificate.NotACertificateError as error:
        return [str(error).replace("certificate", "report")]
    found = list(_certificate.shape_problems(document, SHAPE, "report"))
    if found:
        return found
    found += [] if report == _certificate.canonical(document) else ["the file is not in canonical form"]
    return found + list(_agreement_problems(document)) + list(_signature_problems(document, key))


def signed_bytes(document: dict[str, Any]) -> bytes:
    """What the signature of a report covers: the purpose, then everything but the signature itself."""
    told = {key: value for key, value in document.items() if key != "signature"}
    return SIGNING_CONTEXT + bytes(_certificate.canonical(told))


def _agreement_problems(document: dict[str, Any]) -> Iterator[str]:
    messages, times = document["messages"], [document["begun_at"], document["ended_at"]]
    leaves = [bytes.fromhex(leaf) for leaf in messages["leaves"]]
    if _certificate.merkle_root(leaves).hex() != messages["merkle_root"]:
        yield "the Merkle root is not that of the leaves"
    if len(set(leaves)) != len(leaves) or len(leaves) != messages["sampled"]:
        yield "the leaves are not those of the sample"
    if (
        messages["sampled"] > messages["in_backup"]
        or max(messages["compared"], messages["opened"]) > messages["sampled"]
    ):
        yield "more was looked at than there was"
    if times != sorted(times):
        yield "the drill ended before it began"
    failed = bool(
        document["problems"]
        or document["missing_pieces"]
        or document["ledger"]["with_key"]
        or messages["without_key"]
        or (messages["in_backup"] and not messages["sampled"])
        or messages["compared"] != messages["sampled"]
        or messages["opened"] != messages["sampled"]
    )
    if document["passed"] != int(not failed):
        yield "what it says of itself is not what it found"


def _signature_problems(document: dict[str, Any], key: bytes) -> Iterator[str]:
    if document["format"] != FORMAT:
        yield f"the format is not {FORMAT}"
    if document["public_key_fingerprint"] != _certificate.fingerprint_of(key):
        yield "the report names another public key than the one given"
    if not _certificate.is_signed(key, signed_bytes(document), bytes.fromhex(document["signature"])):
        yield "the signature does not verify under the public key given"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the file named on the command line; the exit status."""
    parser = argparse.ArgumentParser(description="Check the report of a restore drill.")
    parser.add_argument("file", type=Path, help="the report, a JSON file")
    parser.add_argument("--public-key", type=Path, required=True, help="the practice's key, a PEM file")
    asked = parser.parse_args(arguments)
    try:
        report, public_key = asked.file.read_bytes(), asked.public_key.read_bytes()
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return 2
    problems = problems_of(report, public_key)
    shown = (line.encode("ascii", "backslashreplace").decode("ascii") for line in problems)
    sys.stdout.write("".join(f"{line}\n" for line in shown) or "valid\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
