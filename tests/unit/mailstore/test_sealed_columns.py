from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.errors import TamperedError
from mailstore.key_hierarchy import MessageKey
from mailstore.message import MessageId, MessageSummary
from mailstore.sealed_columns import (
    SUMMARY_TEXT,
    ColumnSealer,
    RecipientDetail,
    open_detail,
    open_summary,
    packed_summary,
)
from mailstore.sealed_format import packed, seal_field

KEY = MessageKey(bytes(range(32)))
MINE, OTHER = MessageId("m" * 26), MessageId("o" * 26)
NONCE = os.urandom(12)

texts = st.text(st.characters())  # lone surrogates included: hostile headers have them
summaries = st.builds(MessageSummary, subject=texts, to=texts, references=st.lists(texts).map(tuple))


@settings(max_examples=50, deadline=None)
@given(summaries)
def test_summary_comes_back_as_it_was(summary: MessageSummary) -> None:
    sealed = ColumnSealer(KEY, MINE).summary(summary, nonce=NONCE)
    assert open_summary(sealed, key=KEY, message=MINE) == summary


def test_summary_of_another_message_does_not_open() -> None:
    sealed = ColumnSealer(KEY, MINE).summary(MessageSummary(subject="x"), nonce=NONCE)
    with pytest.raises(TamperedError):
        open_summary(sealed, key=KEY, message=OTHER)


@settings(max_examples=50, deadline=None)
@given(st.builds(RecipientDetail, address=texts, reasons=st.lists(texts).map(tuple), last_reply=texts))
def test_detail_comes_back_as_it_was(detail: RecipientDetail) -> None:
    sealed = ColumnSealer(KEY, MINE).detail(detail, position=3, nonce=NONCE)
    assert open_detail(sealed, key=KEY, message=MINE, position=3) == detail


def test_columns_do_not_stand_in_for_each_other() -> None:
    detail = ColumnSealer(KEY, MINE).detail(RecipientDetail("a@x"), position=0, nonce=NONCE)
    for moved in (
        lambda: open_detail(detail, key=KEY, message=MINE, position=1),
        lambda: open_detail(detail, key=KEY, message=OTHER, position=0),
        lambda: open_summary(detail, key=KEY, message=MINE),
    ):
        with pytest.raises(TamperedError):
            moved()


def test_nothing_of_a_column_is_shown() -> None:
    assert repr(RecipientDetail("secret@x", ("why",), "250")) == "RecipientDetail()"


FULL = MessageSummary(
    subject="Results",
    from_="Ann Lee <ann@clinic.example>",
    to="Pat <pat@gmail.com>",
    date="Sun, 22 Nov 2026 10:00:00 +0000",
    header_message_id="<1@clinic.example>",
    references=("<0@gmail.com>",),
    sender="ann@clinic.example",
    recipients=("pat@gmail.com",),
)


def test_summary_at_rest_takes_fewer_bytes_and_says_the_same() -> None:
    sealed = ColumnSealer(KEY, MINE).summary(FULL, nonce=os.urandom(12))
    smaller = packed_summary(sealed, key=KEY, message=MINE, nonce=os.urandom(12))
    assert len(smaller) < len(sealed) * 0.8
    assert open_summary(smaller, key=KEY, message=MINE) == FULL
    assert packed_summary(smaller, key=KEY, message=MINE, nonce=os.urandom(12)) == smaller


def test_packed_summary_of_another_message_does_not_open() -> None:
    sealed = ColumnSealer(KEY, MINE).summary(FULL, nonce=os.urandom(12))
    smaller = packed_summary(sealed, key=KEY, message=MINE, nonce=os.urandom(12))
    with pytest.raises(TamperedError):
        open_summary(smaller, key=KEY, message=OTHER)


def test_summary_that_would_grow_beyond_bounds_is_refused() -> None:
    bomb = packed(bytes(2 << 20), level=9, dictionary=SUMMARY_TEXT)
    sealed = seal_field(bomb, key=KEY, context=("summary", MINE, 1), nonce=os.urandom(12))
    with pytest.raises(TamperedError):
        open_summary(sealed, key=KEY, message=MINE)
    cut = seal_field(bomb[:9], key=KEY, context=("summary", MINE, 1), nonce=os.urandom(12))
    with pytest.raises(TamperedError):
        open_summary(cut, key=KEY, message=MINE)
