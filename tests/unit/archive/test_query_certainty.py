from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.index_document import document_of
from archive.query_certainty import answer
from archive.query_conditions import matches
from archive.receipt_time import receipt_time
from archive.search_query import parse
from mailstore.message import Envelope, MessageId

DOCUMENT = document_of(
    message=MessageId("m" * 26),
    received_at=datetime(2026, 1, 1, tzinfo=UTC),
    category="unclassified",
    envelope=Envelope(None, ()),
    header_fields={},
    subjects=["red"],
    bodies=["green"],
    file_names=[],
    attachment_texts=[],
    has_attachment=True,
)


CAME = receipt_time(DOCUMENT.received_at, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("green", True),
        ("blue", None),
        ("-blue", None),
        ("-green", False),
        ("green blue", None),
        ("subject:blue green", False),
        ("subject:blue OR blue", None),
        ("green OR blue", True),
        ("-(subject:blue OR blue)", None),
        ("attachment:blue", None),
        ("filename:blue", None),
        ("from:blue", False),
        ("bl*", None),
        ("has:attachment", True),
    ],
)
def test_unread_part_answers_perhaps_where_it_might_decide(query: str, expected: bool | None) -> None:  # noqa: FBT001  # pytest passes it by name
    assert answer(parse(query), DOCUMENT, is_whole=False, came=CAME) is expected


words = st.sampled_from(
    ["red", "green", "blue", "subject:blue", "subject:red", "has:attachment", "after:2026-01-01", "before:2026-01-01"]
)
queries = st.recursive(
    words,
    lambda inner: st.one_of(
        inner.map(lambda q: f"-({q})"),
        st.tuples(inner, inner).map(" ".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})"),
    ),
    max_leaves=5,
)


@given(queries)
def test_whole_message_is_answered_as_the_search_answers(query: str) -> None:
    parsed = parse(query)
    assert answer(parsed, DOCUMENT, is_whole=True, came=CAME) is matches(parsed, DOCUMENT)


@given(queries)
def test_sure_answers_stay_true_whatever_the_unread_part_holds(query: str) -> None:
    parsed = parse(query)
    sure = answer(parsed, DOCUMENT, is_whole=False, came=CAME)
    for hidden in ("", "blue", "red blue green"):
        texts = {
            **DOCUMENT.texts,
            **{name: (*DOCUMENT.texts[name], hidden) for name in DOCUMENT.texts if name == "attachment"},
        }
        full = type(DOCUMENT)(
            DOCUMENT.id, DOCUMENT.received_at, DOCUMENT.category, DOCUMENT.has_attachment, texts, DOCUMENT.addresses
        )
        assert sure is None or matches(parsed, full) is sure
