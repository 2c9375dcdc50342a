"""Core: whether a message matches a query when a part of it could not be read, or clocks differ about when it came.

Then "perhaps" is an answer too.
"""

from __future__ import annotations

from archive.index_document import Field, IndexDocument
from archive.query_conditions import (
    AllOf,
    AnyOf,
    CategoryIs,
    Leaf,
    Not,
    Prefix,
    Query,
    ReceivedBefore,
    ReceivedFrom,
    Words,
    matches,
)
from archive.receipt_time import ReceiptTime

TEXT_FIELDS = frozenset({None, Field.BODY, Field.FILENAME, Field.ATTACHMENT})
"""Where the words of an unread part might stand: file names too, because such a part may hold others."""


def answer(query: Query, document: IndexDocument, *, is_whole: bool, came: ReceiptTime) -> bool | None:
    """True or False where that is sure, None where nobody can tell (Kleene's logic).

    That is where a part that could not be read might decide, or the true time of receipt.
    """
    match query:
        case Not(inner):
            return _opposite(answer(inner, document, is_whole=is_whole, came=came))
        case AllOf(queries):
            return _every([answer(part, document, is_whole=is_whole, came=came) for part in queries])
        case AnyOf(queries):
            found = [answer(part, document, is_whole=is_whole, came=came) for part in queries]
            return _opposite(_every(list(map(_opposite, found))))
        case ReceivedFrom(instant):
            return came.is_from(instant)
        case ReceivedBefore(instant):
            return came.is_before(instant)
        case _:
            may_match = None if not is_whole and _may_stand_in_text(query) else False
            return matches(query, document) or may_match


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
