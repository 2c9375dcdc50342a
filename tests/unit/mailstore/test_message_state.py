from __future__ import annotations

import pytest

from mailstore.message import RecipientState
from mailstore.message_state import TRANSITIONS, IllegalTransitionError, RecipientEvent, after, changed

EVERY_PAIR = [(state, event) for state in RecipientState for event in RecipientEvent]


def test_every_state_has_its_line_in_the_table() -> None:
    assert set(TRANSITIONS) == set(RecipientState)


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR)
def test_what_is_not_in_the_table_cannot_happen(state: RecipientState, event: RecipientEvent) -> None:
    expected = TRANSITIONS[state].get(event)
    if expected is None:
        with pytest.raises(IllegalTransitionError):
            after(state, event)
    else:
        assert after(state, event) is expected


def test_delivered_or_opened_copy_is_never_sent_again() -> None:
    for state in (RecipientState.DELIVERED, RecipientState.OPENED):
        reachable, frontier = {state}, {state}
        while frontier:
            frontier = {new for each in frontier for new in TRANSITIONS[each].values()} - reachable
            reachable |= frontier
        assert reachable <= {RecipientState.DELIVERED, RecipientState.OPENED}


def test_failed_copy_is_sent_again_only_by_order() -> None:
    back = {event for event, new in TRANSITIONS[RecipientState.FAILED].items() if new is not RecipientState.OPENED}
    assert back == {RecipientEvent.REQUEUED}


def test_change_without_an_event_that_leads_there_is_refused() -> None:
    assert changed(RecipientState.QUEUED, RecipientState.DEFERRED) is RecipientState.DEFERRED
    with pytest.raises(IllegalTransitionError):
        changed(RecipientState.DELIVERED, RecipientState.QUEUED)
    with pytest.raises(IllegalTransitionError):
        changed(RecipientState.DELIVERED, RecipientState.DELIVERED)
