"""Opening an archived message for those whose task it is: the role, then the audit entry, then the content.

A message stays what it is: nobody's mailbox marks it as read, and the patient sees in their list of readers who
opened it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from archive import archive_records
from archive.two_persons import KEEPERS, require_role
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import NotFoundError
from mailstore.message import MessageId, MessageSummary, StoredMessage, StoredRecipient
from mailstore.message_parts import LIMITS, Attachment, parse
from mailstore.retrieval import Retrieval
from mailstore.wall_clock import Clock

OPENED = "archive.message_opened"
BODY_SHOWN = "archive.body_shown"
ATTACHMENT_OPENED = "archive.attachment_opened"


@dataclass(frozen=True)
class ArchivedMessage:
    """A message of the archive, opened: ``content`` is the very bytes that came after DATA."""

    stored: StoredMessage
    summary: MessageSummary = field(repr=False)
    content: bytes = field(repr=False)
    category: str
    recipients: tuple[StoredRecipient, ...] = ()


class ArchiveReading:
    """The archive's own door to messages."""

    def __init__(self, *, database: Database, retrieval: Retrieval, clock: Clock) -> None:
        self._database = database
        self._retrieval = retrieval
        self._clock = clock

    def open(self, actor: Actor, message: MessageId) -> ArchivedMessage:
        """Open one message. Raises ``NotPermittedError``, ``NotFoundError`` and ``DestroyedError``."""
        return self._open(actor, message, OPENED)

    def open_body(self, actor: Actor, message: MessageId) -> ArchivedMessage:
        """Open a message for the frame that shows its HTML."""
        return self._open(actor, message, BODY_SHOWN)

    def open_attachment(self, actor: Actor, message: MessageId, position: int) -> Attachment:
        """Open one attachment. Raises ``NotFoundError`` also when the message has no such attachment."""
        if not 0 <= position < LIMITS.parts:
            raise NotFoundError("there is no such attachment")
        opened = self._open(actor, message, ATTACHMENT_OPENED, position=position)
        for attachment in parse(opened.content).attachments:
            if attachment.position == position:
                return attachment
        raise NotFoundError("there is no such attachment")

    def _open(self, actor: Actor, message: MessageId, event: str, **detail: int) -> ArchivedMessage:
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            entry = archive_records.find(connection, message)
            stored = message_records.stored(connection, message)
            if entry is None:
                raise NotFoundError("this message is not in the archive yet", fix="Try again in a moment.")
            fact = AuditFact(event, actor.account, message, {"role": actor.role.value, **detail})
            audit_trail.append(connection, [fact], now=self._clock.now())
        return ArchivedMessage(
            stored=stored,
            summary=self._retrieval.summary(stored),
            content=self._retrieval.content(message),
            category=entry.category,
            recipients=tuple(self._retrieval.recipients(message)),
        )
