"""Core: what is asked of the key agent and what it answers: the frames of ``role_charge``, one answer a question.

``docs/formats/key-hierarchy.md`` ("Pipes between our processes") says the same for strangers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mailstore.document_signing import DocumentKind
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

PART_BYTES: Final = 24 * 1024
"""Of a document that much travels in one question at most, for the same reason."""

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


def sign_requests(kind: DocumentKind, document: bytes) -> list[dict[str, Any]]:
    """The questions for a signature: the document in parts. The last one is answered with the signature."""
    starts = range(0, len(document), PART_BYTES)
    parts = [document[start : start + PART_BYTES].hex() for start in starts]
    return [
        {"ask": "sign", "kind": kind, "part": part, "last": number == len(parts)}
        for number, part in enumerate(parts, 1)
    ]


def part_of(request: Mapping[str, Any]) -> tuple[DocumentKind, bytes, bool]:
    """The kind of a document, a part of it, and whether it is the last. ``MalformedError`` as ``wrapped_of``."""
    try:
        kind, part, is_last = DocumentKind(request["kind"]), bytes.fromhex(request["part"]), request["last"]
    except (LookupError, TypeError, ValueError):
        raise MalformedError("a part of a document has a kind, bytes, and whether it is the last") from None
    if not isinstance(is_last, bool) or not 0 < len(part) <= PART_BYTES:
        raise MalformedError("a part of a document is empty, too long, or does not say whether it is the last")
    return kind, part, is_last


def signed_answer(signature: bytes) -> dict[str, Any]:
    """The answer to the last of them."""
    return {"signature": signature.hex()}


def signature_of(answer: Mapping[str, Any]) -> bytes:
    """The signature in it."""
    return bytes.fromhex(answer["signature"])


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
