"""Core: what becomes of a message by what the scanners said of it.

A virus is refused, and so is what rspamd would reject; what it would mark goes into the folder for junk. A scanner that
gives no answer lets mail through, unscanned and marked so, or puts it off (451): each by its own setting, since the
harm differs. Junk that gets through costs somebody a look; a virus that gets through may cost the practice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Final

from mailstore.message import Scan
from portal.front_door import Refused

VIRUS: Final = "virus"
JUNK: Final = "junk"
UNSCANNED: Final = "not_scanned"


class WhenDown(StrEnum):
    """What happens to mail while a scanner gives no answer."""

    ACCEPT = "accept"
    DEFER = "defer"


class Junk(Enum):
    """What rspamd would do (https://docs.rspamd.com/configuration/metrics/): nothing, mark it, wait, or reject it.

    SILENT: it gave no answer. OFF: nobody asked.
    """

    OFF = auto()
    CLEAN = auto()
    MARK = auto()
    WAIT = auto()
    REJECT = auto()
    SILENT = auto()


class Virus(Enum):
    """What clamd said. SILENT: it gave no answer. OFF: nobody asked."""

    OFF = auto()
    CLEAN = auto()
    FOUND = auto()
    SILENT = auto()


@dataclass(frozen=True)
class ScanPolicy:
    """What the settings say. ``rejects_junk``: refuse what rspamd would reject; file it as junk otherwise."""

    junk_when_down: WhenDown = WhenDown.ACCEPT
    virus_when_down: WhenDown = WhenDown.DEFER
    rejects_junk: bool = True


@dataclass(frozen=True)
class PutOff:
    """The message is to come again later."""

    code: str = UNSCANNED


def decided(junk: Junk, virus: Virus, policy: ScanPolicy) -> Scan | Refused | PutOff:
    """Refused above put off above junk above taken: nothing that is harmful is let in for want of another answer."""
    if virus is Virus.FOUND:
        return Refused(VIRUS, "The message carries a virus.")
    if junk is Junk.REJECT and policy.rejects_junk:
        return Refused(JUNK, "The message is junk.")
    if _must_wait(junk, virus, policy):
        return PutOff()
    if junk in {Junk.MARK, Junk.REJECT}:
        return Scan.JUNK
    return Scan.UNSCANNED if junk is Junk.SILENT or virus is Virus.SILENT else Scan.CLEAN


def _must_wait(junk: Junk, virus: Virus, policy: ScanPolicy) -> bool:
    """True when somebody asked for it, or gave no answer that we do without."""
    return (
        junk is Junk.WAIT
        or (junk is Junk.SILENT and policy.junk_when_down is WhenDown.DEFER)
        or (virus is Virus.SILENT and policy.virus_when_down is WhenDown.DEFER)
    )


_ACTIONS: Final = {
    "no action": Junk.CLEAN,
    "greylist": Junk.CLEAN,
    "add header": Junk.MARK,
    "rewrite subject": Junk.MARK,
    "quarantine": Junk.MARK,
    "soft reject": Junk.WAIT,
    "reject": Junk.REJECT,
}
"""Greylisting is not ours: a first message of somebody unknown is what a practice's mail is made of."""


def of_action(action: object) -> Junk:
    """What rspamd's word for what to do comes to; a word that is not known is no answer."""
    return _ACTIONS.get(action, Junk.SILENT) if isinstance(action, str) else Junk.SILENT
