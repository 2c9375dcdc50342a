"""Core: what lies beside the backups so that a secret opens them: unlock slots, and recovery keys under the root key.

It is made from the files of ``keys/`` as they stand: nothing has to be opened for it, and nothing else goes along.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore.backup_listing import GenerationKind, canonical
from mailstore.document_signing import signing_public
from mailstore.errors import RefusedError, TamperedError
from mailstore.instants import instant_of
from mailstore.key_file_form import MEMBERS, SLOTS, VERSION
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.key_ring_file import LABEL, RECOVERIES
from mailstore.sealed_format import NONCE_BYTES, derive

FORMAT: Final = "strongroom/backup-ways-in/v1"
_AUDIT: Final = "audit_seed"
_CARRIED: Final = (*RECOVERIES, _AUDIT)


@dataclass(frozen=True)
class RecoveryKeys:
    """What a root key opens here: the pairs of each recovery key, the present one first, and the seed that signs."""

    data: tuple[CaptureKeyPair, ...]
    keys: tuple[CaptureKeyPair, ...]
    audit_seed: bytes = field(repr=False)

    def of(self, kind: GenerationKind) -> tuple[CaptureKeyPair, ...]:
        """The pairs that open a kind of generation."""
        return self.data if kind is GenerationKind.DATA else self.keys


@dataclass(frozen=True)
class WaysIn:
    """The file, understood. ``slots``: ``keys/slots.json`` to the byte."""

    practice: str
    slots: bytes = field(repr=False)
    _told: Mapping[str, Any] = field(repr=False)

    def opened(self, root: bytes) -> RecoveryKeys:
        """The recovery keys. ``TamperedError`` for what the root key does not open, or does not belong together."""
        ring = self._told["keyring"]
        members = {name: _member(root, name, ring["members"][name]) for name in _CARRIED}
        retired: dict[str, list[tuple[int, bytes]]] = {name: [] for name in RECOVERIES}
        for each in ring["retired"]:
            name, at = str(each["name"]), int(each["retired_at"])
            retired[name].append((at, _member(root, f"retired/{name}/{at}", each["sealed"])))
        pairs = {name: _pairs(members[name], retired[name]) for name in RECOVERIES}
        found = RecoveryKeys(pairs["data_recovery"], pairs["keys_recovery"], members[_AUDIT])
        self._require_publics(found)
        return found

    def _require_publics(self, found: RecoveryKeys) -> None:
        told = self._told
        publics = {
            "data_recovery_public": found.data[0].public,
            "keys_recovery_public": found.keys[0].public,
            "audit_public": signing_public(found.audit_seed),
        }
        for name, public in publics.items():
            if told[name] != public.hex():
                raise TamperedError(f"{name} in the ways in of the backup does not belong to the key that was opened")


def made(files: Mapping[str, bytes], *, practice: str, audit_public: bytes, publics: Mapping[str, bytes]) -> bytes:
    """The file, from the files of ``keys/`` by their names.

    ``publics``: those of the recovery keys. ``RefusedError`` for ``keys/`` in its first form, which has none.
    """
    ring = json.loads(files[MEMBERS])
    if ring.get("version") != VERSION:
        raise RefusedError("keys/ is of its first form and has no recovery keys", fix="run: strongroom key rotate")
    told = {
        "format": FORMAT,
        "practice": practice,
        "audit_public": audit_public.hex(),
        "data_recovery_public": publics["data_recovery"].hex(),
        "keys_recovery_public": publics["keys_recovery"].hex(),
        "slots": b64encode(files[SLOTS]).decode("ascii"),
        "keyring": {
            "version": VERSION,
            "members": {name: ring["members"][name] for name in _CARRIED},
            "retired": [each for each in ring["retired"] if each["name"] in RECOVERIES],
        },
    }
    return canonical(told) + b"\n"


def understood(data: bytes) -> WaysIn:
    """The file, its form looked at. ``TamperedError`` for anything that ``made`` would not give."""
    try:
        told = json.loads(data)
        ring = told["keyring"]
        is_whole = (
            told["format"] == FORMAT
            and ring["version"] == VERSION
            and set(ring["members"]) == set(_CARRIED)
            and all(each["name"] in RECOVERIES and instant_of(int(each["retired_at"])) for each in ring["retired"])
            and canonical(told) + b"\n" == data
        )
        slots = b64decode(told["slots"], validate=True)
        practice = str(told["practice"])
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise TamperedError("the ways in of the backup are not what was written")
    return WaysIn(practice, slots, told)


def _pairs(present: bytes, retired: list[tuple[int, bytes]]) -> tuple[CaptureKeyPair, ...]:
    return tuple(CaptureKeyPair.of(each) for each in (present, *(key for _, key in sorted(retired, reverse=True))))


def _member(root: bytes, name: str, told: object) -> bytes:
    """As ``keys/keyring.json`` has it: docs/formats/key-hierarchy.md."""
    label = (LABEL + name).encode()
    try:
        sealed = b64decode(str(told), validate=True)
        return AESGCM(derive(root, info=label)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label)
    except (InvalidTag, ValueError):
        raise TamperedError(f"{name} in the ways in of the backup is not what was written") from None
