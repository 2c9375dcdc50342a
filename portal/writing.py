"""Sending: from what somebody typed to a message at the front door, once.

Patients write to the practice alone, under their own address; staff write to anybody under theirs. Bcc recipients
are in the envelope and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from mailstore.actor import Actor, Role
from mailstore.addresses import Address, BadAddressError, header_addresses, parse_mailbox, strict_header_addresses
from mailstore.errors import LimitExceededError, RefusedError
from mailstore.message import Envelope, MessageId, MessageSummary, Origin, Peer, ReceivedMessage
from mailstore.message_composition import ComposedAttachment, ComposedMessage, compose, new_message_id
from mailstore.spool_gauge import SpoolFullError
from portal import access_rules
from portal.account_records import Account, AccountState
from portal.conversations import Conversations
from portal.drafts import Drafts
from portal.errors import ForbiddenError
from portal.front_door import Accepted, FrontDoor, Refused
from portal.people import Contact, People
from portal.sign_in import Desk

LONGEST_SUBJECT = 200
LONGEST_TEXT = 500_000
NO_ROOM = "We cannot take new messages at the moment. What you wrote is still here: please send it again in a while."
_DRAFT_ID = re.compile(r"[a-z2-7]{26}")


@dataclass(frozen=True)
class Draft:
    """What somebody wants to send. ``contact`` names whom a patient writes to; staff fill ``to``, ``cc``, ``bcc``.

    ``answers`` is the message that this one answers; then a patient's contact is whoever wrote it.
    """

    id: str
    text: str = field(repr=False)
    subject: str = field(default="", repr=False)
    contact: str = ""
    to: str = field(default="", repr=False)
    cc: str = field(default="", repr=False)
    bcc: str = field(default="", repr=False)
    answers: MessageId | None = None
    files: tuple[ComposedAttachment, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Problem:
    """What stands against sending, beside the field it concerns, in words for its writer."""

    field_name: str
    message: str


@dataclass(frozen=True)
class NotReady:
    """The draft cannot be sent yet. Everything typed is kept."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Recipients:
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()

    @property
    def everybody(self) -> tuple[Address, ...]:
        return tuple({address.canonical: address for address in (*self.to, *self.cc, *self.bcc)}.values())


@dataclass(frozen=True)
class _Answered:
    """What a message answers: the conversation it belongs to, and the summary it refers to."""

    conversation: str
    summary: MessageSummary = field(repr=False)


