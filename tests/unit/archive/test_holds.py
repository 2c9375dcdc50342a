from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from archive import hold_records
from archive.holds import SomethingElseDueError, WrongHoldStateError
from archive.legal_hold import HoldState, matter
from archive.two_persons import NotPermittedError, SecondPersonNeededError
from mailstore.errors import NotFoundError, RefusedError
from tests.records_room import APPROVER, CLINICIAN, RECORDS, RECORDS_TOO, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def test_hold_covers_what_is_here_and_what_comes_later(room: RecordsRoom) -> None:
    here, other = room.receive(to=("bob@x.example",)), room.receive(to=("eve@x.example",))
    placed = room.desk.holds.place(RECORDS, name="Smith", reason="Claim", custodians=["BOB@x.example"])
    assert placed.matched == 1
    later = room.receive(to=("eve@x.example", "bob+later@x.example"))
    assert set(room.desk.holds.messages_of(RECORDS, placed.id)) == {here, later}
    assert other not in room.desk.holds.messages_of(RECORDS, placed.id)


def test_hold_is_listed_as_it_was_placed(room: RecordsRoom) -> None:
    day = date(2026, 3, 4)
    placed = room.desk.holds.place(
        RECORDS, name="Smith", reason="Claim", custodians=["bob@x.example"], since=day, until=day, query="knee"
    )
    [view] = room.desk.holds.all(APPROVER)
    assert (view.id, view.name, view.reason, view.state) == (placed.id, "Smith", "Claim", HoldState.ACTIVE)
    assert (view.custodians, view.since, view.until, view.query) == (("bob@x.example",), day, day, "knee")
    assert (view.matched, view.is_evaluated, view.placed_by) == (0, True, RECORDS.account)


def test_matter_does_not_lie_readable_on_the_disk(room: RecordsRoom) -> None:
    room.desk.holds.place(RECORDS, name="Jabberwock", reason="Bandersnatch", custodians=["frumious@x.example"])
    for word in (b"Jabberwock", b"Bandersnatch", b"frumious"):
        assert not room.vault.files_hold(word)


