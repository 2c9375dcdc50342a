"""Questions to the key agent and its answers: they come out as they went in, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance import key_agent_protocol as protocol
from appliance.key_agent_protocol import MalformedError
from appliance.role_charge import LONGEST, frame
from mailstore.errors import RefusedError, SealedError, StorageUnavailableError, TamperedError, WrongKeyError
from mailstore.key_hierarchy import MessageKey
from mailstore.keystore import WrappedKey
from mailstore.message import MessageId

WRAPPED = WrappedKey(MessageId("m" * 26), b"b" * 16, b"f" * 16, b"w" * 80, b"k" * 60)


def test_wrapped_keys_come_out_as_they_went_in() -> None:
    assert protocol.wrapped_of(protocol.open_request([WRAPPED])) == [WRAPPED]


def test_most_keys_fit_into_one_frame_both_ways() -> None:
    assert len(frame(protocol.open_request([WRAPPED] * protocol.MOST_KEYS))) < LONGEST
    tampered = TamperedError("keystore row message_keys/" + "m" * 26 + " was changed")
    assert len(frame(protocol.opened_answer([tampered] * protocol.MOST_KEYS))) < LONGEST


def test_damaged_key_among_many_is_named_and_hides_no_other() -> None:
    found = protocol.opened_of(
        protocol.opened_answer([MessageKey(b"x" * 32), WrongKeyError("other"), TamperedError("row")])
    )
    assert found[0] == b"x" * 32
    assert [type(each) for each in found[1:]] == [WrongKeyError, TamperedError]


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"keys": None},
        {"keys": []},
        {"keys": {}},
        {"keys": [None]},
        {"keys": [["m", "00", "00", "00"]]},
        {"keys": [["m", "00", "00", "00", 5]]},
        {"keys": [["m", "00", "00", "00", "zz"]]},
        {"keys": [["m", "00", "00", "00", "0"]]},
        {"keys": [["m", "00", "00", "00", "00" * 129]]},
        {"keys": [["m", "00", "00", "00", "00"]] * 129},
    ],
)
def test_what_is_no_question_for_keys_is_refused(question: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        protocol.wrapped_of(question)


def test_row_that_is_longer_than_any_we_write_is_not_sent() -> None:
    assert protocol.can_be_told(WRAPPED)
    overlong = replace(WRAPPED, wrapped_batch_key=b"w" * 129)
    assert not protocol.can_be_told(overlong)
    assert WRAPPED.message in protocol.overlong(overlong).message


@pytest.mark.parametrize(
    "error", [SealedError(), WrongKeyError("no"), TamperedError("row"), RefusedError("no", fix="f")]
)
def test_errors_keep_kind_words_and_advice(error: Any) -> None:
    told = protocol.error_of(protocol.error_told(error))
    assert (type(told), told.code, told.message, told.fix) == (type(error), error.code, error.message, error.fix)


def test_unknown_error_keeps_its_code_and_is_a_fault_of_our_own() -> None:
    told = protocol.error_of(["works_elsewhere", "it moved", ""])
    assert isinstance(told, StorageUnavailableError)
    assert told.code == "works_elsewhere"
