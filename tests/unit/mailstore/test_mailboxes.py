from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore import mailboxes, message_records
from mailstore.database import Database
from mailstore.errors import DuplicateRowError, NotFoundError
from mailstore.mailboxes import Filing, Folder, Mailbox
from mailstore.message import AccountId, MessageId
from tests.ledger_room import NOW, created, message, new_id


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = created(tmp_path)
    yield made
    made.dispose()


def new_mailbox(database: Database) -> Mailbox:
    with database.write() as connection:
        return mailboxes.create(connection, AccountId(new_id()), os.urandom(16))


def filed(database: Database, mailbox: Mailbox, count: int, folder: Folder = Folder.INBOX) -> list[MessageId]:
    rows = [message() for _ in range(count)]
    with database.write() as connection:
        message_records.insert_many(connection, rows)
        filings = [Filing(mailbox.id, row.message.id, folder, NOW) for row in rows]
        mailboxes.file_many(connection, filings)
    return [row.message.id for row in rows]


def test_several_addresses_name_one_mailbox_and_each_names_one_only(database: Database) -> None:
    account = AccountId(new_id())
    with database.write() as connection:
        mailbox = mailboxes.create(connection, account, b"1" * 16)
        mailboxes.add_address(connection, mailbox, b"2" * 16)
    with database.read() as connection:
        assert mailboxes.by_address(connection, b"1" * 16) == mailbox
        assert mailboxes.by_address(connection, b"2" * 16) == mailbox
        assert mailboxes.by_address(connection, b"3" * 16) is None
        assert mailboxes.named_by(connection, [b"1" * 16, b"2" * 16, b"3" * 16]) == {mailbox.id}
        assert mailboxes.of_account(connection, account) == mailbox
        assert mailboxes.of_account(connection, AccountId(new_id())) is None
        assert mailboxes.address_indexes(connection) == {b"1" * 16: mailbox.id, b"2" * 16: mailbox.id}
    with pytest.raises(DuplicateRowError), database.write() as connection:
        mailboxes.create(connection, AccountId(new_id()), b"2" * 16)
    with pytest.raises(DuplicateRowError), database.write() as connection:
        mailboxes.create(connection, account, b"4" * 16)


def test_pages_run_newest_first_without_gap_or_repeat(database: Database) -> None:
    mailbox, other = new_mailbox(database), new_mailbox(database)
    ids: list[MessageId] = []
    for _ in range(5):
        ids += filed(database, mailbox, 5)
        filed(database, other, 2)
        filed(database, mailbox, 1, Folder.SENT)
    seen: list[MessageId] = []
    before: int | None = None
    with database.read() as connection:
        while page := mailboxes.entries(connection, mailbox.id, Folder.INBOX, 7, before):
            assert len(page) <= 7
            seen += [entry.message for entry in page]
            before = page[-1].sequence
        assert mailboxes.count(connection, mailbox.id, Folder.INBOX) == 25
        assert mailboxes.count(connection, mailbox.id, Folder.SENT) == 5
    assert seen == ids[::-1]


def test_message_is_seen_in_one_mailbox_only(database: Database) -> None:
    mine, theirs = new_mailbox(database), new_mailbox(database)
    [shared, _] = filed(database, mine, 2)
    with database.write() as connection:
        mailboxes.file(connection, theirs.id, shared, Folder.INBOX, now=NOW)
        mailboxes.mark_seen(connection, mine.id, shared)
    with database.read() as connection:
        assert mailboxes.count(connection, mine.id, Folder.INBOX, unseen=True) == 1
        assert mailboxes.count(connection, theirs.id, Folder.INBOX, unseen=True) == 1
        assert [entry.seen for entry in mailboxes.entries(connection, mine.id, Folder.INBOX, 5)] == [False, True]
    with database.write() as connection:
        mailboxes.mark_seen(connection, mine.id, shared, seen=False)
        assert mailboxes.count(connection, mine.id, Folder.INBOX, unseen=True) == 2
    with pytest.raises(NotFoundError), database.write() as connection:
        mailboxes.mark_seen(connection, mine.id, MessageId(new_id()))


def test_mailbox_holds_what_was_filed_there_and_nothing_else(database: Database) -> None:
    mine, theirs = new_mailbox(database), new_mailbox(database)
    [received] = filed(database, mine, 1)
    [sent] = filed(database, mine, 1, Folder.SENT)
    with database.read() as connection:
        assert mailboxes.holds(connection, mine.id, received)
        assert mailboxes.holds(connection, mine.id, sent)
        assert not mailboxes.holds(connection, theirs.id, received)


def test_message_lies_in_a_folder_once(database: Database) -> None:
    mailbox = new_mailbox(database)
    [received] = filed(database, mailbox, 1)
    with pytest.raises(DuplicateRowError), database.write() as connection:
        mailboxes.file(connection, mailbox.id, received, Folder.INBOX, now=NOW)
    with database.write() as connection:
        mailboxes.file(connection, mailbox.id, received, Folder.SENT, now=NOW, seen=True)
