"""Letters that can be told apart: everything of a letter follows from its name, so that any copy can be held to it."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from dataclasses import asdict, dataclass
from typing import Any

ANN = "ann@clinic.example"
PARTNER_DOMAIN = "partner.example"
OUTSIDE = f"somebody@{PARTNER_DOMAIN}"
NAME = re.compile(rb"letter-[a-z0-9]+-\d+-\d+")
DOOMED, LITIGATED = "newsletter", "litigated"
"""The words by which a letter falls due at once, and by which a hold covers it."""


@dataclass(frozen=True)
class Letter:
    """One letter. ``enclosed`` names an attachment that other letters of the same name carry too, byte for byte."""

    name: str
    characters: int = 500
    is_doomed: bool = False
    is_litigated: bool = False
    is_outbound: bool = False
    enclosed: str = ""

    @property
    def recipient(self) -> str:
        """Where it goes: to Ann, or out of the house, written by her."""
        return OUTSIDE if self.is_outbound else ANN

    @property
    def sender(self) -> str:
        """Who wrote it."""
        return ANN if self.is_outbound else "outside@elsewhere.example"

    @property
    def content(self) -> bytes:
        """The whole message, the same every time."""
        head = [
            f"From: {self.sender}",
            f"To: {self.recipient}",
            f"Subject: {DOOMED if self.is_doomed else 'report'} {self.name}",
        ]
        body = [LITIGATED if self.is_litigated else "usual", *_words(self.name, self.characters)]
        lines = [*head, "", *body] if not self.enclosed else _with_enclosure(head, body, self.enclosed)
        return "\r\n".join([*lines, ""]).encode()

    @property
    def digest(self) -> str:
        """What its content comes to."""
        return hashlib.sha256(self.content).hexdigest()

    def told(self) -> dict[str, Any]:
        """As the child is told of it."""
        return asdict(self)


def _words(name: str, characters: int) -> list[str]:
    """Lines that compress as prose does, and that no other letter has."""
    chance = random.Random(name)  # noqa: S311 - the same letter every time
    words = [chance.choice(("blood", "result", "visit", "knee", chance.randbytes(4).hex())) for _ in range(12)]
    line = " ".join(words)
    return [f"{number} {line}"[:900] for number in range(max(1, characters // (len(line) + 4)))]


def _with_enclosure(head: list[str], body: list[str], enclosed: str) -> list[str]:
    chance = random.Random(enclosed)  # noqa: S311 - the same attachment every time
    text = base64.encodebytes(chance.randbytes(90_000)).decode().splitlines()
    return [
        *head,
        'Content-Type: multipart/mixed; boundary="b"',
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        *body,
        "--b",
        "Content-Type: image/png",
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment; filename="{enclosed}.png"',
        "",
        *text,
        "--b--",
    ]
