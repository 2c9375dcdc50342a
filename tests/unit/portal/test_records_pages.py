from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from archive.archive_search import Shown
from archive.saved_search import AskedSearch
from archive.schedule_records import ScheduleState
from tests.portal_room import Somebody, Visitor, hidden
from tests.records_life import SCHEDULE, RecordsLife, accept_from, records_life


@pytest.fixture
def life(tmp_path: Path) -> Iterator[RecordsLife]:
    with records_life(tmp_path / "vault") as lived:
        yield lived


@contextmanager
def at_work(life: RecordsLife, who: Somebody) -> Iterator[Visitor]:
    with life.room.visitor() as visitor:
        life.room.sign_in(visitor, who)
        yield visitor


def test_search_goes_on_where_a_page_ended_and_the_address_says_all(life: RecordsLife) -> None:
    search, actor = life.room.archive.room.search, life.officer.actor
    pages = [
        search.search(actor, AskedSearch("newsletter"), limit=2, shown=Shown(offset=offset)).items
        for offset in (0, 2, 4)
    ]
    assert [[item.id for item in page] for page in pages] == [
        [life.river, life.newsletters[2]],
        [life.newsletters[1], life.newsletters[0]],
        [],
    ]
    with at_work(life, life.officer) as visitor:
        assert f"/archive/{life.river}?q=newsletter" in visitor.get("/archive?q=newsletter").text
        beyond = visitor.get("/archive?q=newsletter&page=2").text
    assert "There is no such page" in beyond
    assert 'href="/archive?q=newsletter"' in beyond