class Writing:
    """Sends what people write."""

    def __init__(
        self, desk: Desk, people: People, conversations: Conversations, drafts: Drafts, front_door: FrontDoor
    ) -> None:
        self._desk = desk
        self._people = people
        self._conversations = conversations
        self._front_door = front_door
        self.drafts = drafts

    def contacts(self, actor: Actor) -> tuple[Contact, ...]:
        """Whom a patient may write to: the pools, and staff who wrote to them."""
        authors = {each.newest.stored.author for each in self._conversations.conversations(actor)}
        named = self._people.names(frozenset(author for author in authors if author))
        staff = [each for each in named.values() if each.role.is_staff and each.state is AccountState.ACTIVE]
        return (*self._people.pools(), *(self._people.contact_of(each) for each in staff))

    def answered_by(self, actor: Actor, message: MessageId) -> tuple[Contact, ...]:
        """Who at the practice gets a patient's answer to a message; nobody when it can go to none."""
        recipients, _problems = self._practice_behind(actor, self._answered_message(actor, message))
        found = (self._people.contact_at(address) for address in recipients.to)
        return tuple({each.key: each for each in found}.values())

    def send(self, actor: Actor, draft: Draft) -> Accepted | Refused | NotReady:
        """Send a draft, or answer as the first time when it was sent already."""
        if actor.role not in access_rules.EVERYBODY or not _DRAFT_ID.fullmatch(draft.id):
            raise ForbiddenError("this cannot be sent")
        answered = self._answered(actor, draft)
        recipients, problems = self._recipients(actor, draft, answered)
        problems += self._problems(draft, recipients)
        if problems:
            return NotReady(tuple(problems))
        claim = self.drafts.claim(actor, draft.id, answered.conversation if answered else None)
        if not claim.may_send:
            return Accepted(claim.sent_as) if claim.sent_as else Refused("busy", "This message is being sent already.")
        return self._at_the_door(actor, draft, recipients, answered.summary if answered else None)

    def problems(self, actor: Actor, draft: Draft) -> tuple[Problem, ...]:
        """What stands against sending a draft, before anything is sent."""
        recipients, problems = self._recipients(actor, draft, self._answered(actor, draft))
        return (*problems, *self._problems(draft, recipients))

    def _at_the_door(
        self, actor: Actor, draft: Draft, recipients: _Recipients, answered: MessageSummary | None
    ) -> Accepted | Refused:
        taken: MessageId | None = None
        try:
            answer = self._front_door.accept(self._received(actor, draft, recipients, answered), actor)
            if isinstance(answer, Accepted):
                taken = answer.message_id
        except (LimitExceededError, BadAddressError) as error:
            answer = Refused(error.code, error.message)
        except SpoolFullError as error:
            answer = Refused(error.code, NO_ROOM)
        finally:
            self.drafts.finish(actor, draft.id, taken)
        return answer

    def _received(
        self, actor: Actor, draft: Draft, recipients: _Recipients, answered: MessageSummary | None
    ) -> ReceivedMessage:
        author, now = self._people.me(actor), self._desk.clock.now()
        origin = Origin.PORTAL if actor.role is Role.PATIENT else Origin.WEBMAIL
        message = _composed(author, draft, recipients, answered)
        unique = hashlib.sha256(b"message of draft " + draft.id.encode()).digest()[:20]
        content = compose(message, now=now, message_id=new_message_id(unique, self._desk.settings.host))
        envelope = Envelope(message.from_address, recipients.everybody)
        return ReceivedMessage(envelope, content, now, origin, Peer(account=actor.account))

    def _answered(self, actor: Actor, draft: Draft) -> _Answered | None:
        """The message that is answered. Raises NotFoundError when it is not theirs."""
        return None if draft.answers is None else self._answered_message(actor, draft.answers)

    def _answered_message(self, actor: Actor, message: MessageId) -> _Answered:
        stored = self._conversations.of_message(actor, message)
        return _Answered(stored.conversation, self._conversations.summary(stored))

    def _recipients(self, actor: Actor, draft: Draft, answered: _Answered | None) -> tuple[_Recipients, list[Problem]]:
        if actor.role is not Role.PATIENT:
            return _typed_recipients(draft)
        if answered:
            return self._practice_behind(actor, answered)
        contact = next((each for each in self.contacts(actor) if each.key == draft.contact), None)
        if contact is None:
            return _Recipients(), [Problem("contact", "Choose whom you are writing to.")]
        return _Recipients(to=contact.addresses), []

    def _practice_behind(self, actor: Actor, answered: _Answered) -> tuple[_Recipients, list[Problem]]:
        """The practice's side of a conversation: who wrote, or, for one's own message, whom one wrote to."""
        summary = answered.summary
        mine = parse_mailbox(self._people.me(actor).person.email).canonical
        named = (*header_addresses(summary.from_), *header_addresses(summary.to), *header_addresses(summary.cc))
        found = [each.address for each in named if each.address is not None and self._is_local(each.address)]
        others = tuple({each.canonical: each for each in found if each.canonical != mine}.values())
        if others:
            return _Recipients(to=others), []
        pools = self._people.pools()
        if pools:
            return _Recipients(to=pools[0].addresses), []
        return _Recipients(), [Problem("text", "Nobody at the practice can take messages now. Please telephone.")]

    def _problems(self, draft: Draft, recipients: _Recipients) -> list[Problem]:
        settings, problems = self._desk.settings, []
        if draft.answers is None and not draft.subject.strip():
            problems.append(Problem("subject", "Write what the message is about, in a few words."))
        if len(draft.subject) > LONGEST_SUBJECT:
            problems.append(Problem("subject", f"Use at most {LONGEST_SUBJECT} characters."))
        if not draft.text.strip():
            problems.append(Problem("text", "Write your message."))
        if len(draft.text) > LONGEST_TEXT:
            problems.append(Problem("text", f"Use at most {LONGEST_TEXT} characters."))
        if sum(len(each.content) for each in draft.files) > settings.upload_limit_bytes:
            problems.append(
                Problem("files", f"The files are larger than {settings.upload_limit_bytes // 1_000_000} MB.")
            )
        if len(recipients.everybody) > settings.recipients_at_most:
            problems.append(Problem("to", f"Write to at most {settings.recipients_at_most} people at once."))
        return problems

    def _is_local(self, address: Address) -> bool:
        return address.canonical.rpartition("@")[2] in self._desk.settings.local_domains


def _typed_recipients(draft: Draft) -> tuple[_Recipients, list[Problem]]:
    found: dict[str, tuple[Address, ...]] = {}
    problems: list[Problem] = []
    for name, typed in (("to", draft.to), ("cc", draft.cc), ("bcc", draft.bcc)):
        found[name] = ()
        if not typed.strip():
            continue
        try:
            found[name] = strict_header_addresses(" ".join(typed.replace(";", ",").split()).strip(", "))
        except RefusedError:
            problems.append(
                Problem(name, "One of these is not an address. Write name@example.com, with commas between.")
            )
    recipients = _Recipients(**found)
    if not recipients.everybody and not problems:
        problems.append(Problem("to", "Write to whom the message goes."))
    return recipients, problems


def _composed(
    author: Account, draft: Draft, recipients: _Recipients, answered: MessageSummary | None
) -> ComposedMessage:
    subject = " ".join(draft.subject.split())
    if answered and not subject:
        subject = answered.subject if answered.subject.lower().startswith("re:") else f"Re: {answered.subject}"
    parent = answered.header_message_id if answered else ""
    return ComposedMessage(
        from_name=author.person.name,
        from_address=parse_mailbox(author.person.email),
        to=recipients.to,
        cc=recipients.cc,
        subject=subject[:LONGEST_SUBJECT],
        text=draft.text,
        attachments=draft.files,
        in_reply_to=parent,
        references=(*answered.references, parent)[-20:] if answered and parent else (),
    )
