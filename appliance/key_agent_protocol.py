"""Core: what is asked of the key agent and what it answers: the frames of ``role_charge``, one answer a question.

``docs/formats/key-hierarchy.md`` ("Pipes between our processes") says the same for strangers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mailstore.errors import (
    LimitExceededError,
    NotFoundError,
    RefusedError,
    SealedError,
    StorageUnavailableError,
    StrongroomError,
    TamperedError,
    WrongKeyError,
)
from mailstore.key_hierarchy import MessageKey
from mailstore.key_opener import OpenedKey
from mailstore.keystore import WrappedKey
from mailstore.message import MessageId

MOST_KEYS: Final = 128
"""Of one question: it stays below the length that a frame may have."""

LONGEST_FIELD: Final = 128
"""Bytes of any one column of a wrapped key. One that is longer was changed."""

_ERRORS: Final[Mapping[str, type[StrongroomError]]] = {
    kind.code: kind
    for kind in (
        LimitExceededError,
        NotFoundError,
        RefusedError,
        SealedError,
        StorageUnavailableError,
        TamperedError,
        WrongKeyError,
    )
}


class MalformedError(ValueError):
    """Not a question that this protocol knows."""


def can_be_told(wrapped: WrappedKey) -> bool:
    """False for a row with a column longer than any we write."""
    return max(map(len, _columns(wrapped))) <= LONGEST_FIELD and len(wrapped.message) <= LONGEST_FIELD


def overlong(wrapped: WrappedKey) -> TamperedError:
    """What is wrong with such a row."""
    return TamperedError(f"keystore row message_keys/{wrapped.message[:LONGEST_FIELD]} was changed")


def open_request(wrapped: Sequence[WrappedKey]) -> dict[str, Any]:
    """The question for message keys."""
    return {"ask": "open", "keys": [_told(each) for each in wrapped]}


def wrapped_of(request: Mapping[str, Any]) -> list[WrappedKey]:
    """The wrapped keys in a question. ``MalformedError`` for anything that ``open_request`` does not make."""
    keys = request.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        raise MalformedError("a question for keys names some")
    return [_wrapped(each) for each in keys]


def opened_answer(opened: Sequence[OpenedKey]) -> dict[str, Any]:
    """The answer to it: a key, or what is wrong with it."""
    return {"keys": [error_told(each) if isinstance(each, StrongroomError) else each.hex() for each in opened]}


def opened_of(answer: Mapping[str, Any]) -> list[OpenedKey]:
    """The keys in an answer."""
    return [_opened(each) for each in answer["keys"]]


def error_told(error: StrongroomError) -> list[str]:
    """An error as three words: its code, what is wrong, how to mend it."""
    return [error.code, error.message, error.fix]


def error_of(told: Sequence[str]) -> StrongroomError:
    """The error that was told. One of a kind unknown here keeps its code, and counts as a fault of our own."""
    code, message, fix = map(str, told)
    error = _ERRORS.get(code, StorageUnavailableError)(message, fix=fix)
    error.code = code
    return error


def _told(wrapped: WrappedKey) -> list[str]:
    return [wrapped.message, *(column.hex() for column in _columns(wrapped))]


def _columns(wrapped: WrappedKey) -> tuple[bytes, ...]:
    return wrapped.batch, wrapped.sealed_for, wrapped.wrapped_batch_key, wrapped.wrapped_message_key


def _wrapped(told: object) -> WrappedKey:
    match told:
        case [str(message), str(batch), str(sealed_for), str(batch_key), str(message_key)]:
            columns = [_bytes(each) for each in (batch, sealed_for, batch_key, message_key)]
            return WrappedKey(MessageId(message), *columns)
    raise MalformedError("a wrapped key has five columns")


def _bytes(told: str) -> bytes:
    if len(told) > 2 * LONGEST_FIELD:
        raise MalformedError("a column is too long")
    try:
        return bytes.fromhex(told)
    except ValueError:
        raise MalformedError("a column is not hexadecimal") from None


def _opened(told: str | list[str]) -> OpenedKey:
    if isinstance(told, str):
        return MessageKey(bytes.fromhex(told))
    error = error_of(told)
    return error if isinstance(error, WrongKeyError | TamperedError) else TamperedError(error.message, fix=error.fix)
