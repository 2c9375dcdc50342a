"""Core: what became of one attempt to reach one recipient."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.server_reply import Reply

ANSWER_UNKNOWN = "the message was on its way when the connection ended; it may have arrived"
"""Kept as the last reply from just before the message goes out until its answer is recorded (promise I4)."""


class Stage(StrEnum):
    """What was to be handed over: the message itself, or the notice that it waits in the portal."""

    MESSAGE = "message"
    NOTICE = "notice"


@dataclass(frozen=True)
class Taken:
    """The recipient's server took responsibility (RFC 5321 section 6.1)."""

    reply: str = field(repr=False)


@dataclass(frozen=True)
class ToPortal:
    """No server proved itself; the copy waits in the portal."""

    reasons: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class TryAgain:
    """It did not work this time. ``is_unknown``: the server may have the message all the same.

    ``reasons``: why no route could be decided yet, if that was the problem.
    """

    problem: str = field(repr=False)
    is_unknown: bool = False
    reasons: tuple[str, ...] | None = field(default=None, repr=False)

    @property
    def last_reply(self) -> str:
        """What is recorded; an unknown answer must not be forgotten, because the next copy is to be marked."""
        return ANSWER_UNKNOWN if self.is_unknown else self.problem


@dataclass(frozen=True)
class RefusedForGood:
    """The recipient's server, or the DNS, said that it is of no use to try again (RFC 5321 section 4.2.1)."""

    reply: str = field(repr=False)


Outcome = Taken | ToPortal | TryAgain | RefusedForGood


CONTENT_REFUSALS = re.compile(r"5\d\d 5\.(2\.3|3\.4|6\.[1379])\b")
"""The server takes mail for this recipient, and not a message of this size or kind (RFC 3463 X.2.3, X.3.4, X.6)."""


def not_for_this_server(why: str) -> ToPortal:
    """The server proved itself and cannot take this message; the recipient reads it in the portal instead."""
    return ToPortal((why[:1].upper() + why[1:], "So it is sent by portal"))


def of_message_reply(reply: Reply) -> Outcome:
    """What an answer to the message itself means: too large or of a kind they cannot take is no failure for us."""
    if CONTENT_REFUSALS.match(reply.line):
        return not_for_this_server(f"its server will not take this message: {reply.line}")
    return of_reply(reply)


def of_reply(reply: Reply) -> Taken | TryAgain | RefusedForGood:
    """What an answer in the mail transaction means. Anything odd is a reason to try again, never a loss."""
    if reply.is_accepted:
        return Taken(reply.line)
    if reply.is_permanent:
        return RefusedForGood(reply.line)
    return TryAgain(reply.line, is_unknown=reply.is_unknown)
