"""Core: what reading an attachment comes to."""

from __future__ import annotations

from dataclasses import dataclass, field


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
