"""What a list shows of archived messages by their ids: for whoever decides over them without opening each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from archive.two_persons import KEEPERS, require_role
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.message import MessageId, MessageSummary, StoredMessage
from mailstore.retrieval import Retrieval
from mailstore.wall_clock import Clock

LISTED = "archive.listed"


@dataclass(frozen=True)
class ListedMessage:
    """One message as a list shows it."""

    id: MessageId
    subject: str = field(repr=False)
    from_: str = field(repr=False)
    received_at: datetime


class ArchiveListing:
    """Opens the summaries of messages, with one audit entry a list."""

    def __init__(self, *, database: Database, retrieval: Retrieval, clock: Clock) -> None:
        self._database = database
        self._retrieval = retrieval
        self._clock = clock

    def of(self, actor: Actor, messages: Collection[MessageId], *, about: str) -> dict[MessageId, ListedMessage]:
        """Subjects and senders of these messages; those that are gone are left out.

        ``about`` is the id of the hold or disposal that the list belongs to, for the audit entry.
        """
        require_role(actor, KEEPERS)
        if not messages:
            return {}
        with self._database.write() as connection:
            fact = AuditFact(LISTED, actor.account, about, {"messages": len(messages)})
            audit_trail.append(connection, [fact], now=self._clock.now())
            stored = {each.id: each for each in message_records.stored_many(connection, list(messages))}
        summaries = self._retrieval.summaries(stored.values())
        return {id_: _listed(stored[id_], summary) for id_, summary in summaries.items()}


def _listed(stored: StoredMessage, summary: MessageSummary) -> ListedMessage:
    return ListedMessage(stored.id, summary.subject, summary.shown_sender, stored.received_at)