def test_no_page_number_breaks_the_search(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        for page in ("0", "-1", "x", "9" * 30, "1e3", "٣"):
            assert visitor.get(f"/archive?q=newsletter&page={page}").status_code == 200


def test_query_that_is_not_understood_shows_its_place_and_no_markup_of_its_own(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        answer = visitor.get("/archive?q=knee+colour:<script>")
    assert answer.status_code == 422
    assert "knee <mark>colour:&lt;script&gt;</mark>" in answer.text
    assert "There is no such field" in answer.text


def test_record_is_opened_with_one_entry_and_its_frame_with_its_own(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        page = visitor.get(f"/archive/{life.designed}").text
        assert life.room.events(1) == ["archive.message_opened"]
        frame = visitor.get(f"/archive/{life.designed}/frame")
        assert life.room.events(1) == ["archive.body_shown"]
    assert f'src="/archive/{life.designed}/frame"' in page
    assert "sandbox" in frame.headers["content-security-policy"]
    assert "<b>knee</b>" in frame.text
    assert "<script" not in frame.text


def test_attachment_of_a_record_is_saved_and_never_shown(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        answer = visitor.get(f"/archive/{life.scan}/attachments/0")
        assert life.room.events(1) == ["archive.attachment_opened"]
        assert visitor.get(f"/archive/{life.scan}/attachments/7").status_code == 404
        assert visitor.get("/archive/nonsense").status_code == 404
    assert answer.headers["content-disposition"].startswith("attachment; filename=")


def test_hold_with_mistakes_is_not_placed_and_what_was_typed_stays(life: RecordsLife) -> None:
    typed = {"name": "Smith", "reason": "", "custodians": "bob", "since": "31.1.2026", "query": "("}
    with at_work(life, life.officer) as visitor:
        visitor.get("/holds/new")
        for path in ("/holds/new", "/holds"):
            answer = visitor.post(path, typed)
            assert answer.status_code == 422
    for words in ("“bob” is not an e-mail address", "Write the day as year", "is not understood", "Say why these"):
        assert words in answer.text
    assert 'value="31.1.2026"' in answer.text
    assert life.room.archive.desk.holds.all(life.officer.actor) == []


def test_who_asked_for_the_end_of_a_hold_cannot_approve_it(life: RecordsLife) -> None:
    holds = life.room.archive.desk.holds
    hold = holds.place(life.officer.actor, name="n", reason="r", query="river").id
    holds.request_release(life.officer.actor, hold, reason="settled")
    seen = holds.preview_release(life.officer.actor, hold).set_hash.hex()
    with at_work(life, life.officer) as visitor:
        assert "End this hold" not in visitor.get(f"/holds/{hold}/release").text
        fields = {"set_hash": seen, "code": life.room.code(life.officer.totp_secret)}
        answer = visitor.post(f"/holds/{hold}/release/approval", fields)
    assert "cannot approve it too" in answer.text
    assert holds.show(life.officer.actor, hold).state.holds


def test_release_shows_the_list_again_when_it_is_no_longer_the_one_that_was_seen(life: RecordsLife) -> None:
    holds = life.room.archive.desk.holds
    hold = holds.place(life.officer.actor, name="n", reason="r", query="river").id
    holds.request_release(life.officer.actor, hold, reason="settled")
    with at_work(life, life.approver) as visitor:
        visitor.get(f"/holds/{hold}/release")
        for wrong in ("00" * 32, "zz", ""):
            life.room.clock.advance(timedelta(minutes=1))  # each code opens once
            fields = {"set_hash": wrong, "code": life.room.code(life.approver.totp_secret)}
            answer = visitor.post(f"/holds/{hold}/release/approval", fields)
            assert answer.status_code == 409
            assert "Newsletter of the river walk" in answer.text
    assert holds.show(life.officer.actor, hold).state.holds


def test_hold_is_ended_and_schedule_put_in_force_by_nobody_without_a_fresh_code(life: RecordsLife) -> None:
    desk = life.room.archive.desk
    hold = desk.holds.place(life.officer.actor, name="n", reason="r", query="river").id
    desk.holds.request_release(life.officer.actor, hold, reason="settled")
    seen = desk.holds.preview_release(life.officer.actor, hold).set_hash.hex()
    version = desk.schedules.propose(life.officer.actor, SCHEDULE.replace('"10 years"', '"20 days"'))
    with at_work(life, life.approver) as visitor:
        visitor.get(f"/holds/{hold}/release")
        for code in ("", "000000"):
            released = visitor.post(f"/holds/{hold}/release/approval", {"set_hash": seen, "code": code})
            approved = visitor.post(f"/schedule/{version}/approval", {"code": code})
            assert (released.status_code, approved.status_code) == (409, 409)
    assert desk.holds.show(life.officer.actor, hold).state.holds
    assert desk.schedules.show(life.officer.actor, version).state is ScheduleState.PROPOSED


def test_disposal_is_approved_by_nobody_without_a_fresh_code(life: RecordsLife) -> None:
    disposals = life.room.archive.desk.disposals
    proposed = disposals.propose(life.officer.actor)
    fields = {"set_hash": proposed.set_hash.hex()}
    with at_work(life, life.approver) as visitor:
        page = visitor.get(f"/disposals/{proposed.id}")
        assert hidden(page.text, "set_hash") == proposed.set_hash.hex()
        for code in ("", "000000", "abc"):
            answer = visitor.post(f"/disposals/{proposed.id}/approval", {**fields, "code": code})
            assert answer.status_code == 422
    assert disposals.show(life.officer.actor, proposed.id).record.approved_by is None


def test_approval_of_another_set_is_refused_and_the_session_goes_on(life: RecordsLife) -> None:
    disposals = life.room.archive.desk.disposals
    proposed = disposals.propose(life.officer.actor)
    with at_work(life, life.approver) as visitor:
        visitor.get(f"/disposals/{proposed.id}")
        fields = {"set_hash": "00" * 32, "code": life.room.code(life.approver.totp_secret)}
        answer = visitor.post(f"/disposals/{proposed.id}/approval", fields)
        assert "This hash names another set" in answer.text
        assert visitor.get("/disposals").status_code == 200
    assert disposals.show(life.officer.actor, proposed.id).record.approved_by is None


def test_officer_who_forges_the_approval_form_is_refused(life: RecordsLife) -> None:
    disposals = life.room.archive.desk.disposals
    proposed = disposals.propose(life.officer.actor)
    with at_work(life, life.officer) as visitor:
        page = visitor.get(f"/disposals/{proposed.id}")
        assert "Approve the disposal" not in page.text
        fields = {"set_hash": proposed.set_hash.hex(), "code": life.room.code(life.officer.totp_secret)}
        answer = visitor.post(f"/disposals/{proposed.id}/approval", fields)
    assert "This step is not open to your role" in answer.text
    assert disposals.show(life.officer.actor, proposed.id).record.approved_by is None


def test_certificate_that_was_never_issued_is_not_found(life: RecordsLife) -> None:
    proposed = life.room.archive.desk.disposals.propose(life.officer.actor)
    with at_work(life, life.officer) as visitor:
        for kind in ("json", "pdf", "pem", "exe"):
            assert visitor.get(f"/disposals/{proposed.id}/certificate/{kind}").status_code == 404


def test_schedule_file_counts_instead_of_the_box(life: RecordsLife) -> None:
    text = life.room.archive.desk.schedules.active().text.replace("10 years", "11 years")
    with at_work(life, life.officer) as visitor:
        visitor.get("/schedule/new")
        answer = visitor.post(
            "/schedule/new", {"text": "nonsense"}, [("file", ("s.toml", text.encode(), "text/plain"))]
        )
    assert "Nothing would be due that is not due today" in answer.text
    assert "11 years after receipt" in answer.text


def test_schedule_with_markup_in_it_is_shown_as_text(life: RecordsLife) -> None:
    evil = life.room.archive.desk.schedules.active().text.replace("Practice policy 4.2", "<script>x</script>")
    with at_work(life, life.officer) as visitor:
        visitor.get("/schedule/new")
        answer = visitor.post("/schedule/new", {"text": evil})
    assert "<script>x" not in answer.text
    assert "&lt;script&gt;x" in answer.text


def test_audit_page_verifies_and_exports(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        visitor.get("/audit?event=schedule.approved")
        assert "Paula Approver" in visitor.page.text
        assert "The log is whole" in visitor.post("/audit/verification", {}).text
        exported = visitor.get("/audit/export?event=schedule.approved")
    assert exported.headers["content-type"].startswith("text/csv")
    assert exported.text.count("\r\n") == 2


def test_health_tells_the_worst_first_with_what_to_do(life: RecordsLife) -> None:
    with at_work(life, life.administrator) as visitor:
        page = visitor.get("/health").text
        lines = ("Disk space", "Certificate", "All is as it was written", "Does not apply here", "Object lock")
        assert sorted(lines, key=page.index) == list(lines)
        assert "make room now" in page
        life.room.health.found = life.room.health.found[2:]
        assert "All is well" in visitor.get("/health").text


def test_pages_say_when_there_is_nothing_yet(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        assert "No hold is in force" in visitor.get("/holds").text
        assert "No disposal is under way" in visitor.get("/disposals").text
        assert "Nothing matches" in visitor.get("/archive?q=zebra").text


def test_own_proposals_are_taken_back_once_and_by_nobody_else(life: RecordsLife) -> None:
    desk = life.room.archive.desk
    disposal = desk.disposals.propose(life.officer.actor).id
    version = desk.schedules.propose(life.officer.actor, desk.schedules.active().text)
    with at_work(life, life.approver) as visitor:
        assert "Take this disposal back" not in visitor.get(f"/disposals/{disposal}").text
        assert visitor.post(f"/disposals/{disposal}/withdrawal", {}).status_code == 422
        assert visitor.post(f"/schedule/{version}/withdrawal", {}).status_code == 409
    with at_work(life, life.officer) as visitor:
        visitor.get(f"/disposals/{disposal}")
        assert "This disposal was taken back" in visitor.post(f"/disposals/{disposal}/withdrawal", {}).text
        assert "can no longer be withdrawn" in visitor.post(f"/disposals/{disposal}/withdrawal", {}).text
        assert "Withdrawn" in visitor.get("/disposals").text
        visitor.get(f"/schedule/{version}")
        assert "Withdrawn" in visitor.post(f"/schedule/{version}/withdrawal", {}).text


def test_hold_that_names_nothing_says_that_it_keeps_everything(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        visitor.get("/holds/new")
        answer = visitor.post("/holds/new", {"name": "n", "reason": "r"})
    assert "keeps every message of the whole practice" in answer.text


def test_disposal_of_nothing_asks_nobody_to_approve_and_is_taken_back(life: RecordsLife) -> None:
    desk = life.room.archive.desk
    desk.holds.place(life.officer.actor, name="n", reason="r")
    empty = desk.disposals.propose(life.officer.actor)
    with at_work(life, life.approver) as visitor:
        page = visitor.get(f"/disposals/{empty.id}").text
        assert "There is nothing to approve" in page
        assert "Rita Records, who proposed it, can take it back" in page
        assert "Approve the disposal" not in page
    with at_work(life, life.officer) as visitor:
        page = visitor.get(f"/disposals/{empty.id}?done=proposed").text
        assert "Holds cover all that was due" in page
        assert "look at every message" not in page
        assert "looks at every message" not in page
        assert "This disposal was taken back" in visitor.post(f"/disposals/{empty.id}/withdrawal", {}).text


def test_category_that_is_kept_forever_is_not_said_to_begin_with_the_receipt(life: RecordsLife) -> None:
    schedules = life.room.archive.desk.schedules
    version = schedules.propose(life.officer.actor, SCHEDULE.replace('"10 years"', '"forever"'))
    with at_work(life, life.officer) as visitor:
        page = visitor.get(f"/schedule/{version}").text
    assert ">forever</td>" in page
    assert ">30 days after receipt</td>" in page


@pytest.mark.parametrize(
    ("head", "sender", "shown"),
    [
        ("", "shop@elsewhere.example", "shop@elsewhere.example"),
        ("From: undisclosed:;\r\n", "shop@elsewhere.example", "shop@elsewhere.example"),
        ("", None, "(nobody named)"),
    ],
)
def test_message_that_names_no_sender_shows_where_it_came_from(
    life: RecordsLife, head: str, sender: str | None, shown: str
) -> None:
    message = accept_from(life.room, head, "Unsigned", sender)
    life.room.archive.take(message)
    with at_work(life, life.officer) as visitor:
        found = visitor.get("/archive?q=unsigned").text
        record = visitor.get(f"/archive/{message}").text
    assert f'<span class="who">{shown}</span>' in found
    assert f"<dt>From</dt><dd>{shown}</dd>" in record
