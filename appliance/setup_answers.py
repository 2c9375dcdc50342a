"""Core: what ``strongroom setup`` is told: by a program as one JSON object, by a person question by question.

Nothing is guessed. A word that is not known, or a value of another kind, refuses the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from mailstore.errors import RefusedError

SHORTEST_PASSPHRASE: Final = 20
"""Characters of a passphrase that opens the practice: six random words are 30 and more."""

MOST_WORDS: Final = 2_000
Part = TypeVar("Part")


@dataclass(frozen=True)
class PracticeAnswer:
    """Whose mail lives here."""

    name: str
    domain: str


@dataclass(frozen=True)
class AdministratorAnswer:
    """The first person who may do everything that an administrator may."""

    email: str
    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class SharingAnswer:
    """How many shares there shall be, and how many of them open the practice."""

    need: int
    of: int


@dataclass(frozen=True)
class SetupAnswers:
    """What was told so far; None for what was not. ``read_back``: the words of each share, from paper."""

    practice: PracticeAnswer | None = None
    passphrase: str | None = field(default=None, repr=False)
    administrator: AdministratorAnswer | None = None
    shares: SharingAnswer | None = None
    read_back: tuple[str, ...] = field(default=(), repr=False)


def understood(text: str) -> SetupAnswers:
    """The answers in a JSON object; an empty text is none. ``RefusedError`` names what is not understood."""
    try:
        told = json.loads(text or "{}")
    except ValueError:
        raise _not_understood("what came on stdin is not JSON") from None
    known = {"practice", "passphrase", "administrator", "shares", "read_back"}
    if not isinstance(told, dict) or told.keys() - known:
        raise _not_understood("the answers have a part that nobody asked for")
    return SetupAnswers(
        practice=_part(told, "practice", PracticeAnswer, {"name": str, "domain": str}),
        passphrase=_passphrase(told.get("passphrase")),
        administrator=_part(told, "administrator", AdministratorAnswer, {"email": str, "name": str, "password": str}),
        shares=_part(told, "shares", SharingAnswer, {"need": int, "of": int}),
        read_back=_read_back(told.get("read_back", [])),
    )


def passphrase_problem(passphrase: str) -> str:
    """Why a new passphrase is not good enough, or nothing."""
    if len(passphrase.strip()) < SHORTEST_PASSPHRASE:
        return f"it takes {SHORTEST_PASSPHRASE} characters or more: six random words"
    return ""


def _part(told: Mapping[str, Any], word: str, made: Callable[..., Part], kinds: Mapping[str, type]) -> Part | None:
    given = told.get(word)
    if given is None:
        return None
    is_whole = isinstance(given, dict) and given.keys() == kinds.keys()
    if not is_whole or any(type(given[name]) is not kind for name, kind in kinds.items()):
        raise _not_understood(f"{word} takes {', '.join(kinds)}")
    return made(**given)


def _passphrase(given: Any) -> str | None:
    if given is not None and (not isinstance(given, str) or not given):
        raise _not_understood("passphrase takes text")
    return given


def _read_back(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) and len(each) <= MOST_WORDS for each in given):
        raise _not_understood("read_back takes a list with the words of each share")
    return tuple(given)


def _not_understood(message: str) -> RefusedError:
    return RefusedError(message, fix="see docs/operations/install.md")
