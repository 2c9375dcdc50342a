"""Opening messages: access rule, then the audit entry, committed, and only then the content.

So there is no reading without an entry (promise I6); an entry without a reading, after a crash in between, is the
harmless side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from sqlalchemy import Connection

from mailstore import audit_trail, mailboxes, message_records
from mailstore.actor import Actor, Role
from mailstore.addresses import HeaderAddress, header_addresses
from mailstore.audit_entry import AuditFact
from mailstore.errors import NotFoundError
from mailstore.message import (
    AccountId,
    MessageId,
    MessageSummary,
    RecipientState,
    StoredMessage,
    StoredRecipient,
)
from mailstore.message_parts import LIMITS, Attachment, ParsedMessage, parse
from mailstore.retrieval import Retrieval
from portal import html_view
from portal.conversations import Conversations
from portal.people import People
from portal.sign_in import Desk

OPENED = "message.opened"
BODY_SHOWN = "message.body_shown"
ATTACHMENT_OPENED = "message.attachment_opened"
READING_EVENTS = frozenset({OPENED, BODY_SHOWN, ATTACHMENT_OPENED, "archive.message_opened"})


@dataclass(frozen=True)
class OpenedMessage:
    """A message that was opened for somebody, taken apart."""

    stored: StoredMessage
    summary: MessageSummary = field(repr=False)
    content: bytes = field(repr=False)
    parsed: ParsedMessage = field(repr=False)

    @property
    def sender(self) -> HeaderAddress | None:
        """Whom the From field names first."""
        named = header_addresses(self.summary.from_)
        return named[0] if named else None

    @property
    def text(self) -> str | None:
        """The plain text of the message, when it says anything; with the words of designed parts that only say them.

        Gateways put a foot line in plain text below a letter in HTML: that alone would hide the letter.
        """
        bodies = [body for body in self.parsed.bodies if body.kind == "text" or not body.is_one_of_several]
        if not any(body.kind == "text" and body.text.strip() for body in bodies):
            return None
        texts = [body.text if body.kind == "text" else html_view.plain_words(body.text) for body in bodies]
        return "\n\n".join(text for text in texts if text.strip())

    @property
    def html(self) -> str | None:
        """The HTML of the message as its sender wrote it: hostile until ``html_view`` has seen it.

        Some mail programs begin a new part behind each file, so all of them together are what was written.
        """
        texts = [body.text for body in self.parsed.bodies if body.kind == "html"]
        return "\n".join(texts) if texts else None

    def picture(self, content_id: str) -> tuple[str, bytes] | None:
        """Media type and bytes of the file that the HTML calls by this Content-ID (RFC 2392)."""
        found = self._by_content_id.get(content_id)
        return (found.content_type, found.content) if found else None

    @cached_property
    def _by_content_id(self) -> dict[str, Attachment]:
        return {file.content_id: file for file in reversed(self.parsed.attachments) if file.content_id}


@dataclass(frozen=True)
class Reader:
    """Somebody who opened a message, and when first."""

    account: AccountId
    name: str = field(repr=False)
    role: Role
    at: datetime


class Reading:
    """Opens messages for those who may."""

    def __init__(self, desk: Desk, retrieval: Retrieval, conversations: Conversations, people: People) -> None:
        self._desk = desk
        self._retrieval = retrieval
        self._conversations = conversations
        self._people = people

    def open_message(self, actor: Actor, message: MessageId) -> OpenedMessage:
        """Open one message. Raises NotFoundError when it is not this person's to open, or not there."""
        self._record(actor, (message,), OPENED)
        return self._opened(message)

    def open_conversation(self, actor: Actor, conversation: str) -> list[OpenedMessage]:
        """Open every message of a conversation that is this person's to open, oldest first."""
        visible = [stored.id for stored in self._conversations.conversation(actor, conversation)]
        self._record(actor, tuple(visible), OPENED)
        return [self._opened(message) for message in visible]

    def open_body(self, actor: Actor, message: MessageId) -> OpenedMessage:
        """Open a message for its HTML frame alone."""
        self._record(actor, (message,), BODY_SHOWN)
        return self._opened(message)

    def open_attachment(self, actor: Actor, message: MessageId, position: int) -> Attachment:
        """Open one attachment. Raises NotFoundError."""
        if not 0 <= position < LIMITS.parts:
            raise NotFoundError("no such attachment")
        self._record(actor, (message,), ATTACHMENT_OPENED, position=position)
        attachments = self._opened(message).parsed.attachments
        found = next((each for each in attachments if each.position == position), None)
        if found is None:
            raise NotFoundError("no such attachment")
        return found

    def mark_unread(self, actor: Actor, message: MessageId) -> None:
        """Show a message as new again in one's own mailbox. Raises NotFoundError."""
        with self._desk.database.write() as connection:
            self._conversations.openable(connection, actor, message)
            mailbox = mailboxes.of_account(connection, actor.account)
            if mailbox is None:
                raise NotFoundError("no mailbox")
            mailboxes.mark_seen(connection, mailbox.id, message, seen=False)

    def recipients(self, actor: Actor, message: MessageId) -> tuple[StoredRecipient, ...]:
        """Each recipient's way, for the author or somebody in whose mailbox the message lies."""
        self._conversations.of_message(actor, message)
        return tuple(self._retrieval.recipients(message))

    def readers_of(self, actor: Actor, message: MessageId) -> tuple[Reader, ...]:
        """Who opened a message, from the audit trail, first reading first. The asker must be able to open it."""
        with self._desk.database.read() as connection:
            self._conversations.openable(connection, actor, message)
            entries = audit_trail.about(connection, message)
        first: dict[AccountId, datetime] = {}
        for entry in entries:
            if entry.event in READING_EVENTS:
                first.setdefault(AccountId(entry.actor), entry.at)
        names = self._people.names(frozenset(first))
        readers = [
            Reader(who, names[who].person.name, names[who].role, at) for who, at in first.items() if who in names
        ]
        return tuple(sorted(readers, key=lambda reader: reader.at))

    def _record(self, actor: Actor, messages: tuple[MessageId, ...], event: str, **detail: int) -> None:
        """Check, then write the entries and what opening changes, in one transaction."""
        with self._desk.database.write() as connection:
            now = self._desk.clock.now()
            for message in messages:
                self._conversations.openable(connection, actor, message)
            facts = [
                AuditFact(event, actor.account, message, {"role": actor.role.value, **detail}) for message in messages
            ]
            audit_trail.append(connection, facts, now=now)
            for message in messages:
                self._mark(connection, actor, message, now)

    def _mark(self, connection: Connection, actor: Actor, message: MessageId, now: datetime) -> None:
        if actor.role is Role.PATIENT:
            for position in self._conversations.recipient_positions(connection, actor, message):
                message_records.set_recipient(connection, message, position, state=RecipientState.OPENED, now=now)
            return
        mailbox = mailboxes.of_account(connection, actor.account)
        if mailbox is not None and mailboxes.holds(connection, mailbox.id, message):
            mailboxes.mark_seen(connection, mailbox.id, message)

    def _opened(self, message: MessageId) -> OpenedMessage:
        with self._desk.database.read() as connection:
            stored = message_records.stored(connection, message)
        content = self._retrieval.content(message)
        return OpenedMessage(stored, self._retrieval.summary(stored), content, parse(content))
