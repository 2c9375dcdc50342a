from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.saved_search_duty import SavedSearchDuty, letter
from archive.saved_search import AskedSearch
from mailstore import mailboxes
from mailstore.addresses import Address
from mailstore.mailboxes import Folder
from tests.portal_room import Somebody
from tests.records_life import RecordsLife, records_life

PAGE = "https://portal.clinic.example/archive/saved"


@pytest.fixture
def life(tmp_path: Path) -> Iterator[RecordsLife]:
    with records_life(tmp_path / "vault") as lived:
        yield lived


def duty(life: RecordsLife) -> SavedSearchDuty:
    room = life.room
    return SavedSearchDuty(
        saved=room.archive.room.saved,
        accounts=room.portal.desk.records,
        database=room.database,
        front_door=room.door,
        postmaster=Address("postmaster", "clinic.example"),
        host_name="portal.clinic.example",
        page=PAGE,
        clock=room.clock,
    )


def inbox(life: RecordsLife, somebody: Somebody) -> list[bytes]:
    with life.room.database.read() as connection:
        mailbox = mailboxes.of_account(connection, somebody.account.id)
        assert mailbox is not None
        found = mailboxes.entries(connection, mailbox.id, Folder.INBOX, 10)
    return [life.room.vault.retrieval().content(each.message) for each in found]


def test_owner_is_written_to_in_numbers_alone(life: RecordsLife) -> None:
    saved, officer = life.room.archive.room.saved, life.officer.actor
    saved.add(officer, "Quillfeather", AskedSearch("wombatic"), is_daily=True)
    saved.add(officer, "Others", AskedSearch("zanzibarine"), is_daily=True)
    life.room.clock.advance(timedelta(minutes=5))
    for subject in ("wombatic one", "wombatic two", "zanzibarine"):
        life.receive(subject)
    life.room.clock.advance(timedelta(minutes=5))
    assert duty(life).run() == 2
    (told,) = inbox(life, life.officer)
    assert b"Subject: Saved searches: 3 new messages" in told
    assert b"2 of your saved searches have found 3 new messages" in told
    assert PAGE.encode() in told
    for word in (b"Quillfeather", b"wombatic", b"zanzibarine", b"Others"):
        assert word not in told
    assert duty(life).run() == 0


def test_closed_account_gets_nothing(life: RecordsLife) -> None:
    life.room.archive.room.saved.add(life.approver.actor, "n", AskedSearch("wombatic"), is_daily=True)
    life.room.clock.advance(timedelta(minutes=5))
    life.receive("wombatic")
    life.room.clock.advance(timedelta(minutes=5))
    life.room.portal.people.close(life.administrator.actor, life.approver.account.id)
    assert duty(life).run() == 0
    assert inbox(life, life.approver) == []


def test_letter_of_one_search_says_one() -> None:
    subject, text = letter([1], page=PAGE)
    assert subject == "Saved searches: 1 new message"
    assert text.startswith("Since you last looked, one of your saved searches has found 1 new message.\n")
