"""Who is written to and when: once at each turn, once a day while it lasts, and never a flood."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from appliance import alert_decision
from appliance.alert_decision import Alert, Patience, WatchedLine
from appliance.health_finding import Finding, State

NOW = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
LOOK = timedelta(minutes=5)
PATIENCE = Patience(looks=2, remind_after=timedelta(hours=24))


def red(check: str = "disk space", message: str = "9 MiB are free") -> Finding:
    return Finding(check, State.FAIL, message, "make room")


class Watched:
    """Looks made one after the other, five minutes apart, over what was remembered."""

    def __init__(self) -> None:
        self.now = NOW
        self.lines: Mapping[str, WatchedLine] = {}

    def look(self, *seen: Finding, is_mailed: bool = True, after: timedelta = LOOK) -> Alert | None:
        self.now += after
        decision = alert_decision.decide(self.lines, seen, now=self.now, patience=PATIENCE)
        self.lines = decision.told if is_mailed or decision.alert is None else decision.lines
        return decision.alert


def test_one_mail_when_it_turns_red_and_one_when_it_is_well_again() -> None:
    watched = Watched()
    assert watched.look(red()) is None, "once may be a hiccup"
    alert = watched.look(red())
    assert alert is not None
    assert (alert.turned, alert.still, alert.well) == ((red(),), (), ())
    assert [watched.look(red()) for _ in range(5)] == [None] * 5
    assert watched.look() is None
    assert watched.look() == Alert((), (), ("disk space",))
    assert [watched.look() for _ in range(5)] == [None] * 5


def test_hiccup_is_told_to_nobody() -> None:
    watched = Watched()
    assert [watched.look(*([red()] if number % 4 == 1 else [])) for number in range(20)] == [None] * 20


def test_what_is_red_at_every_other_look_is_told_once_and_then_once_a_day() -> None:
    watched = Watched()
    mails = [alert for number in range(2 * 24 * 12) if (alert := watched.look(*([red()] if number % 2 else [])))]
    assert [(len(alert.turned), len(alert.still), alert.well) for alert in mails] == [(1, 0, ()), (0, 1, ())]


def test_hiccups_of_a_day_ago_count_no_more() -> None:
    watched = Watched()
    for _ in range(3 * alert_decision.MANY_RED_LOOKS):
        assert watched.look(red(), after=timedelta(hours=3)) is None
        assert watched.look(after=timedelta(hours=3)) is None


def told_of(check: str) -> Watched:
    watched = Watched()
    watched.look(red(check))
    assert watched.look(red(check)) is not None
    return watched


@pytest.mark.parametrize(
    ("check", "unknown"),
    [
        ("dns dkim", Finding("dns dkim", State.WARN, "no answer", is_unknown=True)),
        ("dns dkim", Finding("dns", State.WARN, "no resolver", is_unknown=True)),
        ("drill nas", Finding("drill nas", State.WARN, "not looked at", is_unknown=True)),
    ],
)
def test_what_could_not_be_looked_at_is_neither_told_as_well_nor_anew(check: str, unknown: Finding) -> None:
    watched = told_of(check)
    assert [watched.look(unknown) for _ in range(5)] == [None] * 5
    assert [watched.look(red(check)) for _ in range(5)] == [None] * 5
    assert watched.look() is None
    assert watched.look() == Alert((), (), (check,))


def test_look_that_breaks_off_says_nothing_of_the_lines_it_did_not_come_to() -> None:
    watched = told_of("backup nas")
    broken = Finding("open", State.FAIL, "a look broke off", is_unknown=True)
    assert watched.look(broken) is None
    assert watched.look(broken) == Alert((broken,), (), ())
    assert watched.look(red("backup nas")) is None
    assert watched.look(red("backup nas")) == Alert((), (red("backup nas"),), ("open",))


def test_what_was_looked_at_is_well_though_another_look_broke_off() -> None:
    watched = told_of("spool")
    seen = (Finding("spool", State.OK, "empty"), Finding("dns", State.WARN, "no resolver", is_unknown=True))
    assert watched.look(*seen) is None
    assert watched.look(*seen) == Alert((), (), ("spool",))


def test_line_that_could_not_be_told_of_waits_until_it_is_seen_again() -> None:
    watched = Watched()
    watched.look(red())
    assert watched.look(red(), is_mailed=False) is not None
    assert watched.look(Finding("disk space", State.WARN, "not looked at", is_unknown=True)) is None
    assert watched.look(red()) == Alert((red(),), (), ())


def test_what_stays_red_is_told_again_once_a_day() -> None:
    watched = Watched()
    mails = [alert for _ in range(3 * 24 * 12) if (alert := watched.look(red(), red("queue", "late")))]
    assert [len(alert.turned) for alert in mails] == [2, 0, 0]
    assert [len(alert.still) for alert in mails] == [0, 2, 2]


def test_every_mail_names_what_is_red_still() -> None:
    watched = Watched()
    watched.look(red())
    watched.look(red())
    watched.look(red(), red("queue", "late"))
    alert = watched.look(red(), red("queue", "late"))
    assert alert == Alert((red("queue", "late"),), (red(),), ())


def test_what_could_not_be_mailed_is_told_at_the_next_look_that_can() -> None:
    watched = Watched()
    watched.look(red())
    tried = [watched.look(red(), is_mailed=False) for _ in range(3)]
    assert [alert is not None and alert.turned == (red(),) for alert in tried] == [True] * 3
    assert watched.look(red()) is not None
    assert watched.look(red()) is None


def test_line_that_comes_and_goes_is_told_three_times_and_then_once_a_day() -> None:
    watched = Watched()
    mails = []
    for number in range(2 * 24 * 12):
        alert = watched.look(*([red()] if number % 4 < 2 else []))
        mails += [alert] if alert else []
    assert len([alert for alert in mails if alert.turned]) <= 2 * (alert_decision.MOST_TURNS + 1)
    assert len(mails) <= 2 * (2 * alert_decision.MOST_TURNS + 3)


def test_warning_calls_nobody_unless_it_is_an_alarm() -> None:
    watched = Watched()
    quiet = Finding("unlock", State.WARN, "it opens by itself", "add another way in")
    loud = Finding("use of keys", State.WARN, "alarms", "look", is_alarm=True)
    watched.look(quiet, loud)
    alert = watched.look(quiet, loud)
    assert alert is not None
    assert alert.turned == (loud,)


def test_many_of_one_kind_are_one_line() -> None:
    (line,) = alert_decision.worst_by_check([red(message="one"), red(message="two"), red(message="three")]).values()
    assert line.message == "one; and 2 more of this kind"


def test_line_that_is_looked_at_no_more_is_well() -> None:
    watched = Watched()
    for _ in range(2):
        watched.look(red("backup nas", "48 hours old"))
    watched.look()
    assert watched.look() == Alert((), (), ("backup nas",))


def test_clock_that_jumps_neither_floods_nor_silences() -> None:
    watched = Watched()
    watched.look(red())
    assert watched.look(red()) is not None
    assert watched.look(red(), after=-timedelta(days=300)) is not None, "told once more, for who knows what time it is"
    assert [watched.look(red()) for _ in range(20)] == [None] * 20
    assert watched.look(red(), after=timedelta(days=300)) is not None


def test_never_a_flood_whatever_the_lines_do() -> None:
    chance = random.Random(7)  # noqa: S311 - chance, no secret
    names = [f"line {number}" for number in range(6)]
    watched, mails = Watched(), 0
    for _ in range(24 * 12):
        mails += watched.look(*(red(name) for name in names if chance.random() < 0.5)) is not None
    assert mails <= len(names) * 2 * (alert_decision.MOST_TURNS + 1)
