"""Every way, state and event has words, and one lamp for many recipients never hides the one that needs a person."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from mailstore.message import MessageId, RecipientState, Route, StoredRecipient
from portal.delivery_words import ROUTES, Access, event, lamp, state, together


def copy(route: Route = Route.TLS, at: RecipientState = RecipientState.DELIVERED) -> StoredRecipient:
    return StoredRecipient(MessageId("m" * 26), 0, "a@b.example", route, (), at, 1, datetime(2026, 3, 4, tzinfo=UTC))


@pytest.mark.parametrize(("route", "at"), itertools.product(Route, RecipientState))
def test_every_state_on_every_route_has_words(route: Route, at: RecipientState) -> None:
    words = state(copy(route, at))
    assert words.heading
    assert words.text
    assert ROUTES[route]


@pytest.mark.parametrize(("route", "access"), itertools.product(Route, Access))
def test_every_lamp_has_words_and_impossible_is_bad(route: Route, access: Access) -> None:
    assert lamp(route, access, is_possible=True).heading
    assert lamp(route, access, is_possible=False).kind == "bad"


def test_only_proved_encryption_our_own_house_and_an_open_portal_are_green() -> None:
    green = {
        (route, access)
        for route, access in itertools.product(Route, Access)
        if lamp(route, access, is_possible=True).kind == "good"
    }
    others = {(route, access) for route in (Route.MAILBOX, Route.TLS) for access in Access}
    assert green == others | {(Route.PORTAL, Access.OPEN)}


@pytest.mark.parametrize(
    ("states", "heading"),
    [
        ((RecipientState.FAILED, RecipientState.DELIVERED, RecipientState.OPENED), "Failed: 1 of 3"),
        ((RecipientState.DEFERRED, RecipientState.NOTIFIED), "Delayed: 1 of 2"),
        ((RecipientState.NOTIFIED, RecipientState.QUEUED), "Waiting: 1 of 2"),
        ((RecipientState.QUEUED,), "Queued"),
        ((RecipientState.OPENED, RecipientState.OPENED), "Opened"),
        ((RecipientState.OPENED, RecipientState.DELIVERED), "Delivered"),
    ],
)
def test_one_lamp_for_all_is_that_of_the_worst(states: tuple[RecipientState, ...], heading: str) -> None:
    assert together([copy(at=each) for each in states]).heading == heading


def test_what_is_not_for_people_has_no_words() -> None:
    assert event("message.relayed")
    assert event("outbox.leased") is None
