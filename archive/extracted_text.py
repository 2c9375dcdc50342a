"""Core: what reading an attachment comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CUT = "cut"
NOT_TAKEN_APART = "not-taken-apart"
OTHER = "other"

REASONS: Mapping[str, str] = {
    "bomb": "unpacks to far more than it is",
    "crashed": "made the reader of attachments fail",
    CUT: "holds more text than is taken in; the beginning can be found",
    "damaged": "is damaged, or not what it says it is",
    "encrypted": "is encrypted",
    "failed": "made the reader of attachments fail",
    "limit": "takes more time or memory to read than is given",
    "nested-too-deep": "holds messages within messages, too deep",
    "no-text-layer": "is a picture of text, such as a scan",
    NOT_TAKEN_APART: "cannot be told apart from the rest of its message",
    "old-office": "is of an old office format that is not read",
    OTHER: "cannot be read",
    "packed": "is an archive of files, which is not unpacked",
    "rtf": "is rich text (RTF), which is not read",
    "timeout": "takes too long to read",
    "too-large": "is too large to read",
    "unknown-kind": "is of an unknown kind",
}
"""Why a part was not read, or not whole: the word that is kept, and what it says of the part."""


def known_reason(reason: str) -> str:
    """The reason if it is one of ours: the process that reads attachments may be taken over and say anything."""
    return reason if reason in REASONS else OTHER


@dataclass(frozen=True)
class ExtractedText:
    """The text, empty for what holds none, such as a picture. ``is_whole`` is False when some of it was left out."""

    text: str = field(repr=False)
    is_whole: bool = True


@dataclass(frozen=True)
class Unreadable:
    """It may hold text and gave none. ``reason`` is one plain word, never text of the attachment."""

    reason: str


Extraction = ExtractedText | Unreadable
