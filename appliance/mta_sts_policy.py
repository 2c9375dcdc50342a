"""Core: what a domain says of its own mail servers by MTA-STS (RFC 8461): the announcement and the policy.

Both come from strangers: what does not keep to the form says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

LONGEST: Final = timedelta(seconds=31_557_600)
"""RFC 8461 section 3.2: the most that ``max_age`` may say."""

MOST_BYTES: Final = 65_536
"""RFC 8461 section 3.3 proposes 64 kilobytes as the most to read of a policy."""

_ANNOUNCED = re.compile(r"v=STSv1[ \t]*;(?P<fields>.*)", re.DOTALL)
_IDENTIFIER = re.compile(r"[ \t]*id[ \t]*=[ \t]*([A-Za-z0-9]{1,32})[ \t]*")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*+:[ \t]*+(.*)")
_PATTERN = re.compile(r"(\*\.)?(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")


class PolicyMode(StrEnum):
    """How binding the domain makes it (RFC 8461 section 5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class BadPolicyError(ValueError):
    """The text is no policy; says why."""


@dataclass(frozen=True)
class MtaStsPolicy:
    """One policy. ``patterns`` are names of mail servers, ``*.`` in front for one label of any kind."""

    mode: PolicyMode
    patterns: tuple[str, ...]
    max_age: timedelta

    @property
    def is_binding(self) -> bool:
        """Whether mail may only go to servers that it names."""
        return self.mode is PolicyMode.ENFORCE

    def covers(self, server_name: str) -> bool:
        """Whether it names this server (RFC 8461 section 4.1)."""
        name = server_name.lower().rstrip(".")
        return any(_matches(pattern, name) for pattern in self.patterns)


def announced_id(texts: Sequence[bytes]) -> str:
    """The id in the one TXT record that announces a policy; nothing when there is none, or more than one (3.1)."""
    told = [text.decode("ascii", "replace") for text in texts]
    announcements = [found for text in told if (found := _ANNOUNCED.fullmatch(text))]
    if len(announcements) != 1:
        return ""
    fields = announcements[0]["fields"].split(";")
    found = next((match for field in fields if (match := _IDENTIFIER.fullmatch(field))), None)
    return found[1] if found else ""


def parsed(text: str) -> MtaStsPolicy:
    """The policy in a text (RFC 8461 section 3.2). Told twice, the first counts. May be ``BadPolicyError``."""
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.split("\n"):
        found = _FIELD.fullmatch(line.removesuffix("\r").rstrip(" \t"))
        if found and found[1] == "mx":
            patterns.append(_pattern(found[2]))
        elif found:
            fields.setdefault(found[1], found[2])
        elif line.strip():
            raise BadPolicyError("a line is no field")
    if fields.get("version") != "STSv1":
        raise BadPolicyError("its version is not STSv1")
    try:
        mode = PolicyMode(fields.get("mode", ""))
    except ValueError:
        raise BadPolicyError("it says no mode that is known") from None
    if mode is not PolicyMode.NONE and not patterns:
        raise BadPolicyError("it names no server")
    return MtaStsPolicy(mode, tuple(patterns), _age(fields.get("max_age", "")))


def _age(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit() and len(text) <= len("31557600")):
        raise BadPolicyError("it does not say how long it holds")
    return min(timedelta(seconds=int(text)), LONGEST)


def _pattern(text: str) -> str:
    pattern = text.lower().rstrip(".")
    if not _PATTERN.fullmatch(pattern):
        raise BadPolicyError("it names a server by no host name")
    return pattern


def _matches(pattern: str, name: str) -> bool:
    """A star stands for exactly one label, the leftmost (RFC 8461 section 4.1)."""
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return name == pattern
