"""Follows a practice's disposal key to the one that took its place, with nothing but Python and the file beside it.

    python3 -I verify_succession.py succession.json --public-key PEM

Prints the newest key in PEM, for ``verify_certificate.py`` and ``verify_drill_report.py``; exit status 0, 1 when the
key named has no successor here, 2 wrong call. ``verify_certificate.py`` has to lie beside it. A step counts when both
keys signed it: the old one names its successor, and the new one says that it is that. So whoever trusts either may
trust the other, and nobody with another key gets into the line. ``docs/formats/disposal-certificate.md`` is the format.

Runs on Python 3.8 and later, and imports nothing of ours but the file beside it.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence  # noqa: UP035  # this file also runs on Python 3.8

FORMAT = "strongroom-key-succession-1"
SIGNING_CONTEXT = b"strongroom/key-succession/v1\n"
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
_HEX_32, _HEX_64 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z", re.ASCII)

SHAPE: dict[str, Any] = {
    "format": str,
    "steps": [
        {
            **dict.fromkeys(("from", "to"), _HEX_32),
            "at": _TIME,
            **dict.fromkeys(("signature_from", "signature_to"), _HEX_64),
        }
    ],
}
"""What stands in the file: every key, no other, and of which form."""


def steps_of(succession: bytes) -> list[dict[str, Any]]:
    """The steps, oldest first. ``verify_certificate.NotACertificateError`` for a file that is not one of these."""
    document = _certificate.read(succession)
    problems = list(_certificate.shape_problems(document, SHAPE, "succession"))
    if problems or document["format"] != FORMAT or succession != _certificate.canonical(document):
        raise _certificate.NotACertificateError("the file is no succession of keys")
    steps: list[dict[str, Any]] = document["steps"]
    return steps


def signed_bytes(step: dict[str, Any]) -> bytes:
    """What both signatures of a step cover."""
    told: bytes = _certificate.canonical({name: step[name] for name in ("from", "to", "at")})
    return SIGNING_CONTEXT + told


def line_of(succession: bytes, key: bytes) -> list[bytes]:
    """Every key that is the practice's if ``key`` is, the oldest first. Raises as ``steps_of``."""
    steps = [keys for keys, _ in proved(steps_of(succession))]
    line = [key]
    for old, new in steps:
        if old == line[-1] and new not in line:
            line.append(new)
    for old, new in reversed(steps):
        if new == line[0] and old not in line:
            line.insert(0, old)
    return line


def pem_of(key: bytes) -> bytes:
    """A public key as ``verify_certificate.public_key_of`` reads it (RFC 8410 section 4)."""
    text = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + key)
    return b"-----BEGIN PUBLIC KEY-----\n" + text + b"\n-----END PUBLIC KEY-----\n"


def proved(steps: Sequence[dict[str, Any]]) -> Iterator[tuple[tuple[bytes, bytes], str]]:
    """The keys of each step that both of them signed, and when it was."""
    for step in steps:
        keys = bytes.fromhex(step["from"]), bytes.fromhex(step["to"])
        signatures = bytes.fromhex(step["signature_from"]), bytes.fromhex(step["signature_to"])
        if all(_certificate.is_signed(key, signed_bytes(step), by) for key, by in zip(keys, signatures)):  # noqa: B905  # Python 3.8 has no strict=
            yield keys, step["at"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the newest key of the line that the key named stands in; the exit status."""
    parser = argparse.ArgumentParser(description="Follow a practice's disposal key to the one that took its place.")
    parser.add_argument("file", type=Path, help="the succession, a JSON file")
    parser.add_argument("--public-key", type=Path, required=True, help="a key that is known to be the practice's")
    asked = parser.parse_args(arguments)
    try:
        key = _certificate.public_key_of(asked.public_key.read_bytes())
        line = line_of(asked.file.read_bytes(), key)
    except OSError as error:
        sys.stderr.write(f"cannot read {error.filename}: {error.strerror}\n")
        return 2
    except _certificate.NotACertificateError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if line[-1] == key:
        sys.stderr.write("this key has no successor here\n")
        return 1
    sys.stdout.write(pem_of(line[-1]).decode("ascii"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
