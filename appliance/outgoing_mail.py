"""Opens a stored message for the work that an outbox item asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance import relayed_message
from appliance.delivery_progress import Work
from appliance.relayed_message import RelayedMessage
from mailstore import message_records
from mailstore.addresses import Address, canonical_domain, parse_mailbox
from mailstore.database import Database
from mailstore.errors import DestroyedError
from mailstore.message import MessageSummary, StoredMessage
from mailstore.outbox import OutboxItem
from mailstore.retrieval import Retrieval

UNKNOWN_DOMAIN = "unknown.invalid"
"""The right side of a Message-ID when there is no sender whose domain it could have (RFC 2606 section 2)."""


@dataclass(frozen=True)
class Outgoing:
    """A message that is to go out, and those of its recipients that the claimed items are about."""

    sender: Address | None
    works: tuple[Work, ...]
    summary: MessageSummary = field(repr=False)
    content: bytes = field(repr=False)

    def prepared(self, *, is_possible_duplicate: bool) -> RelayedMessage:
        """The copy that travels, with the trace fields that were kept beside the message."""
        return relayed_message.prepared(
            self.content,
            trace_field=self.summary.trace_fields.encode(),
            is_possible_duplicate=is_possible_duplicate,
            added=self._missing_fields(),
        )

    def _missing_fields(self) -> bytes:
        """What the writer's program left out; the same for every recipient and every attempt."""
        stored, sender = self.works[0].message, self.sender
        domain = canonical_domain(sender.domain) if sender else UNKNOWN_DOMAIN
        return relayed_message.missing_fields(
            self.content, message_id=f"<{stored.id}@{domain}>", accepted_at=stored.received_at
        )


NOTHING = Outgoing(None, (), MessageSummary(), b"")
"""What is left to do for a message that was destroyed."""


class OutgoingMail:
    """Opens messages with the key ring of the worker."""

    def __init__(self, database: Database, retrieval: Retrieval) -> None:
        self._database = database
        self._retrieval = retrieval

    def opened(self, items: Sequence[OutboxItem], *, with_content: bool) -> Outgoing:
        """The message that these items, all of one message, are about; ``NOTHING`` when it was destroyed.

        Raises ``StorageUnavailableError`` and ``TamperedError`` as ``Retrieval`` does.
        """
        message = items[0].message
        if message is None:
            return NOTHING
        try:
            with self._database.read() as connection:
                stored = message_records.stored(connection, message)
            summary = self._retrieval.summary(stored)
            works = tuple(self._work(item, stored) for item in items if item.position is not None)
            content = self._retrieval.content(message) if with_content else b""
        except DestroyedError:
            return NOTHING
        sender = parse_mailbox(summary.sender) if summary.sender else None
        return Outgoing(sender, works, summary, content)

    def _work(self, item: OutboxItem, stored: StoredMessage) -> Work:
        recipient = self._retrieval.recipient(stored.id, item.position or 0)
        return Work(item, stored, recipient, parse_mailbox(recipient.address))
