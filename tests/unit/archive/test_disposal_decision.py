from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from archive.disposal_decision import (
    Decision,
    Dispose,
    HoldFinding,
    Keep,
    Moment,
    Record,
    Why,
    begin_of_period,
    category_of,
    decide,
    may_be_due,
    set_hash,
)
from archive.index_document import document_of
from archive.legal_hold import Evidence
from archive.retention_schedule import UNCLASSIFIED, Schedule, parse
from mailstore.message import Envelope, MessageId
from mailstore.trusted_time import TOLERANCE, Doubt, Frozen, Trusted

RECEIVED = datetime(2020, 1, 1, tzinfo=UTC)
DUE = datetime(2021, 1, 1, tzinfo=UTC)
SCHEDULE = parse(
    """
    [category.short]
    retain = "1 year"
    clock = "receipt"
    citation = "x"
    [category.ever]
    retain = "forever"
    clock = "receipt"
    citation = "x"
    [[rule]]
    category = "short"
    match = "hello -secret"
    [[rule]]
    category = "ever"
    match = "attachment:contract"
    """
)
RECORD = Record(MessageId("m" * 26), RECEIVED, b"d" * 32, "short", is_captured=True, is_on_its_way=False)


def decision(
    record: Record = RECORD,
    schedule: Schedule | None = SCHEDULE,
    holds: tuple[HoldFinding, ...] = (),
    now: datetime = DUE,
    newest: datetime | None = RECEIVED,
) -> Decision:
    return decide(record=record, schedule=schedule, holds=holds, moment=Moment(Trusted(now), newest))


def test_record_may_go_when_its_period_has_ended() -> None:
    assert decision() == Dispose("short", DUE)
    assert decision(now=DUE - timedelta(microseconds=1)) == Keep(Why.NOT_DUE)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (replace(RECORD, category=None), Why.UNREADABLE),
        (replace(RECORD, category=UNCLASSIFIED), Why.UNCLASSIFIED),
        (replace(RECORD, category="gone"), Why.UNKNOWN_CATEGORY),
        (replace(RECORD, category="ever"), Why.FOREVER),
        (replace(RECORD, is_captured=False), Why.NOT_CAPTURED),
        (replace(RECORD, is_on_its_way=True), Why.ON_ITS_WAY),
    ],
)
def test_whatever_is_unknown_or_unfinished_is_kept(record: Record, why: Why) -> None:
    assert decision(record) == Keep(why)


def test_nothing_goes_without_a_schedule() -> None:
    assert decision(schedule=None) == Keep(Why.NO_SCHEDULE)


def test_hold_keeps_and_is_named() -> None:
    holds = (HoldFinding("b", True), HoldFinding("a", None), HoldFinding("c", False))
    assert decision(holds=holds) == Keep(Why.HELD, ("a", "b"))
    assert decision(holds=holds[2:]) == Dispose("short", DUE)


def test_clock_that_went_back_destroys_nothing() -> None:
    assert decision(newest=DUE + TOLERANCE) == Dispose("short", DUE)
    assert decision(newest=DUE + TOLERANCE + timedelta(seconds=1)) == Keep(Why.CLOCK)


@pytest.mark.parametrize(("doubt", "why"), [(Doubt.BEHIND, Why.CLOCK), (Doubt.AHEAD, Why.CLOCK_AHEAD)])
def test_time_in_doubt_destroys_nothing(doubt: Doubt, why: Why) -> None:
    moment = Moment(Frozen(DUE, doubt, RECEIVED), RECEIVED)
    assert decide(record=RECORD, schedule=SCHEDULE, holds=(), moment=moment) == Keep(why)


def test_period_of_a_message_that_came_while_the_clock_was_behind_begins_when_it_was_captured() -> None:
    assert begin_of_period(RECEIVED, None) == RECEIVED
    assert begin_of_period(RECEIVED, RECEIVED + TOLERANCE) == RECEIVED
    assert begin_of_period(RECEIVED, RECEIVED + timedelta(days=2000)) == RECEIVED + timedelta(days=2000)


def test_every_reason_has_words() -> None:
    assert all(why.words for why in Why)


def evidence(body: str, *, is_whole: bool = True) -> Evidence:
    document = document_of(
        message=RECORD.message,
        received_at=RECEIVED,
        category=UNCLASSIFIED,
        envelope=Envelope(None, ()),
        header_fields={},
        subjects=[],
        bodies=[body],
        file_names=[],
        attachment_texts=[],
        has_attachment=True,
    )
    return Evidence(RECEIVED, document, is_whole)


def test_category_is_worked_out_on_the_message() -> None:
    assert category_of(evidence("hello"), SCHEDULE) == "short"
    assert category_of(evidence("hello secret"), SCHEDULE) == UNCLASSIFIED
    assert category_of(Evidence(RECEIVED, None, is_whole=False), SCHEDULE) is None


def test_unread_part_can_only_keep_longer() -> None:
    assert category_of(evidence("hello", is_whole=False), SCHEDULE) == UNCLASSIFIED
    plain = parse(
        """
        [category.short]
        retain = "1 year"
        clock = "receipt"
        citation = "x"
        [category.ever]
        retain = "forever"
        clock = "receipt"
        citation = "x"
        [[rule]]
        category = "short"
        match = "hello"
        [[rule]]
        category = "ever"
        match = "attachment:contract"
        """
    )
    assert category_of(evidence("hello"), plain) == "short"
    assert category_of(evidence("hello", is_whole=False), plain) == "ever"


def test_two_clocks_that_disagree_can_only_keep_longer() -> None:
    rules = parse(
        """
        [category.short]
        retain = "1 year"
        clock = "receipt"
        citation = "x"
        [category.ever]
        retain = "forever"
        clock = "receipt"
        citation = "x"
        [[rule]]
        category = "short"
        match = "hello"
        [[rule]]
        category = "ever"
        match = "after:2026-01-01"
        """
    )
    told = replace(evidence("hello"), received_at=datetime(2000, 1, 1, tzinfo=UTC))
    assert category_of(told, rules) == "short"
    assert category_of(replace(told, captured_at=datetime(2026, 3, 1, tzinfo=UTC)), rules) == "ever"


def test_message_too_young_for_every_category_need_not_be_opened() -> None:
    assert may_be_due(SCHEDULE, RECEIVED, DUE)
    assert not may_be_due(SCHEDULE, RECEIVED, DUE - timedelta(seconds=1))


def test_set_hash_names_the_exact_set() -> None:
    one, two = (MessageId("a" * 26), b"1" * 32), (MessageId("b" * 26), b"2" * 32)
    assert set_hash([one, two]) == set_hash([two, one])
    assert set_hash([one]) != set_hash([one, two])
    assert set_hash([one, two]) != set_hash([(one[0], two[1]), (two[0], one[1])])
    assert len(set_hash([])) == 32
