from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest

from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.audit_trail import Wanted
from portal.audit_words import event_words
from portal.errors import ForbiddenError
from tests.records_life import RecordsLife, records_life


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordsLife]:
    with records_life(tmp_path_factory.mktemp("log") / "vault") as lived:
        yield lived


def test_entries_come_newest_first_and_go_on_where_a_page_ended(life: RecordsLife) -> None:
    log, actor = life.room.portal.audit_log, life.officer.actor
    first = log.page(actor, Wanted(), limit=3)
    second = log.page(actor, Wanted(), limit=3, before=first.older)
    told = [entry.sequence for entry in (*first.entries, *second.entries)]
    assert told == sorted(told, reverse=True)
    assert len(set(told)) == 6


def test_the_last_page_says_that_it_is_the_last(life: RecordsLife) -> None:
    found = life.room.portal.audit_log.page(life.officer.actor, Wanted(event="schedule.approved"), limit=5)
    assert (len(found.entries), found.older) == (1, None)
    assert found.people[life.approver.account.id].person.name == "Paula Approver"


def test_entries_can_be_chosen_by_event_object_and_person(life: RecordsLife) -> None:
    log, actor = life.room.portal.audit_log, life.officer.actor
    about = log.page(actor, Wanted(object=life.river), limit=50).entries
    assert {entry.object for entry in about} == {life.river}
    by_approver = log.page(actor, Wanted(actor=life.approver.account.id), limit=50).entries
    assert {entry.actor for entry in by_approver} == {life.approver.account.id}
    assert log.page(actor, Wanted("message.captured", life.river), limit=50).entries[0].event == "message.captured"
    assert log.page(actor, Wanted(object="'; DROP TABLE audit_entries"), limit=50).entries == ()


def test_only_those_who_keep_records_see_verify_or_export_the_log(life: RecordsLife) -> None:
    log, nobody = life.room.portal.audit_log, life.administrator.actor
    for ask in (
        lambda: log.page(nobody, Wanted(), limit=1),
        lambda: log.verify(nobody),
        lambda: log.export(nobody, Wanted()),
        lambda: log.events(nobody),
        lambda: log.about(nobody, life.river, ("message.opened",)),
    ):
        with pytest.raises(ForbiddenError):
            ask()


def test_verifying_says_that_the_log_is_whole_and_is_in_the_log(life: RecordsLife) -> None:
    report = life.room.portal.audit_log.verify(life.officer.actor)
    assert report.first_bad is None
    newest = life.room.audit(1)[0]
    assert (newest.event, newest.detail["entries"], newest.detail["valid"]) == ("audit.verified", report.entries, 1)


def test_export_is_a_table_with_names_and_is_in_the_log(life: RecordsLife) -> None:
    exported = life.room.portal.audit_log.export(life.officer.actor, Wanted("schedule.approved")).decode()
    head, row = list(csv.reader(io.StringIO(exported)))
    told = dict(zip(head, row, strict=True))
    assert (told["name"], told["words"]) == ("Paula Approver", "Put a schedule in force")
    assert life.room.events(1) == ["audit.exported"]


def test_a_name_in_the_export_is_never_a_formula(life: RecordsLife) -> None:
    evil = life.room.staff("evil@clinic.example", name="=HYPERLINK(1)")
    with life.room.database.write() as connection:
        facts = [AuditFact("message.opened", evil.account.id, life.river)]
        audit_trail.append(connection, facts, now=life.room.clock.now())
    wanted = Wanted(actor=evil.account.id)
    exported = life.room.portal.audit_log.export(life.officer.actor, wanted).decode()
    rows = list(csv.reader(io.StringIO(exported)))
    assert rows[1][3] == "'=HYPERLINK(1)"


def test_event_without_words_of_its_own_is_told_by_its_name() -> None:
    assert event_words("relay.given_up") == "Relay: given up"
