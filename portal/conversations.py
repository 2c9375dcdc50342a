"""Which messages a person may see, in lists: a patient's conversations, a member of staff's folders.

Lists show what the summaries say. Opening a message is ``reading``'s business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from mailstore import mailboxes, message_records
from mailstore.actor import Actor, Role
from mailstore.addresses import header_addresses, parse_mailbox
from mailstore.errors import NotFoundError
from mailstore.key_hierarchy import address_index
from mailstore.mailboxes import Folder
from mailstore.message import MessageId, MessageSummary, RecipientState, Route, StoredMessage
from mailstore.retrieval import DAMAGED, Retrieval
from portal.access_rules import Relation, may_open
from portal.sign_in import Desk


@dataclass(frozen=True)
class ListedMessage:
    """One line of a list. ``sequence`` is the cursor for the next page; 0 where the list has none."""

    stored: StoredMessage
    summary: MessageSummary = field(repr=False)
    is_new: bool
    sequence: int = 0

    @property
    def is_damaged(self) -> bool:
        """True when nothing but this can be said of it."""
        return self.summary is DAMAGED


@dataclass(frozen=True)
class ListedConversation:
    """A conversation in a patient's list: its newest message, how many there are, how many are new.

    ``with_whom`` is who wrote last from the other side, or whom the patient wrote to.
    """

    id: str
    newest: ListedMessage
    subject: str = field(repr=False)
    with_whom: str = field(repr=False)
    messages: int
    new: int


@dataclass(frozen=True)
class FolderPage:
    """One page of a folder. ``before`` continues it; None at the end."""

    items: tuple[ListedMessage, ...]
    total: int
    unseen: int
    before: int | None


class Conversations:
    """The lists."""

    def __init__(self, desk: Desk, retrieval: Retrieval, *, lookup_key: bytes) -> None:
        self._desk = desk
        self._retrieval = retrieval
        self._lookup_key = lookup_key

    def conversations(self, actor: Actor) -> list[ListedConversation]:
        """A patient's conversations, the one with the newest message first."""
        with self._desk.database.read() as connection:
            visible = self._patients_messages(connection, actor)
            fresh = {stored.id for stored in visible if self._is_unopened(connection, actor, stored)}
        grouped: dict[str, list[StoredMessage]] = {}
        for stored in sorted(visible, key=lambda each: each.received_at):
            grouped.setdefault(stored.conversation, []).append(stored)
        found = (self._listed_conversation(actor, name, several, fresh) for name, several in grouped.items())
        listed = [each for each in found if each is not None]
        return sorted(listed, key=lambda each: each.newest.stored.received_at, reverse=True)

    def conversation(self, actor: Actor, conversation: str) -> list[StoredMessage]:
        """The messages of a conversation that this person may open, oldest first. Raises NotFoundError for none."""
        with self._desk.database.read() as connection:
            every = message_records.conversation_messages(connection, conversation)
            visible = [each for each in every if may_open(actor, self.relation(connection, actor, each))]
        if not visible:
            raise NotFoundError("no such conversation")
        return visible

    def of_message(self, actor: Actor, message: MessageId) -> StoredMessage:
        """The message, if this person may open it. Raises NotFoundError otherwise, whether it exists or not."""
        with self._desk.database.read() as connection:
            return self.openable(connection, actor, message)

    def openable(self, connection: Connection, actor: Actor, message: MessageId) -> StoredMessage:
        """As ``of_message``, inside the caller's transaction."""
        stored = message_records.stored(connection, message)
        if not may_open(actor, self.relation(connection, actor, stored)):
            raise NotFoundError("no such message")
        return stored

    def folder(self, actor: Actor, folder: Folder, *, limit: int = 50, before: int | None = None) -> FolderPage:
        """One page of a member of staff's own mailbox, newest first."""
        with self._desk.database.read() as connection:
            mailbox = mailboxes.of_account(connection, actor.account)
            if mailbox is None or not actor.role.is_staff:
                return FolderPage((), 0, 0, None)
            found = mailboxes.entries(connection, mailbox.id, folder, limit + 1, before)
            stored = message_records.stored_many(connection, [entry.message for entry in found[:limit]])
            total = mailboxes.count(connection, mailbox.id, folder)
            unseen = mailboxes.count(connection, mailbox.id, folder, unseen=True)
        known, summaries = {each.id: each for each in stored}, self._retrieval.summaries(stored)
        items = tuple(
            ListedMessage(known[entry.message], summaries[entry.message], not entry.seen, entry.sequence)
            for entry in found[:limit]
            if entry.message in summaries
        )
        return FolderPage(items, total, unseen, found[limit - 1].sequence if len(found) > limit else None)

    def count(self, actor: Actor, folder: Folder) -> int:
        """How many messages lie in a folder of a member of staff's own mailbox."""
        with self._desk.database.read() as connection:
            mailbox = mailboxes.of_account(connection, actor.account)
            return 0 if mailbox is None else mailboxes.count(connection, mailbox.id, folder)

    def summary(self, stored: StoredMessage) -> MessageSummary:
        """The summary of one message. Raises when it cannot be opened."""
        return self._retrieval.summary(stored)

    def listed(self, messages: Iterable[StoredMessage]) -> list[ListedMessage]:
        """Lines of a list, in the order given: the damaged ones say so, the destroyed ones are left out."""
        every = list(messages)
        summaries = self._retrieval.summaries(every)
        return [ListedMessage(each, summaries[each.id], is_new=False) for each in every if each.id in summaries]

    def relation(self, connection: Connection, actor: Actor, stored: StoredMessage) -> Relation:
        """What this person is to this message."""
        if actor.role is Role.PATIENT:
            mine = self._index_of(connection, actor)
            rows = message_records.recipient_rows(connection, stored.id)
            to_portal = any(row.address_index == mine and row.route is Route.PORTAL for row in rows)
            return Relation(is_author=stored.author == actor.account, is_portal_recipient=to_portal)
        mailbox = mailboxes.of_account(connection, actor.account)
        held = mailbox is not None and mailboxes.holds(connection, mailbox.id, stored.id)
        return Relation(is_author=stored.author == actor.account, is_in_mailbox=held)

    def recipient_positions(self, connection: Connection, actor: Actor, message: MessageId) -> Iterable[int]:
        """The places of this person among the recipients who have not opened the message yet."""
        mine = self._index_of(connection, actor)
        return [
            row.position
            for row in message_records.recipient_rows(connection, message)
            if row.address_index == mine and row.route is Route.PORTAL and row.state is not RecipientState.OPENED
        ]

    def _patients_messages(self, connection: Connection, actor: Actor) -> list[StoredMessage]:
        mine = self._index_of(connection, actor)
        received = message_records.messages_with_recipient(connection, mine, Route.PORTAL)
        written = message_records.authored_by(connection, actor.account)
        return list({stored.id: stored for stored in (*received, *written)}.values())

    def _is_unopened(self, connection: Connection, actor: Actor, stored: StoredMessage) -> bool:
        return any(True for _ in self.recipient_positions(connection, actor, stored.id))

    def _listed_conversation(
        self, actor: Actor, name: str, several: list[StoredMessage], fresh: set[MessageId]
    ) -> ListedConversation | None:
        """None when all of it was destroyed meanwhile."""
        of_others = [each for each in several if each.author != actor.account]
        shown = self.listed((several[0], *of_others[-1:], several[-1]))
        if not shown:
            return None
        first, newest = shown[0], replace(shown[-1], is_new=shown[-1].stored.id in fresh)
        of_other = next((each for each in reversed(shown) if each.stored.author != actor.account), None)
        with_whom = _first_name(of_other.summary.from_ if of_other else newest.summary.to)
        new = sum(1 for each in several if each.id in fresh)
        return ListedConversation(name, newest, first.summary.subject, with_whom, len(several), new)

    def _index_of(self, connection: Connection, actor: Actor) -> bytes:
        account = self._desk.records.by_id(connection, actor.account)
        return address_index(self._lookup_key, parse_mailbox(account.person.email))


def _first_name(field_body: str) -> str:
    """The first person in a header field, by name if there is one."""
    named = header_addresses(field_body)
    return (named[0].display_name or named[0].raw) if named else ""
