"""Core: who may ask the key agent for what, and how fast.

A process that is taken over gets what its row says and no more. The one that faces the internet can ask for nothing
that opens mail; those that show or work on mail get each message key singly, at a rate. Which documents each may have
signed says ``signing_policy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Asker(StrEnum):
    """Who asks. Roles are known by the connection that the supervisor gave them, commands by their user."""

    SMTP = "smtp"
    MAIL = "mail"
    WORKER = "worker"
    OPENING = "opening"
    SEALED_SMTP = "sealed-smtp"
    SEALED_MAIL = "sealed-mail"
    COMMAND = "command"


class Ask(StrEnum):
    """What can be asked."""

    STATUS = "status"
    """Whether it is open, and how its keys were used."""

    UNSEAL = "unseal"
    """Open with a secret."""

    SEAL = "seal"
    """Close at once."""

    DEPOSIT_KEYS = "deposit-keys"
    """What takes mail in."""

    WORKING_KEYS = "working-keys"
    """What reads and seals rows."""

    OPEN = "open"
    """The keys of messages."""

    OPEN_PIECE = "open-piece"
    """The key of one file of a backup, for restore drills."""

    SIGN = "sign"
    """A signature under a document, of a kind that the asker may have signed (``signing_policy``)."""

    FOLLOW = "follow"
    """The phase, now and at each change."""

    PREPARED = "prepared"
    """Nothing: says that the rows are ready, so that the other roles begin."""

    ADVANCING = "advancing"
    """Nothing: says how far the rows are, so that the other roles go on waiting."""

    END = "end"
    """Nothing: the appliance works in another place now and ends here."""


_MAY: Final[Mapping[Asker, frozenset[Ask]]] = {
    Asker.SMTP: frozenset({Ask.DEPOSIT_KEYS, Ask.FOLLOW}),
    Asker.MAIL: frozenset({Ask.STATUS, Ask.SEAL, Ask.WORKING_KEYS, Ask.OPEN, Ask.SIGN, Ask.FOLLOW}),
    Asker.WORKER: frozenset(
        {
            Ask.STATUS,
            Ask.WORKING_KEYS,
            Ask.OPEN,
            Ask.OPEN_PIECE,
            Ask.SIGN,
            Ask.FOLLOW,
            Ask.PREPARED,
            Ask.ADVANCING,
            Ask.END,
        }
    ),
    Asker.OPENING: frozenset({Ask.WORKING_KEYS}),
    Asker.SEALED_SMTP: frozenset(),
    Asker.SEALED_MAIL: frozenset({Ask.STATUS, Ask.UNSEAL}),
    Asker.COMMAND: frozenset({Ask.STATUS, Ask.UNSEAL, Ask.SEAL, Ask.WORKING_KEYS, Ask.OPEN, Ask.OPEN_PIECE, Ask.SIGN}),
}


DOORS: Final[Mapping[str, tuple[Asker, ...]]] = {
    "smtp": (Asker.SMTP,),
    "mail": (Asker.MAIL, Asker.SEALED_MAIL),
    "worker": (Asker.WORKER,),
}
"""Where each role is a unit of its own: whoever comes to the socket of this name is one of these."""


def may(asker: Asker, ask: Ask) -> bool:
    """True when ``asker`` may ask that at all."""
    return ask in _MAY[asker]


def as_whom(askers: tuple[Asker, ...], ask: Ask) -> Asker:
    """As whom of these somebody asks that: one who may, else the first."""
    return next((each for each in askers if may(each, ask)), askers[0])


@dataclass(frozen=True)
class Rate:
    """How many message keys one asker gets: ``per_minute`` for ever, ``at_once`` after a quiet time."""

    per_minute: int
    at_once: int

    @property
    def per_second(self) -> float:
        """The same as a speed."""
        return self.per_minute / 60.0


@dataclass(frozen=True)
class Allowance:
    """What is left for one asker, as of a moment in seconds of a clock that never goes back. Below zero is debt."""

    left: float
    at: float

    @classmethod
    def full(cls, rate: Rate, *, now: float) -> Allowance:
        """For an asker that has been quiet."""
        return cls(float(rate.at_once), now)

    def taken(self, count: int, rate: Rate, *, now: float) -> tuple[Allowance, float]:
        """After ``count`` keys, and how many seconds they have to wait for. Following up is slowed, never ended."""
        refilled = min(float(rate.at_once), self.left + (now - self.at) * rate.per_second)
        left = refilled - count
        return replace(self, left=left, at=now), max(0.0, -left / rate.per_second)
