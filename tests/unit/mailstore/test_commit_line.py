from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import commit_line, failpoint, message_records
from mailstore.commit_line import CommitLine
from mailstore.deposit import Depositor
from mailstore.errors import StorageUnavailableError
from mailstore.message import MessageSummary
from mailstore.sealed_deposit import Committing, SealedDeposit
from mailstore.sealed_series import Arrival
from tests.vault_room import Vault, a_deposit


@dataclass
class Room:
    """A vault whose groups are written at the other end of a line."""

    vault: Vault

    def __post_init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.line = CommitLine(ours)
        self.depositor = Depositor(self.line, lookup_key=self.vault.ring.lookup_key, randomness=os.urandom)

    def serve(self, commit: Committing) -> threading.Thread:
        thread = threading.Thread(target=commit_line.serve, args=(self.theirs, commit))
        thread.start()
        return thread


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(Vault(tmp_path / "data"))
    yield made
    made.depositor.close()
    made.theirs.close()
    made.vault.close()


def test_message_stored_over_the_line_is_whole_and_in_its_mailbox(room: Room) -> None:
    serving = room.serve(room.vault.group_commit())
    mailbox = room.vault.mailbox()
    contents = [os.urandom(300_000), b"", b"short"]
    futures = [room.depositor.submit(a_deposit(each, mailbox=mailbox)) for each in contents]
    ids = [future.result(30) for future in futures]
    room.depositor.close()
    serving.join(60)
    assert not serving.is_alive(), "the writer outlived the line"
    assert [room.vault.retrieval().content(message) for message in ids] == contents


@dataclass
class Remembering:
    """Takes groups and stores nothing."""

    groups: list[SealedDeposit] = field(default_factory=list)

    def store(self, group: Sequence[SealedDeposit]) -> Sequence[Exception | None]:
        self.groups += group
        return [None] * len(group)

    def close(self) -> None:
        return


def test_what_arrives_is_what_was_sealed(room: Room) -> None:
    kept, summary = Remembering(), MessageSummary(header_message_id="<2@x>", references=("<1@x>",))
    here = Depositor(kept, lookup_key=room.vault.ring.lookup_key, randomness=os.urandom)
    deposit = replace(a_deposit(b"x", summary=summary, recipients=3, mailbox="m" * 26), arrival=Arrival("s" * 26, 7))
    here.deposit(deposit)
    here.close()
    there = Remembering()
    room.serve(there)
    assert room.line.store(kept.groups) == [None]
    assert there.groups == kept.groups


def test_only_the_message_that_could_not_be_stored_is_refused(room: Room) -> None:
    room.serve(room.vault.group_commit())
    good, bad = a_deposit(b"good"), a_deposit(b"bad", mailbox="no such mailbox")
    futures = [room.depositor.submit(each) for each in (good, bad, good)]
    assert room.vault.retrieval().content(futures[0].result(30)) == b"good"
    with pytest.raises(StorageUnavailableError):
        futures[1].result(30)
    assert room.vault.retrieval().content(futures[2].result(30)) == b"good"


def test_failing_disk_refuses_and_the_line_stays(room: Room) -> None:
    room.serve(room.vault.group_commit())
    failpoint.rehearse("deposit.after_keystore:error")
    try:
        with pytest.raises(StorageUnavailableError):
            room.depositor.deposit(a_deposit())
    finally:
        failpoint.rehearse("")
    message = room.depositor.deposit(a_deposit(b"later"))
    with room.vault.database.read() as connection:
        assert message_records.all_ids(connection) == [message]


def test_nothing_is_promised_when_the_writer_is_gone(room: Room) -> None:
    room.theirs.close()
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            room.depositor.deposit(a_deposit())


def test_half_a_group_is_no_group(room: Room) -> None:
    """The role was killed while it was sending."""
    remembering = Remembering()
    serving = room.serve(remembering)
    with room.line._line as line:
        line.sendall((1000).to_bytes(8, "big") + bytes(999))
    serving.join(60)
    assert not serving.is_alive()
    assert not remembering.groups


def test_time_of_arrival_survives_to_the_microsecond(room: Room) -> None:
    room.serve(room.vault.group_commit())
    deposit = a_deposit()
    at = deposit.received.received_at + timedelta(microseconds=1)
    message = room.depositor.deposit(replace(deposit, received=replace(deposit.received, received_at=at)))
    assert room.vault.stored(message).received_at == at
