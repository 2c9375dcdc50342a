from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.acceptance import Acceptance
from appliance.directory import Directory
from appliance.smtp_acceptance import AcceptanceLimits
from mailstore import audit_trail, mailboxes, outbox
from mailstore.actor import SYSTEM, Actor, Role
from mailstore.addresses import Address
from mailstore.errors import StorageUnavailableError
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, Envelope, MessageId, Origin, Peer, ReceivedMessage, RecipientState, Route
from mailstore.outbox import Kind
from portal.front_door import Accepted, Refused
from tests.vault_room import NOW, Vault

ALICE = Address("alice", "clinic.example")
PAT = Address("pat", "elsewhere.example")
STAFF = Actor(AccountId("a" * 26), Role.FRONTDESK)
PATIENT = Actor(AccountId("p" * 26), Role.PATIENT)


class Room:
    def __init__(self, folder: Path) -> None:
        self.vault = Vault(folder)
        self.mailbox = self.vault.mailbox(STAFF.account, ALICE.text)
        self.depositor = self.vault.depositor()
        self.directory = Directory(
            self.vault.database, lookup_key=self.vault.ring.lookup_key, domains=["Clinic.Example"]
        )
        limits = AcceptanceLimits(10_000, recipients=3, hops=5)
        self.gauge = self.vault.gauge()
        self.acceptance = Acceptance(
            self.depositor, self.directory, gauge=self.gauge, limits=limits, host_name="mx.clinic.example"
        )

    def accept(self, actor: Actor | None = None, **changes: object) -> Accepted | Refused:
        message = ReceivedMessage(
            Envelope(PAT, (ALICE,)), b"From: pat@elsewhere.example\r\nSubject: x\r\n\r\ny\r\n", NOW, Origin.SMTP
        )
        return self.acceptance.accept(replace(message, **changes), actor)  # type: ignore[arg-type]

    def taken(self, actor: Actor | None = None, **changes: object) -> MessageId:
        answer = self.accept(actor, **changes)
        assert isinstance(answer, Accepted), answer
        return answer.message_id

    def entries(self, folder: Folder) -> list[MessageId]:
        with self.vault.database.read() as connection:
            return [entry.message for entry in mailboxes.entries(connection, self.mailbox, folder, 100)]

    def waiting(self) -> dict[Kind, int]:
        with self.vault.database.read() as connection:
            return dict(outbox.waiting(connection))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path / "vault")
    yield room
    room.depositor.close()
    room.vault.close()


def test_accepted_message_is_whole_in_its_mailbox_with_its_audit_entry(room: Room) -> None:
    message = room.taken(peer=Peer("192.0.2.1", "mail.elsewhere.example", "TLSv1.3 X"))
    retrieval = room.vault.retrieval()
    assert retrieval.content(message) == b"From: pat@elsewhere.example\r\nSubject: x\r\n\r\ny\r\n"
    assert room.entries(Folder.INBOX) == [message]
    assert room.waiting()[Kind.CAPTURE] == 1
    with room.vault.database.read() as connection:
        (entry,) = audit_trail.about(connection, message)
    assert (entry.event, entry.actor) == ("message.accepted", "system")
    assert entry.detail["origin"] == "smtp"


def test_outside_recipient_of_staff_gets_an_item_at_its_position(room: Room) -> None:
    message = room.taken(STAFF, origin=Origin.WEBMAIL, envelope=Envelope(ALICE, (ALICE, PAT)))
    assert room.waiting()[Kind.DELIVER] == 1
    (item,) = outbox.claim(
        room.vault.database, [Kind.DELIVER], now=NOW, limit=5, lease=timedelta(minutes=1), worker="worker"
    )
    assert (item.message, item.position) == (message, 1)
    routes = [(each.route, each.state) for each in room.vault.retrieval().recipients(message)]
    assert routes == [(Route.MAILBOX, RecipientState.DELIVERED), (Route.UNDECIDED, RecipientState.QUEUED)]


def test_staff_find_what_they_sent_and_strangers_do_not(room: Room) -> None:
    sent = room.taken(STAFF, origin=Origin.WEBMAIL, envelope=Envelope(ALICE, (PAT,)))
    room.taken()
    assert room.entries(Folder.SENT) == [sent]


