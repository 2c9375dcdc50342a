from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from mailstore import trusted_time
from mailstore.trusted_time import CLAIM_LIVES, TOLERANCE, Doubt, Frozen, Known, Reading, Trusted, Witness

BIRTH = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def reading(wall: timedelta, uptime: timedelta, *witnesses: Witness, boot: str = "first") -> Reading:
    return Reading(BIRTH + wall, boot, uptime, witnesses)


def says(at: timedelta) -> Witness:
    return Witness("kernel", BIRTH + at)


BORN = trusted_time.begun(reading(0 * HOUR, 5 * HOUR))


def test_clock_that_agrees_with_what_was_counted_is_trusted() -> None:
    assert trusted_time.judged(BORN, reading(8 * DAY, 5 * HOUR + 8 * DAY)) == Trusted(BIRTH + 8 * DAY)


def test_clock_a_little_ahead_gains_nothing_by_it() -> None:
    judgement = trusted_time.judged(BORN, reading(DAY + TOLERANCE, 5 * HOUR + DAY))
    assert judgement == Trusted(BIRTH + DAY)


@pytest.mark.parametrize(
    ("wall", "uptime", "boot", "doubt"),
    [
        (10 * DAY, 6 * HOUR, "first", Doubt.AHEAD),  # set forward while it ran
        (10 * DAY, HOUR, "second", Doubt.AHEAD),  # and started again
        (10 * DAY, HOUR, "first", Doubt.AHEAD),  # an uptime that went back is a restart
        (10 * DAY, 300 * DAY, "other machine", Doubt.AHEAD),  # another machine's uptime proves nothing
        (-2 * HOUR, 6 * HOUR, "first", Doubt.BEHIND),
        (-2 * HOUR, HOUR, "second", Doubt.BEHIND),
    ],
)
def test_jump_freezes_the_time(wall: timedelta, uptime: timedelta, boot: str, doubt: Doubt) -> None:
    judgement = trusted_time.judged(BORN, reading(wall, uptime, boot=boot))
    assert isinstance(judgement, Frozen)
    assert judgement.doubt is doubt
    assert judgement.now <= BIRTH + HOUR


def test_witness_that_agrees_confirms_a_clock_that_was_off_for_long() -> None:
    judgement = trusted_time.judged(BORN, reading(90 * DAY, HOUR, says(90 * DAY), boot="second"))
    assert judgement == Trusted(BIRTH + 90 * DAY)


@pytest.mark.parametrize("witnesses", [(), (says(HOUR),), (says(10 * DAY), says(HOUR))])
def test_witness_that_disagrees_confirms_nothing(witnesses: tuple[Witness, ...]) -> None:
    judgement = trusted_time.judged(BORN, reading(10 * DAY, 6 * HOUR, *witnesses))
    assert judgement == Frozen(BIRTH + HOUR, Doubt.AHEAD, BIRTH + HOUR)


def test_witness_of_the_future_moves_nothing_while_the_clock_does_not_say_so() -> None:
    assert trusted_time.judged(BORN, reading(HOUR, 6 * HOUR, says(10 * DAY))) == Trusted(BIRTH + HOUR)


def test_clock_that_is_right_again_is_trusted_again_and_counted_on_meanwhile() -> None:
    frozen = trusted_time.kept(BORN, reading(10 * DAY, 6 * HOUR))
    assert frozen.frozen_since == BIRTH + HOUR
    right = trusted_time.judged(frozen, reading(2 * HOUR, 7 * HOUR))
    assert right == Trusted(BIRTH + 2 * HOUR)
    assert trusted_time.kept(frozen, reading(2 * HOUR, 7 * HOUR)).frozen_since is None


def test_freeze_remembers_since_when() -> None:
    frozen = trusted_time.kept(BORN, reading(10 * DAY, 6 * HOUR))
    later = trusted_time.kept(frozen, reading(20 * DAY, 9 * HOUR))
    assert later.frozen_since == BIRTH + HOUR


def test_two_persons_confirm_and_one_alone_does_not() -> None:
    asked = trusted_time.claimed(BORN, reading(10 * DAY, 6 * HOUR), by="ruth")
    after = reading(10 * DAY + HOUR, 7 * HOUR)
    assert isinstance(trusted_time.judged(asked, after), Frozen)
    assert not trusted_time.is_confirmed_by(asked, after, by="ruth")
    assert trusted_time.is_confirmed_by(asked, after, by="paul")
    assert trusted_time.judged(trusted_time.confirmed(after), after) == Trusted(after.wall)


@pytest.mark.parametrize(
    "second",
    [
        reading(40 * DAY, 7 * HOUR),  # another clock than the first one spoke of
        reading(10 * DAY + CLAIM_LIVES + HOUR, 7 * HOUR + CLAIM_LIVES),  # too late
        reading(10 * DAY + HOUR, 7 * HOUR, boot="second"),  # a restart in between
    ],
)
def test_second_word_counts_for_the_very_same_clock_alone(second: Reading) -> None:
    asked = trusted_time.claimed(BORN, reading(10 * DAY, 6 * HOUR), by="ruth")
    assert not trusted_time.is_confirmed_by(asked, second, by="paul")


def test_word_that_nobody_seconded_is_forgotten_at_the_next_start() -> None:
    asked = trusted_time.claimed(BORN, reading(10 * DAY, 6 * HOUR), by="ruth")
    assert trusted_time.kept(asked, reading(10 * DAY, 7 * HOUR)).claim is not None
    assert trusted_time.kept(asked, reading(10 * DAY, HOUR, boot="second")).claim is None


@dataclass
class Game:
    """Somebody who owns the machine plays with its clock. ``real`` is the time that nobody can change."""

    dice: random.Random
    real: timedelta = timedelta(0)
    skew: timedelta = timedelta(0)
    boots: int = 1
    started: timedelta = -5 * HOUR
    known: Known = field(default=BORN)
    has_witness: bool = False

    def reading(self) -> Reading:
        witnesses = (says(self.real),) if self.has_witness and self.dice.random() < 0.5 else ()
        boot = "first" if self.boots == 1 else f"boot {self.boots}"
        return Reading(BIRTH + self.real + self.skew, boot, self.real - self.started, witnesses)

    def move(self) -> None:
        step = timedelta(seconds=self.dice.choice([1, 50, 3000, 3599, 3601, 90_000, 10**6, 10**8]))
        match self.dice.randrange(6):
            case 0:
                self.real += step
            case 1:
                self.skew += step
            case 2:
                self.skew -= step
            case 3:
                self.skew = timedelta(0)
            case 4:
                self.real += step * self.dice.random()
                self.boots, self.started = self.boots + 1, self.real
            case _:
                self.known = trusted_time.kept(self.known, self.reading())


@pytest.mark.parametrize("has_witness", [False, True])
def test_no_sequence_of_clock_games_lets_a_wait_pass_earlier_than_it_really_does(has_witness: bool) -> None:  # noqa: FBT001 -- parametrize passes by name
    for seed in range(300):
        game = Game(random.Random(seed), has_witness=has_witness)  # noqa: S311 -- dice of a test
        waits_until, before = timedelta(days=7), game.known.trusted
        for _ in range(60):
            game.move()
            judgement = trusted_time.judged(game.known, game.reading())
            assert judgement.now <= BIRTH + game.real, f"seed {seed}"
            if game.real < waits_until:
                assert judgement.now < BIRTH + waits_until, f"seed {seed}"
            assert game.known.trusted >= before, f"seed {seed}: what has passed came back"
            before = game.known.trusted
