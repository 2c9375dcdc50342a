"""The ledger says what rows and keystore say, page by page, and no page can be changed, cut out or swapped unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.disposal_records import DisposalState
from archive.ledger_book import files_in, name_of, pages_of
from archive.ledger_page import all_together
from archive.legal_hold import HoldState
from mailstore.document_signing import signing_public
from mailstore.errors import TamperedError
from tests.records_room import APPROVER, RECORDS, RECORDS_TOO, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    room = RecordsRoom(tmp_path)
    room.put_in_force()
    return room


def key(room: RecordsRoom) -> bytes:
    return signing_public(room.vault.ring.audit_seed)


def test_disposal_is_in_the_ledger_with_its_certificate_before_its_run_ends(room: RecordsRoom) -> None:
    dead, other = room.receive(), room.receive("lunch")
    disposal = room.approved()
    room.desk.disposal_run.run(RECORDS, disposal)
    says = room.desk.ledger.says()
    assert dead in says.destroyed
    assert other not in says.destroyed
    told = says.disposals[disposal]
    assert told.record.state is DisposalState.COMPLETED
    assert told.certificate is not None
    assert told.certificate.id == told.record.certificate


def test_hold_is_in_the_ledger_with_what_it_holds_through_its_whole_life(room: RecordsRoom) -> None:
    message = room.receive("about the river")
    hold = room.desk.holds.place(RECORDS, name="River", reason="suit", query="river").id
    says = room.desk.ledger.says()
    assert says.holds[hold].state is HoldState.ACTIVE
    assert says.holds[hold].evaluated_at is not None
    assert (hold, message) in says.held
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    assert room.desk.ledger.says().holds[hold].state is HoldState.RELEASE_REQUESTED
    preview = room.desk.holds.preview_release(RECORDS_TOO, hold)
    room.desk.holds.approve_release(RECORDS_TOO, hold, set_hash=preview.set_hash)
    assert room.desk.ledger.says().holds[hold].state is HoldState.RELEASED


def test_nothing_new_writes_no_page(room: RecordsRoom) -> None:
    room.receive()
    assert room.desk.ledger.keep() is None
    room.desk.disposal_run.run(RECORDS, room.approved())
    assert room.desk.ledger.keep() is None


def test_what_a_crash_left_unsaid_is_said_by_the_next_one_who_keeps_it(room: RecordsRoom) -> None:
    message = room.receive()
    room.vault.keystore.destroy([message], at=room.clock.now())
    assert room.desk.ledger.keep() == 1
    assert message in room.desk.ledger.says().destroyed


def test_no_matter_no_custodian_and_no_query_stands_in_a_page(room: RecordsRoom) -> None:
    room.desk.holds.place(
        RECORDS, name="Miller v. Smith", reason="suit", custodians=["miller@clinic.example"], query="whistle"
    )
    for page in room.desk.ledger.files().values():
        for word in (b"Miller", b"miller@", b"whistle", b"suit"):
            assert word not in page
            assert word.hex().encode() not in page


def three_pages(room: RecordsRoom) -> dict[str, bytes]:
    room.receive()
    room.desk.holds.place(RECORDS, name="River", reason="suit", query="river")
    room.desk.disposal_run.run(RECORDS, room.approved())
    files = files_in(room.directory / "ledger")
    assert len(files) >= 3
    return files


def test_any_changed_byte_of_a_page_is_refused_and_named(room: RecordsRoom) -> None:
    files = three_pages(room)
    name = name_of(2)
    for at in range(len(files[name])):
        bad = bytearray(files[name])
        bad[at] ^= 1
        with pytest.raises(TamperedError, match=name):
            pages_of({**files, name: bytes(bad)}, public_key=key(room))


def test_missing_cut_swapped_and_foreign_pages_are_refused_and_named(room: RecordsRoom) -> None:
    files = three_pages(room)
    first, second = name_of(1), name_of(2)
    with pytest.raises(TamperedError, match=f"{second} is missing"):
        pages_of({name: page for name, page in files.items() if name != second}, public_key=key(room))
    with pytest.raises(TamperedError, match=second):
        pages_of({**files, second: files[second][:-1]}, public_key=key(room))
    with pytest.raises(TamperedError, match="does not follow"):
        pages_of({**files, first: files[second], second: files[first]}, public_key=key(room))
    with pytest.raises(TamperedError, match="signed"):
        pages_of(files, public_key=signing_public(b"x" * 32))


def test_of_two_books_that_parted_the_dead_of_both_are_dead_and_the_further_hold_counts(room: RecordsRoom) -> None:
    hold = room.desk.holds.place(RECORDS, name="River", reason="suit", query="river").id
    older = room.desk.ledger.says()
    first = room.receive()
    room.desk.disposal_run.run(RECORDS, room.approved())
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    newer = room.desk.ledger.says()
    for both in (older.and_also(newer), newer.and_also(older)):
        assert first in both.destroyed
        assert both.holds[hold].state is HoldState.RELEASE_REQUESTED
    assert not older.beyond(newer)
    assert first in newer.beyond(older).destroyed


def test_pages_together_say_the_same_in_any_order(room: RecordsRoom) -> None:
    pages = pages_of(three_pages(room), public_key=key(room))
    assert all_together(pages) == all_together(reversed(pages)) == room.desk.ledger.says()
    assert APPROVER.account in {each.record.approved_by for each in all_together(pages).disposals.values()}