def test_patient_writes_to_the_practice_and_nowhere_else(room: Room) -> None:
    assert isinstance(room.accept(PATIENT, origin=Origin.PORTAL), Accepted)
    outside = Envelope(PAT, (ALICE, Address("third", "elsewhere.example")))
    refused = room.accept(PATIENT, origin=Origin.PORTAL, envelope=outside)
    assert isinstance(refused, Refused)
    assert refused.code == "outside_recipient"
    for origin in (Origin.WEBMAIL, Origin.SUBMISSION, Origin.SYSTEM):
        assert isinstance(room.accept(PATIENT, origin=origin, envelope=outside), Refused)


def test_mail_from_other_servers_never_leaves_again_whoever_is_named_as_actor(room: Room) -> None:
    outside = Envelope(ALICE, (PAT,))
    for actor in (None, SYSTEM, STAFF):
        assert isinstance(room.accept(actor, envelope=outside), Refused)


def test_mail_of_our_own_may_go_out(room: Room) -> None:
    room.taken(SYSTEM, origin=Origin.SYSTEM, envelope=Envelope(None, (PAT,)))
    assert room.entries(Folder.SENT) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"envelope": Envelope(PAT, ())}, "no_recipients"),
        ({"envelope": Envelope(PAT, (ALICE,) * 4)}, "too_many_recipients"),
        ({"envelope": Envelope(PAT, (Address("nobody", "clinic.example"),))}, "no_such_mailbox"),
        ({"content": b"x" * 10_001}, "too_large"),
        ({"content": b"a\nb"}, "bare_line_ends"),
        ({"content": b"Received: x\r\n" * 6}, "too_many_hops"),
    ],
)
def test_refused_message_leaves_nothing(room: Room, changes: dict[str, object], code: str) -> None:
    refused = room.accept(None, **changes)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert room.entries(Folder.INBOX) == []
    assert room.waiting() == {}


def test_submission_in_another_name_is_refused_behind_the_protocol_too(room: Room) -> None:
    own = b"From: alice@clinic.example\r\n\r\nx\r\n"
    honest = {"origin": Origin.SUBMISSION, "envelope": Envelope(ALICE, (PAT,)), "content": own}
    room.taken(STAFF, **honest)
    stranger = Actor(AccountId("z" * 26), Role.CLINICIAN)
    for actor, changes in (
        (None, {}),
        (stranger, {}),
        (STAFF, {"envelope": Envelope(PAT, (ALICE,))}),
        (STAFF, {"envelope": Envelope(None, (ALICE,))}),
        (STAFF, {"content": b"From: boss@clinic.example\r\n\r\nx\r\n"}),
    ):
        assert isinstance(room.accept(actor, **(honest | changes)), Refused)


def test_one_person_named_by_two_spellings_is_one_recipient(room: Room) -> None:
    message = room.taken(envelope=Envelope(PAT, (ALICE, Address("ALICE", "CLINIC.example"))))
    assert len(room.vault.retrieval().recipients(message)) == 1


def test_storage_that_fails_is_an_error_and_never_a_promise(room: Room) -> None:
    room.vault.keystore.close()
    with pytest.raises(StorageUnavailableError):
        room.accept()
    assert room.entries(Folder.INBOX) == []


def test_directory_owns_by_mailbox_only(room: Room) -> None:
    assert room.directory.owns(STAFF.account, ALICE)
    assert not room.directory.owns(PATIENT.account, ALICE)
    assert not room.directory.owns(PATIENT.account, Address("nobody", "clinic.example"))
    assert not room.directory.owns(STAFF.account, PAT)


def test_new_mailbox_is_found_when_the_memory_fades(room: Room) -> None:
    directory = Directory(
        room.vault.database, lookup_key=room.vault.ring.lookup_key, domains=["clinic.example"], fresh_seconds=0.0
    )
    bob = Address("bob", "clinic.example")
    assert directory.mailbox_named(bob) is None
    mailbox = room.vault.mailbox("b" * 26, bob.text)
    assert directory.mailbox_named(bob) == mailbox
