"""Core: the life of one recipient's copy as one transition table.

Nothing else in the house decides which state may follow which. What is not in the table cannot happen.
"""

from __future__ import annotations

from enum import StrEnum

from mailstore.errors import StrongroomError
from mailstore.message import RecipientState


class RecipientEvent(StrEnum):
    """What happens to one recipient's copy."""

    FILED = "filed"  # laid into a mailbox here
    ROUTED = "routed"  # a way was chosen or changed; nothing was sent yet
    DELAYED = "delayed"  # tried, and to be tried again
    RELAYED = "relayed"  # the recipient's server took responsibility (RFC 5321 section 6.1)
    NOTICE_SENT = "notice_sent"  # the pickup notice was taken by the recipient's server
    OPENED = "opened"  # the recipient read it here
    GIVEN_UP = "given_up"  # refused for good, or retried long enough (RFC 5321 section 4.5.4.1)
    REQUEUED = "requeued"  # a person ordered another try


class IllegalTransitionError(StrongroomError):
    """The copy is not in a state from which this can happen."""

    code = "illegal_transition"


_State, _Event = RecipientState, RecipientEvent

TRANSITIONS: dict[RecipientState, dict[RecipientEvent, RecipientState]] = {
    _State.QUEUED: {
        _Event.FILED: _State.DELIVERED,
        _Event.ROUTED: _State.QUEUED,
        _Event.DELAYED: _State.DEFERRED,
        _Event.RELAYED: _State.DELIVERED,
        _Event.NOTICE_SENT: _State.NOTIFIED,
        _Event.OPENED: _State.OPENED,
        _Event.GIVEN_UP: _State.FAILED,
    },
    _State.DEFERRED: {
        _Event.ROUTED: _State.QUEUED,
        _Event.DELAYED: _State.DEFERRED,
        _Event.RELAYED: _State.DELIVERED,
        _Event.NOTICE_SENT: _State.NOTIFIED,
        _Event.OPENED: _State.OPENED,
        _Event.GIVEN_UP: _State.FAILED,
    },
    _State.DELIVERED: {_Event.OPENED: _State.OPENED},
    _State.NOTIFIED: {
        _Event.NOTICE_SENT: _State.NOTIFIED,
        _Event.OPENED: _State.OPENED,
        _Event.GIVEN_UP: _State.FAILED,
    },
    _State.OPENED: {_Event.OPENED: _State.OPENED},
    _State.FAILED: {_Event.OPENED: _State.OPENED, _Event.REQUEUED: _State.QUEUED},
}
"""A failed notice does not close the portal: the copy can still be opened there."""


def after(state: RecipientState, event: RecipientEvent) -> RecipientState:
    """The state that follows. Raises IllegalTransitionError where the table has no answer."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise IllegalTransitionError(f"a {state} copy cannot be {event}")
    return following


def changed(state: RecipientState, new: RecipientState) -> RecipientState:
    """``new``, if some event leads there from ``state``. Raises IllegalTransitionError otherwise."""
    if new not in TRANSITIONS[state].values():
        raise IllegalTransitionError(f"a {state} copy cannot become {new}")
    return new
