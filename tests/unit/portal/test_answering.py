"""An answer goes to whom it should, never to oneself, and quotes what it answers."""

from __future__ import annotations

from dataclasses import replace

from mailstore.addresses import header_addresses
from mailstore.message import MessageSummary
from portal.answering import LONGEST_QUOTE, Original, answer, forward

ME = {"ruiz@clinic.example"}
SUMMARY = MessageSummary(
    subject="Referral",
    from_="Ann Sorensen <ann@hospital.example>",
    to="Ruiz@clinic.example, desk@hospital.example",
    cc="chief@hospital.example, Ann <ann@hospital.example>",
)
ORIGINAL = Original(SUMMARY, (), "Please see her.\nThank you.", "4 March 2026 at 05:06")


def test_an_answer_goes_to_the_sender_alone() -> None:
    fields = answer(ORIGINAL, ME, to_all=False)
    assert (fields["to"], fields["cc"], fields["subject"]) == ("ann@hospital.example", "", "Re: Referral")


def test_an_answer_to_all_leaves_out_oneself_and_names_nobody_twice() -> None:
    fields = answer(ORIGINAL, ME, to_all=True)
    assert fields["to"] == "ann@hospital.example"
    assert fields["cc"] == "desk@hospital.example, chief@hospital.example"


def test_where_the_sender_asks_for_answers_they_go() -> None:
    asked = replace(ORIGINAL, reply_to=header_addresses("office@hospital.example"))
    assert answer(asked, ME, to_all=False)["to"] == "office@hospital.example"


def test_an_answer_to_ones_own_message_goes_to_whom_one_wrote() -> None:
    mine = replace(ORIGINAL, summary=replace(SUMMARY, from_="Elena Ruiz <ruiz@clinic.example>"))
    assert answer(mine, ME, to_all=False)["to"] == "desk@hospital.example"


def test_the_older_text_is_quoted_line_by_line_and_within_bounds() -> None:
    assert answer(ORIGINAL, ME, to_all=False)["text"].endswith(
        "On 4 March 2026 at 05:06, Ann Sorensen wrote:\n> Please see her.\n> Thank you."
    )
    huge = replace(ORIGINAL, text="x" * (2 * LONGEST_QUOTE))
    assert len(answer(huge, ME, to_all=False)["text"]) < LONGEST_QUOTE + 200


def test_a_prefix_is_not_repeated() -> None:
    again = replace(ORIGINAL, summary=replace(SUMMARY, subject="RE: Referral"))
    assert answer(again, ME, to_all=False)["subject"] == "RE: Referral"


def test_a_forwarded_message_goes_to_nobody_yet_and_says_whose_it_is() -> None:
    fields = forward(ORIGINAL)
    assert fields["to"] == ""
    assert fields["subject"] == "Fwd: Referral"
    assert "From: Ann Sorensen <ann@hospital.example>" in fields["text"]
