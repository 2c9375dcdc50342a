"""Core: what a receiving server answered (RFC 5321 section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

COMPLETED = 250
WILL_FORWARD = 251
PERMANENT = range(500, 600)
MAX_REPLY_TEXT = 500
"""Characters kept of what a server said."""


@dataclass(frozen=True)
class Reply:
    """What a server answered. ``code`` 0: it did not answer, and ``text`` says in our words why.

    ``is_unknown``: the message was on its way when the server vanished, so it may have it or not (RFC 1047).
    """

    code: int
    text: str = field(repr=False)
    is_unknown: bool = False

    @property
    def is_accepted(self) -> bool:
        """True when the server took responsibility."""
        return self.code in {COMPLETED, WILL_FORWARD}

    @property
    def is_permanent(self) -> bool:
        """True when trying again is of no use (RFC 5321 section 4.2.1)."""
        return self.code in PERMANENT

    @property
    def line(self) -> str:
        """The reply on one line, printable whatever the server sent."""
        printable = "".join(each if each.isprintable() else " " for each in self.text[: 4 * MAX_REPLY_TEXT])
        said = " ".join(printable.split())[:MAX_REPLY_TEXT]
        return f"{self.code} {said}" if self.code else said
