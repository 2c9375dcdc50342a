"""Core: the names of objects and spool segments. The only place that makes or judges one.

A name is random and reveals nothing: neither the message, nor its id, nor when it came.
"""

from __future__ import annotations

import re

from mailstore.errors import RefusedError
from mailstore.message import ID_BYTES, identifier_from
from mailstore.sealed_format import Randomness

_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
BEGINNINGS = tuple(_ALPHABET)
"""The first letter of every object's name, in the order in which names are sorted: to walk a store in parts."""

FOLDERS = tuple(first + second for first in BEGINNINGS for second in BEGINNINGS)
"""The first two."""

NEVER_THERE = f"{_ALPHABET[0] * 2}/{_ALPHABET[0] * 24}"
"""A name that no randomness will ever make: to ask a store something small."""

_OBJECT = re.compile(r"[a-z2-7]{2}/[a-z2-7]{24}\Z")
_SEGMENT = re.compile(r"[a-z2-7]{26}\.segment\Z")


def new_object_name(randomness: Randomness) -> str:
    """A fresh name of an object: two characters, a slash, 24 characters (spreads files over 1024 folders)."""
    return new_object_names(1, randomness)[0]


def new_object_names(count: int, randomness: Randomness) -> list[str]:
    """Fresh names of objects that are put together. They share a folder, so that it is synced once."""
    folder = identifier_from(randomness(ID_BYTES))[:2]
    return [f"{folder}/{identifier_from(randomness(ID_BYTES))[2:]}" for _ in range(count)]


def new_segment_name(randomness: Randomness) -> str:
    """A fresh name of a spool segment."""
    return f"{identifier_from(randomness(ID_BYTES))}.segment"


def checked_object_name(name: str) -> str:
    """``name``, when it is one that we make. Anything else (a path, say) is refused."""
    if not _OBJECT.match(name):
        raise RefusedError("that is not the name of an object")
    return name


def checked_segment_name(name: str) -> str:
    """``name``, when it is one that we make. Anything else (a path, say) is refused."""
    if not is_segment_name(name):
        raise RefusedError("that is not the name of a spool segment")
    return name


def is_segment_name(name: str) -> bool:
    """True when the name is one that ``new_segment_name`` could have made."""
    return _SEGMENT.match(name) is not None


def is_object_name(name: str) -> bool:
    """True when the name is one that ``new_object_name`` could have made."""
    return _OBJECT.match(name) is not None
