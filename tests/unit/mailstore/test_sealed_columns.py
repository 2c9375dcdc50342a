from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.errors import TamperedError
from mailstore.key_hierarchy import MessageKey
from mailstore.message import MessageId, MessageSummary
from mailstore.sealed_columns import ColumnSealer, RecipientDetail, open_detail, open_summary

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
