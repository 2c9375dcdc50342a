"""Core: one line of the doctor's report: what was looked at, how it is, what was seen, and what to do about it.

The command, the page of the administrator and the mails about alarms all show these.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailstore.errors import StrongroomError

logger = logging.getLogger(__name__)

BROKEN_OFF: Final = "open"
"""The check of a look that ended early: of every line that it would have come to nothing is known."""

SEE_LOG: Final = "see the log; if it happens again, it is an error of ours: report it"


class State(StrEnum):
    """How a check came out. ``OFF``: it does not apply here, for the practice does without what it looks at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    OFF = "off"


@dataclass(frozen=True)
class Finding:
    """One line. ``check`` names it by a word that stays the same; ``fix`` is said whenever all is not well.

    ``is_alarm``: somebody must hear of it by mail although nothing has failed yet. Neither word holds anything of mail:
    ids and names of the machine's own things alone. ``is_unknown``: what this line and those below it are about could
    not be asked, so that what was known of them before still holds.
    """

    check: str
    state: State
    message: str
    fix: str = ""
    is_alarm: bool = False
    is_unknown: bool = False

    @property
    def calls_somebody(self) -> bool:
        """True for what is told by mail: what has failed, and what is an alarm."""
        return self.state is State.FAIL or (self.state is State.WARN and self.is_alarm)


Seen = tuple[State, str, str]
"""What a look came to: the state, what was seen, and what to do about it."""


def guarded(check: str, look: Callable[[], Seen], *, is_alarm: bool = False) -> Finding:
    """A finding whatever happens: what could not be looked at has failed."""
    try:
        return Finding(check, *look(), is_alarm=is_alarm)
    except StrongroomError as error:
        return Finding(check, State.FAIL, error.message, error.fix)
    except OSError as error:
        told = f"could not be looked at: {error.strerror or type(error).__name__}"
        return Finding(check, State.FAIL, told, "check owner and mode of the files")
    except Exception as error:
        logger.exception("a look broke off", extra={"check": check})
        return Finding(check, State.FAIL, f"could not be looked at: {type(error).__name__}", SEE_LOG)


def unbroken(look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """All that a look finds; what breaks it off is a finding itself, so that every other look is still made."""
    try:
        yield from look()
    except StrongroomError as error:
        yield Finding(BROKEN_OFF, State.FAIL, error.message, error.fix, is_unknown=True)
    except Exception as error:
        logger.exception("a look broke off")
        told = f"a look broke off: {type(error).__name__}"
        yield Finding(BROKEN_OFF, State.FAIL, told, SEE_LOG, is_unknown=True)
