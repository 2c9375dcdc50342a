"""A trace tells each recipient's way and what happened, oldest first, for messages that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.message_trace import MessageTrace
from mailstore.errors import NotFoundError
from mailstore.message import MessageId, RecipientState, Route
from tests.flows.outbound_practice import DOCTOR, practice, route
from tests.flows.receiving_server import receiving


def test_a_trace_shows_every_recipient_and_every_event(tmp_path: Path) -> None:
    with practice(tmp_path) as house, receiving() as server:
        house.routes.append(route("partner.example", server.port))
        message = house.send(DOCTOR, "patient@partner.example")
        house.step()
        trace = MessageTrace(house.database, house.retrieval).trace(message)
    ours, patient = trace.recipients
    assert (ours.address, ours.route, ours.state) == (DOCTOR, Route.MAILBOX, RecipientState.DELIVERED)
    assert (patient.address, patient.route) == ("patient@partner.example", Route.PORTAL)
    assert patient.reasons[0] == "mx.partner.example offers no encryption"
    assert [(event.event, event.position) for event in trace.events] == [
        ("message.accepted", None),
        ("message.route_decided", 1),
        ("notice.sent", 1),
    ]
    assert [event.at for event in trace.events] == sorted(event.at for event in trace.events)


def test_events_name_nobody(tmp_path: Path) -> None:
    with practice(tmp_path) as house, receiving() as server:
        house.routes.append(route("partner.example", server.port))
        message = house.send("patient@partner.example")
        house.step()
        assert "patient" not in repr(MessageTrace(house.database, house.retrieval).trace(message))


def test_a_message_that_was_never_ours_has_no_trace(tmp_path: Path) -> None:
    with practice(tmp_path) as house:
        for strange in ("a" * 26, "", "b" * 100_000, "a\x1b[31m"):
            with pytest.raises(NotFoundError) as refused:
                MessageTrace(house.database, house.retrieval).trace(MessageId(strange))
            assert refused.value.message == "no such message", "what was asked for is not echoed"
            assert refused.value.fix
