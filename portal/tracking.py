"""Where a sent message stands for each recipient, and who has mail in the portal but no way in yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.addresses import parse_mailbox
from mailstore.audit_entry import AuditEntry
from mailstore.errors import DestroyedError, NotFoundError
from mailstore.key_hierarchy import address_index
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, MessageId, MessageSummary, Route, StoredMessage, StoredRecipient
from mailstore.retrieval import Retrieval
from portal import access_rules, delivery_words
from portal.conversations import Conversations, ListedMessage
from portal.delivery_words import Access, Words
from portal.errors import ForbiddenError
from portal.people import People
from portal.reading import READING_EVENTS
from portal.sign_in import Desk

SENT_AT_ONCE = 25
WAITING_SHOWN = 50


@dataclass(frozen=True)
class Happening:
    """One thing that happened, for people: when, what, and by whom where it was a person."""

    at: datetime
    words: str
    by: str = field(default="", repr=False)


@dataclass(frozen=True)
class Way:
    """One recipient's way so far."""

    recipient: StoredRecipient
    name: str = field(repr=False)
    words: Words
    access: Access
    happenings: tuple[Happening, ...]


@dataclass(frozen=True)
class TrackedMessage:
    """A message its author sent: each recipient's way, and what happened to the message as a whole."""

    stored: StoredMessage
    summary: MessageSummary = field(repr=False)
    ways: tuple[Way, ...]
    happenings: tuple[Happening, ...]

    @property
    def together(self) -> Words:
        """One lamp for the whole message."""
        return delivery_words.together([way.recipient for way in self.ways])


@dataclass(frozen=True)
class SentMessage:
    """One line of the list of sent mail."""

    listed: ListedMessage
    names: tuple[str, ...] = field(repr=False)
    words: Words


@dataclass(frozen=True)
class SentPage:
    """One page of sent mail. ``before`` continues it; None at the end."""

    items: tuple[SentMessage, ...]
    total: int
    before: int | None


@dataclass(frozen=True)
class WaitingPerson:
    """Somebody for whom mail waits in the portal and who has no account. ``position`` is theirs in ``message``."""

    address: str = field(repr=False)
    message: MessageId
    position: int
    since: datetime
    messages: int


class Tracking:
    """Sent mail, for its author; people without access, for those who enrol them."""

    def __init__(
        self, desk: Desk, retrieval: Retrieval, conversations: Conversations, people: People, *, lookup_key: bytes
    ) -> None:
        self._desk = desk
        self._retrieval = retrieval
        self._conversations = conversations
        self._people = people
        self._lookup_key = lookup_key

    def sent(self, actor: Actor, before: int | None = None) -> SentPage:
        """One page of what this person sent, newest first."""
        page = self._conversations.folder(actor, Folder.SENT, limit=SENT_AT_ONCE, before=before)
        return SentPage(tuple(self._sent(actor, each) for each in page.items), page.total, page.before)

    def of(self, actor: Actor, message: MessageId) -> TrackedMessage:
        """A message's whole way. Raises NotFoundError for everybody but its author: blind copies stay blind."""
        stored = self._conversations.of_message(actor, message)
        if stored.author != actor.account:
            raise NotFoundError("no such message")
        with self._desk.database.read() as connection:
            entries = audit_trail.about(connection, message)
        names = self._names(entries)
        ways = tuple(self._way(actor, each, entries) for each in self._retrieval.recipients(message))
        about_all = [each for each in entries if _is_about(each) is None]
        return TrackedMessage(stored, self._conversations.summary(stored), ways, _happenings(about_all, names))

    def waiting_for_access(self, actor: Actor) -> list[WaitingPerson]:
        """Outside people for whom mail waits in the portal and who have no account, longest waiting last."""
        if not access_rules.may_enrol_patients(actor):
            raise ForbiddenError("this is for those who enrol patients")
        with self._desk.database.read() as connection:
            rows = message_records.unopened_on(connection, Route.PORTAL)
        known = {self._people.index_of(account) for account in self._people.patients(actor)}
        found: dict[bytes, WaitingPerson] = {}
        for message, row in rows:
            if row.address_index in known:
                continue
            before = found.get(row.address_index)
            if before is None and len(found) >= WAITING_SHOWN:
                continue
            address = before.address if before else self._address(message, row.position)
            if address:
                count = before.messages + 1 if before else 1
                found[row.address_index] = WaitingPerson(address, message, row.position, row.changed_at, count)
        return list(found.values())

    def waiting_person(self, actor: Actor, message: MessageId, position: int) -> str:
        """The address of one waiting recipient, for enrolling them. Raises NotFoundError."""
        if not access_rules.may_enrol_patients(actor):
            raise ForbiddenError("this is for those who enrol patients")
        recipient = self._retrieval.recipient(message, position)
        if recipient.route is not Route.PORTAL:
            raise NotFoundError("nobody waits here")
        return recipient.address

    def waiting_messages(self, actor: Actor, address: str) -> int:
        """How many unopened messages wait in the portal for an address."""
        if not access_rules.may_see_patients(actor):
            raise ForbiddenError("this is for those who enrol patients")
        index = address_index(self._lookup_key, parse_mailbox(address))
        with self._desk.database.read() as connection:
            rows = message_records.unopened_on(connection, Route.PORTAL)
        return sum(1 for _, row in rows if row.address_index == index)

    def _address(self, message: MessageId, position: int) -> str:
        try:
            return self._retrieval.recipient(message, position).address
        except (DestroyedError, NotFoundError):
            return ""

    def _sent(self, actor: Actor, listed: ListedMessage) -> SentMessage:
        recipients = [] if listed.is_damaged else self._retrieval.recipients(listed.stored.id)
        names = tuple(self._people.name_of(actor, each.address) or each.address for each in recipients)
        return SentMessage(listed, names, delivery_words.together(recipients))

    def _way(self, actor: Actor, recipient: StoredRecipient, entries: list[AuditEntry]) -> Way:
        in_portal = recipient.route is Route.PORTAL
        access = self._people.access_of(actor, recipient.address) if in_portal else Access.UNTOLD
        theirs = [each for each in entries if _is_about(each) == recipient.position]
        name = self._people.name_of(actor, recipient.address)
        return Way(recipient, name, delivery_words.state(recipient), access, _happenings(theirs, {}))

    def _names(self, entries: list[AuditEntry]) -> dict[str, str]:
        accounts = self._people.names(frozenset(AccountId(each.actor) for each in entries))
        return {str(name): account.person.name for name, account in accounts.items()}


def is_waiting_for_access(way: Way) -> bool:
    """True when mail waits in the portal for somebody who cannot get in yet."""
    return way.access in {Access.NONE, Access.CODE}


def _is_about(entry: AuditEntry) -> int | None:
    """The place of the recipient that an entry is about; readings are about the message."""
    position = entry.detail.get("position")
    return position if isinstance(position, int) and entry.event not in READING_EVENTS else None


def _happenings(entries: list[AuditEntry], names: Mapping[str, str]) -> tuple[Happening, ...]:
    """In words, and what repeats only once: the first time that somebody did something."""
    first = {(each.event, each.actor, each.detail.get("route")): each for each in reversed(entries)}
    told = ((each, delivery_words.event(each.event)) for each in sorted(first.values(), key=lambda one: one.sequence))
    return tuple(Happening(each.at, words, names.get(each.actor, "")) for each, words in told if words is not None)
