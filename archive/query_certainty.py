"""Core: whether a message matches a query when a part of it could not be read. Then "perhaps" is an answer too."""

from __future__ import annotations

from archive.index_document import Field, IndexDocument
from archive.query_conditions import AllOf, AnyOf, CategoryIs, Leaf, Not, Prefix, Query, Words, matches

TEXT_FIELDS = frozenset({None, Field.BODY, Field.FILENAME, Field.ATTACHMENT})
"""Where the words of an unread part might stand: file names too, because such a part may hold others."""


def answer(query: Query, document: IndexDocument, *, is_whole: bool) -> bool | None:
    """True or False where that is sure, None where a part that could not be read might decide (Kleene's logic)."""
    match query:
        case Not(inner):
            return _opposite(answer(inner, document, is_whole=is_whole))
        case AllOf(queries):
            return _every([answer(part, document, is_whole=is_whole) for part in queries])
        case AnyOf(queries):
            return _opposite(_every([_opposite(answer(part, document, is_whole=is_whole)) for part in queries]))
        case _:
            if matches(query, document):
                return True
            return None if not is_whole and _may_stand_in_text(query) else False


def _every(answers: list[bool | None]) -> bool | None:
    if False in answers:
        return False
    return None if None in answers else True


def _opposite(found: bool | None) -> bool | None:  # noqa: FBT001  # the answer itself, not a switch
    return None if found is None else not found


def _may_stand_in_text(leaf: Leaf) -> bool:
    match leaf:
        case Words(where, _) | Prefix(where, _):
            return where in TEXT_FIELDS
        case CategoryIs():
            return True
        case _:
            return False
