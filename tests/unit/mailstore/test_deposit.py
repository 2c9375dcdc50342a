from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mailstore import audit_trail, failpoint, mailboxes, message_records, outbox
from mailstore.deposit import NEIGHBOURS
from mailstore.errors import StorageUnavailableError
from mailstore.group_commit import GroupCommit
from mailstore.mailboxes import Folder
from mailstore.message import MessageId, MessageSummary
from mailstore.outbox import Kind
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def test_deposited_message_is_readable_after_a_restart(vault: Vault) -> None:
    content = os.urandom(200_000)
    (message,) = vault.deposit(a_deposit(content))
    vault.close()
    again = Vault(vault.directory)
    assert again.retrieval().content(message) == content


def test_message_rows_mailbox_work_and_audit_become_true_together(vault: Vault) -> None:
    mailbox, sender = vault.mailbox(), vault.mailbox("b" * 26, "bob@clinic.example")
    (message,) = vault.deposit(a_deposit(mailbox=mailbox, sent_mailbox=sender, recipients=2))
    with vault.database.read() as connection:
        (arrived,) = mailboxes.entries(connection, mailbox, Folder.INBOX, 10)
        (sent,) = mailboxes.entries(connection, sender, Folder.SENT, 10)
        (fact,) = audit_trail.about(connection, message)
        work = outbox.waiting(connection)
        recipients = message_records.recipient_rows(connection, message)
    assert (arrived.message, arrived.seen) == (message, False)
    assert (sent.message, sent.seen) == (message, True)
    assert (fact.event, fact.actor) == ("message.accepted", "system")
    assert work == {Kind.PROMOTE: 1, Kind.CAPTURE: 1}
    assert [row.position for row in recipients] == [0, 1]


def test_messages_stand_beside_their_neighbours_by_id_and_nowhere_else(vault: Vault) -> None:
    with closing(vault.depositor()) as depositor:
        ids = [each.result() for each in [depositor.submit(a_deposit(b"x")) for _ in range(NEIGHBOURS + 1)]]
    *neighbours, first_of_others = [message[:8] for message in ids]
    assert len(set(neighbours)) == 1
    assert first_of_others != neighbours[0]
    assert len({message[8:] for message in ids}) == len(ids)
    assert vault.deposit(a_deposit(b"x"))[0][:8] not in {first_of_others, neighbours[0]}


def test_nothing_readable_reaches_the_disk(vault: Vault) -> None:
    canary = b"Zwetschgenkuchen"
    summary = MessageSummary(
        subject=canary.decode(), sender=f"{canary.decode()}@x.example", header_message_id=f"<{canary.decode()}@x>"
    )
    vault.deposit(a_deposit(canary * 3, summary=summary))
    assert not vault.files_hold(canary)
    assert not vault.files_hold(b"alice+0")
    assert not vault.files_hold(b"elsewhere.example")


def test_many_senders_at_once_each_get_their_own_message(vault: Vault) -> None:
    depositor = vault.depositor()
    found: dict[int, MessageId] = {}

    def send(number: int) -> None:
        found[number] = depositor.deposit(a_deposit(b"%d" % number))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    depositor.close()
    retrieval = vault.retrieval()
    assert {number: retrieval.content(message) for number, message in found.items()} == {
        number: b"%d" % number for number in range(40)
    }


def test_answer_joins_the_conversation_of_what_it_answers(vault: Vault) -> None:
    first = a_deposit(summary=MessageSummary(header_message_id="<1@x>"))
    answer = a_deposit(summary=MessageSummary(header_message_id="<2@x>", references=("<0@x>", "<1@x>")))
    later = a_deposit(summary=MessageSummary(header_message_id="<3@x>", references=("<2@x>",)))
    stranger = a_deposit(summary=MessageSummary(references=("<9@x>",)))
    ids = vault.deposit(first, answer)
    ids += vault.deposit(later, stranger)
    conversations = [vault.stored(message).conversation for message in ids]
    assert conversations[:3] == [ids[0]] * 3
    assert conversations[3] == ids[3]


def test_only_the_nearest_references_are_looked_up(vault: Vault) -> None:
    far = vault.deposit(a_deposit(summary=MessageSummary(header_message_id="<far@x>")))[0]
    padding = tuple(f"<{number}@x>" for number in range(20))
    joined, apart = vault.deposit(
        a_deposit(summary=MessageSummary(references=("<far@x>", *padding[1:]))),
        a_deposit(summary=MessageSummary(references=("<far@x>", *padding))),
    )
    assert vault.stored(joined).conversation == far
    assert vault.stored(apart).conversation == apart


