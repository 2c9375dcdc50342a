from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from archive import archive_records, saved_search_records, saved_searches
from archive.archive_search import ArchiveSearch, Shown
from archive.saved_search import AskedSearch, BadSavedSearchError, NothingAskedError
from archive.saved_searches import SavedSearch, SavedSearches
from archive.sealed_details import SealedDetails
from archive.search_facets import BadFacetError, Facet
from archive.search_query import QueryError
from archive.search_relevance import Order
from archive.two_persons import NotPermittedError
from mailstore import audit_trail
from mailstore.actor import Actor, Role
from mailstore.errors import NotFoundError, TamperedError
from mailstore.message import AccountId
from tests.records_room import APPROVER, CLINICIAN, RECORDS, RECORDS_TOO, RecordsRoom

KNEE = AskedSearch("knee")
PEOPLE = {RECORDS.account: RECORDS, RECORDS_TOO.account: RECORDS_TOO, APPROVER.account: APPROVER}


@pytest.fixture(params=["whoosh", "sqlite"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path, engine=request.param)


def service(room: RecordsRoom) -> SavedSearches:
    """As any process opens it: nothing is kept in memory between two of these."""
    return SavedSearches(
        database=room.vault.database,
        index=room.index,
        details=SealedDetails(room.vault.ring.archive_key, os.urandom),
        clock=room.clock,
        randomness=os.urandom,
    )


def run(
    room: RecordsRoom, *, actor_of: Callable[[AccountId], Actor | None] = PEOPLE.get
) -> list[tuple[AccountId, Sequence[int]]]:
    told: list[tuple[AccountId, Sequence[int]]] = []
    service(room).run_due(actor_of, lambda owner, new: told.append((owner, list(new))))
    return told


def a_day_later(room: RecordsRoom) -> None:
    room.clock.advance(timedelta(days=1, seconds=1))


def only(room: RecordsRoom, actor: Actor = RECORDS) -> SavedSearch:
    (found,) = service(room).all(actor)
    return found


def receive(room: RecordsRoom, subject: str) -> None:
    room.receive(subject, is_indexed=True)
    room.clock.advance(timedelta(minutes=5))


def test_search_is_kept_with_its_whole_state_and_changed_and_forgotten(room: RecordsRoom) -> None:
    asked = AskedSearch("knee -invoice", {Facet.YEAR: "2026", Facet.DOMAIN: "elsewhere.example"}, Order.RELEVANCE)
    added = service(room).add(RECORDS, "  Smith's   knee ", asked)
    assert only(room) == added
    assert (added.name, added.asked) == ("Smith's knee", asked)
    service(room).rename(RECORDS, added.id, "The knee")
    service(room).run_daily(RECORDS, added.id, is_daily=True)
    assert (only(room).name, only(room).is_daily, only(room).asked) == ("The knee", True, asked)
    service(room).remove(RECORDS, added.id)
    assert service(room).all(RECORDS) == []


def test_search_of_somebody_else_is_not_there(room: RecordsRoom) -> None:
    saved = service(room)
    id_ = saved.add(RECORDS, "mine", KNEE).id
    assert saved.all(RECORDS_TOO) == []
    for attempt in (
        lambda: saved.show(RECORDS_TOO, id_),
        lambda: saved.rename(RECORDS_TOO, id_, "yours"),
        lambda: saved.run_daily(RECORDS_TOO, id_, is_daily=True),
        lambda: saved.remove(APPROVER, id_),
        lambda: saved.look(RECORDS_TOO, id_),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    assert (only(room).name, only(room).is_daily) == ("mine", False)


def test_what_cannot_be_asked_is_not_saved(room: RecordsRoom) -> None:
    saved = service(room)
    for name, asked, error in (
        ("", KNEE, BadSavedSearchError),
        ("n" * 101, KNEE, BadSavedSearchError),
        ("half of a pair \udcff", KNEE, BadSavedSearchError),
        ("n", AskedSearch("(knee"), QueryError),
        ("n", AskedSearch(" "), NothingAskedError),
        ("n", AskedSearch("knee", {Facet.YEAR: "20266"}), BadFacetError),
        ("n", AskedSearch("knee", {Facet.DOMAIN: "\udcff"}), BadFacetError),
    ):
        with pytest.raises(error):
            saved.add(RECORDS, name, asked)
    with pytest.raises(NotPermittedError):
        saved.add(CLINICIAN, "n", KNEE)
    assert saved.all(RECORDS) == []


def test_one_person_saves_so_many_and_no_more(room: RecordsRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_searches, "MOST_SAVED", 2)
    for number in range(2):
        service(room).add(RECORDS, f"number {number}", KNEE)
    with pytest.raises(BadSavedSearchError):
        service(room).add(RECORDS, "too many", KNEE)
    service(room).add(APPROVER, "somebody else's", KNEE)


def test_daily_run_says_how_much_is_new_and_once_a_day(room: RecordsRoom) -> None:
    receive(room, "knee of before")
    service(room).add(RECORDS, "daily", KNEE, is_daily=True)
    service(room).add(RECORDS, "not daily", KNEE)
    service(room).add(APPROVER, "another's", AskedSearch("hip"), is_daily=True)
    assert run(room) == []
    for subject in ("knee", "hip", "knee and hip"):
        receive(room, subject)
    assert run(room) == []
    a_day_later(room)
    assert dict(run(room)) == {RECORDS.account: [2], APPROVER.account: [2]}
    assert {each.name: each.new_messages for each in service(room).all(RECORDS)} == {"daily": 2, "not daily": 0}
    a_day_later(room)
    assert run(room) == []
    receive(room, "knee once more")
    a_day_later(room)
    assert run(room) == [(RECORDS.account, [3])]


def test_opened_search_marks_what_is_new_and_begins_anew(room: RecordsRoom) -> None:
    receive(room, "knee of before")
    added = service(room).add(RECORDS, "knees", KNEE, is_daily=True)
    room.clock.advance(timedelta(minutes=5))
    receive(room, "knee of today")
    a_day_later(room)
    run(room)
    looked = service(room).look(RECORDS, added.id)
    search = ArchiveSearch(
        database=room.vault.database,
        index=room.index,
        retrieval=room.vault.retrieval(),
        documents=room.documents,
        clock=room.clock,
    )
    answer = search.search(RECORDS, looked.asked, limit=9, shown=Shown(new_since=looked.looked_until))
    assert [(item.subject, item.is_new) for item in answer.items] == [
        ("knee of today", True),
        ("knee of before", False),
    ]
    assert only(room).new_messages == 0
    again = service(room).look(RECORDS, added.id)
    answer = search.search(RECORDS, again.asked, limit=9, shown=Shown(new_since=again.looked_until))
    assert not any(item.is_new for item in answer.items)


def test_mail_that_waits_for_the_index_is_new_to_the_run_that_finds_it(room: RecordsRoom) -> None:
    service(room).add(RECORDS, "knees", KNEE, is_daily=True)
    room.clock.advance(timedelta(minutes=5))
    late = room.receive("knee that waits")
    room.clock.advance(timedelta(minutes=5))
    receive(room, "knee that is there")
    with room.vault.database.write() as connection:
        archive_records.forget_index_of(connection, late)
    a_day_later(room)
    assert run(room) == []
    service(room).look(RECORDS, only(room).id)
    room.index.add([room.documents.read(room.vault.stored(late)).document])
    with room.vault.database.write() as connection:
        archive_records.mark_indexed(connection, [late], now=room.clock.now())
    a_day_later(room)
    assert run(room) == [(RECORDS.account, [2])]


def test_index_made_anew_makes_nothing_new(room: RecordsRoom) -> None:
    receive(room, "knee of before")
    service(room).add(RECORDS, "knees", KNEE, is_daily=True)
    with room.vault.database.write() as connection:
        archive_records.forget_index(connection)
        archive_records.mark_indexed(
            connection, archive_records.unindexed(connection, 9), now=room.clock.now() + timedelta(hours=1)
        )
    a_day_later(room)
    assert run(room) == []


def test_owner_who_lost_the_role_gets_nothing(room: RecordsRoom) -> None:
    service(room).add(RECORDS, "knees", KNEE, is_daily=True)
    room.clock.advance(timedelta(minutes=5))
    receive(room, "knee")
    a_day_later(room)
    demoted = Actor(RECORDS.account, Role.FRONTDESK)
    assert run(room, actor_of={RECORDS.account: demoted}.get) == []
    assert run(room, actor_of=dict[AccountId, Actor]().get) == []
    for attempt in (service(room).all, lambda actor: service(room).look(actor, only(room).id)):
        with pytest.raises(NotPermittedError):
            attempt(demoted)
    assert (only(room).new_messages, only(room).ran_at) == (0, None)
    assert run(room) == [(RECORDS.account, [1])]


def test_one_owners_damaged_search_keeps_nobody_elses_from_running(room: RecordsRoom) -> None:
    damaged = service(room).add(APPROVER, "knees", KNEE, is_daily=True).id
    service(room).add(RECORDS, "knees", KNEE, is_daily=True)
    room.clock.advance(timedelta(minutes=5))
    receive(room, "knee")
    a_day_later(room)
    with room.vault.database.write() as connection:
        saved_search_records.set_details(connection, damaged, sealed=bytes(64))
    told: list[AccountId] = []
    with pytest.raises(TamperedError):
        service(room).run_due(PEOPLE.get, lambda owner, _: told.append(owner))
    assert told == [RECORDS.account]


def test_words_and_names_are_in_no_file_and_no_audit_entry(room: RecordsRoom) -> None:
    added = service(room).add(RECORDS, "Quillfeather", AskedSearch("zanzibarine", {Facet.DOMAIN: "wombatic.example"}))
    service(room).rename(RECORDS, added.id, "Quillfeatherly")
    service(room).look(RECORDS, added.id)
    service(room).remove(RECORDS, service(room).add(RECORDS, "Quillfeather2", KNEE).id)
    written = b"".join(path.read_bytes() for path in room.directory.rglob("*") if path.is_file())
    for word in (b"uillfeather", b"zanzibarine", b"wombatic"):
        assert word not in written
    with room.vault.database.read() as connection:
        entries = audit_trail.of_events(
            connection, ["saved_search.added", "saved_search.changed", "saved_search.opened", "saved_search.removed"]
        )
    assert [entry.event.rpartition(".")[2] for entry in entries] == ["added", "changed", "opened", "added", "removed"]
    assert {entry.actor for entry in entries} == {RECORDS.account}
