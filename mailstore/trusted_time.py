"""Core: what time it is as far as it can be proved, for decisions that end something for ever (promise I10).

The wall clock is a claim: whoever owns the machine can set it. What it claims counts only as far as it agrees with
time that was counted since (the kernel's uptime) or with a witness outside this process. So the trusted time never
runs ahead of the time that has really passed; it may lag behind, which keeps things longer.

Told readings and the last state that was kept, this module answers ``Trusted`` or ``Frozen``. A jump forward freezes
until a witness or two persons confirm it, or until the clock is right again; a clock set back freezes as well, and
the trusted time goes on counting meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

TOLERANCE: Final = timedelta(hours=1)
"""How far the wall clock may stand from the trusted time. It gains nobody anything: up to it the trusted time counts
by itself, without the wall clock. It only decides when people are asked."""

CLAIM_LIVES: Final = timedelta(hours=24)
"""How long a first person's word waits for a second one."""


class Doubt(StrEnum):
    """Why the time cannot be trusted, as a word that programs share."""

    AHEAD = "clock_ahead"
    BEHIND = "clock_behind"

    @property
    def words(self) -> str:
        """The doubt as a sentence for people."""
        return _WORDS[self]


_WORDS = {
    Doubt.AHEAD: "the clock stands further ahead than time has been seen to pass",
    Doubt.BEHIND: "the clock stands before a time that has passed already",
}


@dataclass(frozen=True)
class Witness:
    """What somebody else than the wall clock says the time is, at the moment of a reading."""

    name: str
    at: datetime


@dataclass(frozen=True)
class Reading:
    """What the machine says at one moment.

    ``uptime`` counts since ``boot`` and nobody can set it while the machine runs; sleep is counted in.
    """

    wall: datetime
    boot: str
    uptime: timedelta
    witnesses: tuple[Witness, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One person's word that the wall clock was right, waiting for another person's."""

    by: str
    wall: datetime
    uptime: timedelta


@dataclass(frozen=True)
class Known:
    """What was kept of the last reading: the trusted time then, and where the counting goes on from."""

    trusted: datetime
    boot: str
    uptime: timedelta
    frozen_since: datetime | None = None
    claim: Claim | None = None


@dataclass(frozen=True)
class Trusted:
    """It is ``now`` at least, and the wall clock agrees."""

    now: datetime


@dataclass(frozen=True)
class Frozen:
    """Nothing that time allows may happen. It is ``now`` at least; ``since`` is when that was first seen."""

    now: datetime
    doubt: Doubt
    since: datetime


Judgement = Trusted | Frozen


def begun(reading: Reading) -> Known:
    """The first state of a directory: its birth, when there is nothing yet that could expire."""
    return Known(max([reading.wall, *_agreeing(reading)]), reading.boot, reading.uptime)


def counted(known: Known, reading: Reading) -> datetime:
    """The trusted time without any clock: what was kept, and what has been counted since on the same boot.

    After a restart nothing can be counted: however long the machine was off, it says so itself and nobody else.
    """
    if reading.boot != known.boot or reading.uptime < known.uptime:
        return known.trusted
    return known.trusted + (reading.uptime - known.uptime)


def judged(known: Known, reading: Reading) -> Judgement:
    """Whether the time can be trusted at this reading."""
    least = counted(known, reading)
    agreeing = _agreeing(reading)
    since = known.frozen_since or least
    if reading.wall < least - TOLERANCE:
        return Frozen(least, Doubt.BEHIND, since)
    if agreeing:
        return Trusted(max(least, *agreeing))
    if reading.wall > least + TOLERANCE:
        return Frozen(least, Doubt.AHEAD, since)
    return Trusted(least)


def kept(known: Known, reading: Reading) -> Known:
    """The state to go on from: what is trusted now, and since when it is not."""
    judgement = judged(known, reading)
    since = judgement.since if isinstance(judgement, Frozen) else None
    claim = known.claim if since and _lives(known, reading) else None
    return Known(judgement.now, reading.boot, reading.uptime, since, claim)


def claimed(known: Known, reading: Reading, *, by: str) -> Known:
    """The state with one person's word that the wall clock is right. It changes nothing that is trusted."""
    return replace(kept(known, reading), claim=Claim(by, reading.wall, reading.uptime))


def is_confirmed_by(known: Known, reading: Reading, *, by: str) -> bool:
    """True when another person has said the same of this very clock, running since without a break."""
    claim = known.claim
    if claim is None or claim.by == by or not _lives(known, reading):
        return False
    told = claim.wall + (reading.uptime - claim.uptime)
    return abs(reading.wall - told) <= TOLERANCE


def confirmed(reading: Reading) -> Known:
    """The state after two persons have said that the wall clock is right: it counts on from there."""
    return Known(reading.wall, reading.boot, reading.uptime)


def _lives(known: Known, reading: Reading) -> bool:
    """True while the claim is of this boot and not older than ``CLAIM_LIVES``."""
    claim = known.claim
    if claim is None or reading.boot != known.boot:
        return False
    return timedelta(0) <= reading.uptime - claim.uptime <= CLAIM_LIVES


def _agreeing(reading: Reading) -> list[datetime]:
    """What the witnesses say, when they agree with the wall clock; nothing when one of them says it is earlier.

    A witness that is later than the wall clock is no reason to hurry: the clock is behind, and says so by itself.
    """
    if any(witness.at < reading.wall - TOLERANCE for witness in reading.witnesses):
        return []
    return [witness.at for witness in reading.witnesses if witness.at <= reading.wall + TOLERANCE]
