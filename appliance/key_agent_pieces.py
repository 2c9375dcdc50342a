"""What the key agent is asked for a restore drill: the key of one file of a backup, never what opens all of them.

Each counts as many message keys against the asker's rate: a file holds the sealed bytes of some hundred messages, or
wrapped keys. Whoever takes the worker over reads backups no faster than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from appliance.key_agent_protocol import MalformedError
from mailstore.backup_listing import GenerationKind
from mailstore.backup_piece import HEAD_BYTES

COST_IN_KEYS: Final = 20


class OpensPieces(Protocol):
    """``mailstore.restore_source.PieceOpener``, of which the roles that ask need to know no more."""

    def piece_key(self, head: bytes, kind: GenerationKind) -> bytes:
        """The key of one file of a backup."""


def request(head: bytes, kind: GenerationKind) -> dict[str, Any]:
    """What is asked, but for the word that asks it."""
    return {"head": head.hex(), "kind": kind.value}


def answer(opener: OpensPieces, question: Mapping[str, Any]) -> dict[str, Any]:
    """The key of the piece. ``MalformedError`` for what ``request`` would not say; raises as ``PieceOpener``."""
    try:
        head, kind = bytes.fromhex(str(question["head"])), GenerationKind(question["kind"])
    except (LookupError, ValueError):
        raise MalformedError("a piece of a backup has a head and a kind") from None
    if len(head) != HEAD_BYTES:
        raise MalformedError("a piece of a backup has a head of another length")
    return {"key": opener.piece_key(head, kind).hex()}


def key_in(told: Mapping[str, Any]) -> bytes:
    """The key out of an answer."""
    return bytes.fromhex(told["key"])
