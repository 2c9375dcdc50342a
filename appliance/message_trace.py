"""Where a message stands: each recipient's way with its reasons, and what happened to it, from the audit trail."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mailstore import audit_trail
from mailstore.audit_entry import AuditEntry
from mailstore.database import Database
from mailstore.errors import NotFoundError
from mailstore.message import MessageId, RecipientState, Route, StoredRecipient
from mailstore.retrieval import Retrieval

UNKNOWN_ID = "say the 26 characters that a list shows as its id"


@dataclass(frozen=True)
class TracedRecipient:
    """One recipient's way. ``last_reply`` is what their server said last."""

    address: str = field(repr=False)
    route: Route
    reasons: tuple[str, ...] = field(repr=False)
    state: RecipientState
    attempts: int
    last_reply: str = field(repr=False)


@dataclass(frozen=True)
class TracedEvent:
    """One entry of the audit trail about the message. ``position`` is the recipient's place, if it is about one."""

    at: datetime
    event: str
    position: int | None


@dataclass(frozen=True)
class Trace:
    """A message's recipients in envelope order, and its events, oldest first."""

    recipients: tuple[TracedRecipient, ...]
    events: tuple[TracedEvent, ...]


class MessageTrace:
    """Traces messages. Whoever calls decided that the asker may know (``access_rules``)."""

    def __init__(self, database: Database, retrieval: Retrieval) -> None:
        self._database = database
        self._retrieval = retrieval

    def trace(self, message: MessageId) -> Trace:
        """The whole trace. Raises ``NotFoundError``, ``DestroyedError`` and ``TamperedError`` as retrieval does."""
        try:
            recipients = tuple(_recipient(each) for each in self._retrieval.recipients(message))
        except NotFoundError:
            raise NotFoundError("no such message", fix=UNKNOWN_ID) from None
        with self._database.read() as connection:
            entries = audit_trail.about(connection, message)
        return Trace(recipients, tuple(_event(entry) for entry in entries))


def _recipient(stored: StoredRecipient) -> TracedRecipient:
    return TracedRecipient(
        address=stored.address,
        route=stored.route,
        reasons=stored.reasons,
        state=stored.state,
        attempts=stored.attempts,
        last_reply=stored.last_reply,
    )


def _event(entry: AuditEntry) -> TracedEvent:
    position = entry.detail.get("position")
    return TracedEvent(entry.at, entry.event, position if isinstance(position, int) else None)