def test_progress_counts_every_message(room: RecordsRoom) -> None:
    for _ in range(3):
        room.receive()
    seen: list[tuple[int, int]] = []
    room.desk.holds.place(RECORDS, name="n", reason="r", progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (3, 3)


def test_release_takes_two_persons_and_shows_what_would_be_due(room: RecordsRoom) -> None:
    room.put_in_force()
    due, bill = room.receive("newsletter"), room.receive("invoice")
    hold = room.desk.holds.place(RECORDS, name="n", reason="r").id
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    preview = room.desk.holds.preview_release(APPROVER, hold)
    assert [record.message for record in preview.due] == [due]
    assert bill not in [record.message for record in preview.due]
    with pytest.raises(SecondPersonNeededError):
        room.desk.holds.approve_release(RECORDS, hold, set_hash=preview.set_hash)
    room.desk.holds.approve_release(APPROVER, hold, set_hash=preview.set_hash)
    [view] = room.desk.holds.all(RECORDS)
    assert (view.state, view.released_by, view.release_reason) == (HoldState.RELEASED, APPROVER.account, "settled")
    assert room.desk.disposals.propose(RECORDS).messages == 1


def test_release_request_alone_frees_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    hold = room.desk.holds.place(RECORDS, name="n", reason="r").id
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    proposed = room.desk.disposals.propose(RECORDS)
    assert (proposed.messages, proposed.held) == (0, 1)


def test_release_is_refused_when_more_would_be_due_than_was_shown(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    hold = room.desk.holds.place(RECORDS, name="n", reason="r").id
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    preview = room.desk.holds.preview_release(APPROVER, hold)
    room.receive()
    with pytest.raises(SomethingElseDueError):
        room.desk.holds.approve_release(APPROVER, hold, set_hash=preview.set_hash)


def test_other_holds_keep_what_one_release_would_free(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    first = room.desk.holds.place(RECORDS, name="n", reason="r").id
    room.desk.holds.place(RECORDS, name="n2", reason="r")
    room.desk.holds.request_release(RECORDS, first, reason="settled")
    assert room.desk.holds.preview_release(APPROVER, first).due == ()


def test_steps_have_their_order(room: RecordsRoom) -> None:
    hold = room.desk.holds.place(RECORDS, name="n", reason="r").id
    with pytest.raises(WrongHoldStateError) as early:
        room.desk.holds.preview_release(APPROVER, hold)
    with pytest.raises(RefusedError) as unsaid:
        room.desk.holds.request_release(RECORDS, hold, reason=" ")
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    with pytest.raises(WrongHoldStateError) as twice:
        room.desk.holds.request_release(RECORDS_TOO, hold, reason="again")
    with pytest.raises(NotFoundError) as unknown:
        room.desk.holds.request_release(RECORDS, "x" * 26, reason="r")
    assert all(each.value.fix for each in (early, unsaid, twice, unknown))


def test_only_those_who_keep_records_touch_holds(room: RecordsRoom) -> None:
    with pytest.raises(NotPermittedError):
        room.desk.holds.place(CLINICIAN, name="n", reason="r")
    with pytest.raises(NotPermittedError):
        room.desk.holds.all(CLINICIAN)


def test_interrupted_evaluation_is_taken_up_again(room: RecordsRoom) -> None:
    message = room.receive()

    def interrupt(done: int, of: int) -> None:
        raise InterruptedError(done, of)

    with pytest.raises(InterruptedError):
        room.desk.holds.place(RECORDS, name="n", reason="r", progress=interrupt)
    [view] = room.desk.holds.all(RECORDS)
    assert not view.is_evaluated
    assert room.desk.holds.evaluate_unfinished() == 1
    assert room.desk.holds.messages_of(RECORDS, view.id) == [message]
    assert room.desk.holds.evaluate_unfinished() == 0


def test_message_stays_under_a_hold_it_came_under(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    hold = room.desk.holds.place(RECORDS, name="n", reason="r", query="category:passing").id
    assert room.desk.holds.messages_of(RECORDS, hold) == [message]
    room.put_in_force(SCHEDULE_BY_ANOTHER_NAME)
    room.clock.advance(timedelta(days=1))
    assert room.desk.disposals.propose(RECORDS).held == 1


SCHEDULE_BY_ANOTHER_NAME = """
[category.fleeting]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"
[[rule]]
category = "fleeting"
match = "subject:newsletter"
"""


def test_joining_twice_is_joining_once(room: RecordsRoom) -> None:
    message = room.receive()
    hold = room.desk.holds.place(RECORDS, name="n", reason="r").id
    with room.vault.database.write() as connection:
        joined = hold_records.join(
            connection, hold, [message, message], now=room.clock.now(), at_placement=False, is_certain=True
        )
    assert joined == 0


def with_a_closed_part() -> bytes:
    return (
        b'From: <a@x.example>\r\nSubject: scan\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nsee file\r\n"
        b"--b\r\nContent-Type: application/zip; name=x\r\nContent-Disposition: attachment\r\n\r\nPK\r\n--b--\r\n"
    )


def test_what_is_kept_to_be_safe_is_counted_apart_from_what_matches(room: RecordsRoom) -> None:
    certain, unsure, other = (
        room.receive(body="the knee"),
        room.receive(content=with_a_closed_part()),
        room.receive(body="the elbow"),
    )
    placed = room.desk.holds.place(RECORDS, name="n", reason="r", query="knee")
    assert (placed.matched, placed.kept_to_be_safe) == (1, 1)
    room.receive(content=with_a_closed_part())
    room.receive(body="his knee")
    [view] = room.desk.holds.all(RECORDS)
    assert (view.matched, view.kept_to_be_safe) == (2, 2)
    told = {
        held.message: (held.is_certain, held.at_placement) for held in room.desk.holds.held(RECORDS, placed.id, limit=9)
    }
    assert (told[certain], told[unsure]) == ((True, True), (False, True))
    assert other not in told
    assert sorted(told.values()) == [(False, False), (False, True), (True, False), (True, True)]


def test_preview_says_what_a_hold_would_catch_and_changes_nothing(room: RecordsRoom) -> None:
    certain = room.receive(body="the knee")
    room.receive(content=with_a_closed_part())
    room.receive(body="the elbow")
    told = matter(name="n", reason="r", query_text="knee")
    preview = room.desk.holds.preview(APPROVER, told, seconds=9)
    assert (preview.messages, preview.looked_at, preview.matched, preview.kept_to_be_safe) == (3, 3, 1, 1)
    assert preview.samples == (certain,)
    assert room.desk.holds.preview(APPROVER, told, seconds=0).looked_at == 1
    assert room.desk.holds.all(RECORDS) == []
    with pytest.raises(NotPermittedError):
        room.desk.holds.preview(CLINICIAN, told, seconds=9)


def test_holds_of_a_message_are_told_with_how_it_came_under_them(room: RecordsRoom) -> None:
    message = room.receive(body="the knee")
    hold = room.desk.holds.place(RECORDS, name="Smith", reason="r", query="knee").id
    [(view, held)] = room.desk.holds.about(RECORDS, message)
    assert (view.id, view.name, held.is_certain) == (hold, "Smith", True)
    with pytest.raises(NotPermittedError):
        room.desk.holds.about(CLINICIAN, message)
