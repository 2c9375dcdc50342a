from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import retention_schedule
from archive.retention_schedule import (
    UNCLASSIFIED,
    Category,
    Days,
    Forever,
    Retention,
    Schedule,
    ScheduleError,
    Years,
    parse,
    to_toml,
)

GOOD = """
[category.billing]
title = "Claims"
retain = "10 years"
clock = "receipt"
citation = "42 CFR 422.504(d)"

[category.passing]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"

[[rule]]
category = "billing"
match = 'invoice OR "explanation of benefits"'
"""
MORNING = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)


def category(retain: Retention) -> Category:
    return Category("a", retain, "somewhere")


def problems(text: str) -> str:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    return "\n".join(caught.value.problems)


def test_schedule_is_read_as_written() -> None:
    schedule = parse(GOOD, version="v1")
    assert schedule.version == "v1"
    assert schedule.categories["billing"] == Category("billing", Years(10), "42 CFR 422.504(d)", "Claims")
    assert schedule.categories["passing"].retain == Days(0)
    assert [rule.category for rule in schedule.rules] == ["billing"]


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        """
        tempo = 1
        [category.UPPER]
        retain = "10 weeks"
        clock = "header"
        colour = "red"
        [category.fine]
        retain = "1 year"
        clock = "receipt"
        citation = "x"
        [[rule]]
        category = "nowhere"
        match = "a"
        [[rule]]
        category = "fine"
        match = "(("
        until = 1
        """
    )
    for part in ("unknown key: tempo", "UPPER", "retain must be", "clock", "colour", "citation"):
        assert part in found
    for part in ("rule 1: category", "rule 2: match", "rule 2: unknown key: until"):
        assert part in found


@pytest.mark.parametrize(
    "retain",
    [
        "",
        "6",
        "years",
        "-1 years",
        "1.5 years",
        "6 years ",
        "06 years",
        "6  years",
        "six years",
        "6 Years",
        "999 years",
    ],
)
def test_period_that_is_not_understood_is_refused(retain: str) -> None:
    assert "retain" in problems(GOOD.replace("10 years", retain))


def test_unicode_digits_are_no_numbers() -> None:
    assert "retain" in problems(GOOD.replace("10 years", "\u0661\u0660 years"))


@pytest.mark.parametrize("text", ["", "category = 1", "[[category]]", "rule = 3\n" + GOOD, "a = [" * 5000, "\x00"])
def test_text_that_is_no_schedule_is_refused(text: str) -> None:
    assert problems(text)


def test_rule_cannot_ask_for_the_category_it_decides() -> None:
    assert "category" in problems(GOOD.replace("match = 'invoice", "match = 'category:billing OR invoice"))


def test_huge_text_is_refused_unread() -> None:
    assert "larger" in problems("#" * 300_000)


def test_nobody_can_name_a_category_unclassified() -> None:
    assert "unclassified" in problems(GOOD.replace("category.passing", "category.unclassified"))


def test_29_february_is_kept_until_1_march_of_a_common_year() -> None:
    assert category(Years(1)).due_at(MORNING) == datetime(2025, 3, 1, 8, 30, tzinfo=UTC)
    assert category(Years(4)).due_at(MORNING) == datetime(2028, 2, 29, 8, 30, tzinfo=UTC)


def test_days_are_counted_in_full() -> None:
    assert category(Days(90)).due_at(MORNING) == MORNING + timedelta(days=90)
    assert category(Days(0)).due_at(MORNING) == MORNING


def test_forever_is_never_due() -> None:
    assert category(Forever()).due_at(MORNING) is None


def test_longest_category_wins() -> None:
    names: dict[str, Retention] = {"short": Days(1), "long": Years(1), "ever": Forever()}
    categories = {name: Category(name, retain, "x") for name, retain in names.items()}
    schedule = Schedule(categories, ())
    assert schedule.longest(["short", "long"], MORNING) == "long"
    assert schedule.longest(["short", "ever", "long"], MORNING) == "ever"
    assert schedule.longest([], MORNING) == UNCLASSIFIED
    assert schedule.longest(["unheard-of"], MORNING) == UNCLASSIFIED


def test_unknown_category_is_never_due() -> None:
    assert parse(GOOD).due_at(UNCLASSIFIED, MORNING) is None


periods: st.SearchStrategy[Retention] = st.one_of(
    st.builds(Days, st.integers(0, 200_000)), st.builds(Years, st.integers(0, 500)), st.just(Forever())
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)


@given(periods, texts, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_schedule_written_out_reads_back(retain: Retention, citation: str, title: str) -> None:
    schedule = parse(GOOD)
    changed = Schedule({**schedule.categories, "more": Category("more", retain, citation, title)}, schedule.rules)
    assert parse(to_toml(changed)) == changed


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)), st.integers(0, 500))  # noqa: DTZ001  # hypothesis adds the zone itself
def test_a_year_is_never_shorter_than_the_calendar_says(received: datetime, count: int) -> None:
    due = category(Years(count)).due_at(received)
    assert due is not None
    assert timedelta(days=365 * count) <= due - received <= timedelta(days=366 * count + 1)


def test_schedule_that_comes_with_the_house_is_one() -> None:
    schedule = parse(retention_schedule.default_schedule_text())
    assert len(schedule.categories) >= 6
    assert all(each.citation for each in schedule.categories.values())
    assert "check with your state" in schedule.categories["medical-correspondence"].citation
    assert schedule.categories["hipaa-documentation"].retain == Years(6)
