"""Core: one thing that happened, in a canonical form that can be hashed for ever.

``docs/formats/audit-log.md`` is the format. An entry holds ids, event names and plain words: it stays readable
after the message it speaks of is destroyed, so it must never say what the message said or name a person.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailstore.instants import microseconds

Detail = Mapping[str, str | int]

MAX_DETAILS = 16
MAX_INTEGER = 2**53
"""Above this, some JSON readers round (RFC 8259 section 6)."""

_EVENT = re.compile(r"[a-z][a-z0-9_.\-]{0,63}")
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,63}")
_OBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/\-]{0,127}|")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+\-]{0,95}|")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


@dataclass(frozen=True)
class AuditFact:
    """What happened, before it has a place in the log.

    ``actor`` is an account id (or ``system``), ``object`` the id of what it happened to, possibly empty. Detail
    values are whole numbers or short single words; anything else is a ValueError, so that no free text gets in.
    """

    event: str
    actor: str
    object: str = ""
    detail: Detail = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern, value in ((_EVENT, self.event), (_ACTOR, self.actor), (_OBJECT, self.object)):
            if not pattern.fullmatch(value):
                raise ValueError("an audit entry takes ids and plain words only")
        if len(self.detail) > MAX_DETAILS:
            raise ValueError("too many details for an audit entry")
        for key, word in self.detail.items():
            if not _KEY.fullmatch(key) or not _is_plain(word):
                raise ValueError(f"audit detail {key[:32]!r} is not a plain word or number")


@dataclass(frozen=True)
class AuditEntry:
    """One fact in its place: ``sequence`` counts from 0 without gaps, ``at`` is when it was written."""

    sequence: int
    at: datetime
    event: str
    actor: str
    object: str
    detail: Detail

    def canonical(self) -> bytes:
        """The bytes that are hashed: JSON with sorted keys, no spaces, ASCII only, time in microseconds."""
        return _CANONICAL(
            {
                "actor": self.actor,
                "at": microseconds(self.at),
                "detail": dict(self.detail),
                "event": self.event,
                "object": self.object,
                "sequence": self.sequence,
            }
        ).encode("ascii")

    def leaf(self) -> bytes:
        """The leaf hash: SHA-256 over 0x00 and the canonical bytes (RFC 9162 section 2.1.1)."""
        return hashlib.sha256(b"\x00" + self.canonical()).digest()


def placed(fact: AuditFact, *, sequence: int, at: datetime) -> AuditEntry:
    """The entry that a fact becomes at its place in the log."""
    return AuditEntry(sequence, at, fact.event, fact.actor, fact.object, fact.detail)


def detail_text(detail: Detail) -> str:
    """Details as the row keeps them."""
    return _CANONICAL(dict(detail))


def detail_of(text: str) -> Detail:
    """Details from a row. Raises ValueError for text that this module would not have written."""
    detail = json.loads(text)
    if not isinstance(detail, dict) or _CANONICAL(detail) != text:
        raise ValueError("not the canonical form of audit details")
    return detail


def _is_plain(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    return isinstance(value, str) and _WORD.fullmatch(value) is not None