def test_row_that_cannot_be_written_harms_its_own_message_only(vault: Vault) -> None:
    depositor = vault.depositor()
    with vault.database.write():
        futures = [depositor.submit(a_deposit(b"%d" % number)) for number in range(3)]
        bad = depositor.submit(a_deposit(mailbox="no such mailbox"))
        futures += [depositor.submit(a_deposit(b"%d" % number)) for number in range(3, 6)]
    depositor.close()
    with pytest.raises(StorageUnavailableError):
        bad.result()
    contents = [vault.retrieval().content(future.result()) for future in futures]
    assert contents == [b"%d" % number for number in range(6)]
    with vault.database.read() as connection:
        assert message_records.count(connection) == 6


def test_full_disk_is_an_error_for_the_sender_and_leaves_no_row(vault: Vault) -> None:
    depositor = vault.depositor()
    kept = depositor.deposit(a_deposit(b"kept"))
    assert isinstance(depositor._commit, GroupCommit)
    writer = depositor._commit._spool
    os.close(writer._descriptor)
    writer._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StorageUnavailableError):
        depositor.deposit(a_deposit(b"lost"))
    later = depositor.deposit(a_deposit(b"later"))
    depositor.close()
    with vault.database.read() as connection:
        assert message_records.all_ids(connection) == [kept, later]
    assert vault.retrieval().content(kept) == b"kept"
    assert vault.retrieval().content(later) == b"later"


def test_lost_keystore_is_an_error_for_the_sender_and_leaves_no_row(vault: Vault) -> None:
    depositor = vault.depositor()
    vault.keystore.close()
    with pytest.raises(StorageUnavailableError):
        depositor.deposit(a_deposit())
    depositor.close()
    with vault.database.read() as connection:
        assert message_records.count(connection) == 0


@pytest.mark.parametrize("step", ["deposit.after_spool", "deposit.after_keystore"])
def test_failure_at_each_step_leaves_no_row_and_later_mail_is_taken(vault: Vault, step: str) -> None:
    depositor = vault.depositor()
    failpoint.rehearse(f"{step}:error")
    try:
        with pytest.raises(StorageUnavailableError) as refused:
            depositor.deposit(a_deposit())
    finally:
        failpoint.rehearse("")
    assert isinstance(refused.value.__cause__, OSError)
    assert refused.value.__cause__.errno == errno.EIO
    message = depositor.deposit(a_deposit(b"later"))
    depositor.close()
    with vault.database.read() as connection:
        assert message_records.all_ids(connection) == [message]


def test_message_given_up_by_its_sender_is_not_stored(vault: Vault) -> None:
    depositor = vault.depositor()
    with vault.database.write():
        first = depositor.submit(a_deposit(b"first"))
        while not first.running():
            pass
        second = depositor.submit(a_deposit(b"second"))
        assert second.cancel()
    depositor.close()
    with vault.database.read() as connection:
        assert message_records.all_ids(connection) == [first.result()]


def test_closed_depositor_takes_nothing(vault: Vault) -> None:
    depositor = vault.depositor()
    depositor.close()
    depositor.close()
    with pytest.raises(StorageUnavailableError):
        depositor.submit(a_deposit())


def test_swept_keys_stop_the_rows(vault: Vault) -> None:
    """A writer that slept for hours between its keys and its rows finds the keys gone, and promises nothing."""
    depositor = vault.depositor()
    with vault.database.write():
        future = depositor.submit(a_deposit())
        while not (orphans := list(vault.keystore.messages_keyed_before(vault.clock.now().replace(year=2027)))):
            pass
        vault.keystore.destroy(orphans, at=vault.clock.now())
    with pytest.raises(StorageUnavailableError):
        future.result()
    depositor.close()


CHILD = """
import sys
from pathlib import Path
from tests.vault_room import Vault, a_deposit
depositor = Vault(Path(sys.argv[1])).depositor()
for number in range(5):
    print(depositor.deposit(a_deposit(b"%d" % number)), flush=True)
"""


@pytest.mark.parametrize("step", ["deposit.after_spool", "deposit.after_keystore", "deposit.after_rows"])
def test_killed_at_any_step_every_promise_is_kept_and_nothing_is_partial(tmp_path: Path, step: str) -> None:
    environment = {**os.environ, "STRONGROOM_FAILPOINT": f"{step}:kill@3", "PYTHONPATH": str(Path.cwd())}
    died = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -9, died.stderr
    promised = died.stdout.split()
    assert len(promised) == 2
    vault = Vault(tmp_path / "data")
    with vault.database.read() as connection:
        present = message_records.all_ids(connection)
    assert present[:2] == promised
    assert len(present) == (3 if step == "deposit.after_rows" else 2)
    assert [vault.retrieval().content(message) for message in present] == [b"0", b"1", b"2"][: len(present)]
