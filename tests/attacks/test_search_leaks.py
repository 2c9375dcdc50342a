"""Search leaks by counts, facets, saved searches and files: what a person may not see is neither shown nor counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest

from archive.archive_search import Shown
from archive.saved_search import AskedSearch
from archive.search_facets import Facet
from archive.two_persons import NotPermittedError
from mailstore.actor import Actor, Role
from mailstore.message import AccountId
from tests.portal_room import Somebody, Visitor
from tests.records_life import RecordsLife, records_life


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordsLife]:
    with records_life(tmp_path_factory.mktemp("leaks") / "vault") as lived:
        yield lived


@contextmanager
def at_work(life: RecordsLife, who: Somebody) -> Iterator[Visitor]:
    with life.room.visitor() as visitor:
        life.room.sign_in(visitor, who)
        yield visitor


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.RECORDS, Role.APPROVER}))
def test_no_other_role_counts_lists_or_exports_anything(life: RecordsLife, role: Role) -> None:
    archive, stranger = life.room.archive.room, Actor(AccountId("x" * 26), role)
    asked = AskedSearch("knee")
    for attempt in (
        lambda: archive.search.search(stranger, asked, limit=1, shown=Shown(facet_seconds=30.0)),
        lambda: archive.search.mailboxes(stranger),
        lambda: archive.exports.of(stranger, asked),
        lambda: archive.unread.newest(stranger),
        lambda: archive.saved.add(stranger, "n", asked),
        lambda: archive.saved.all(stranger),
        lambda: archive.saved.look(stranger, "a" * 26),
    ):
        with pytest.raises(NotPermittedError):
            attempt()


def test_counts_die_with_the_message(life: RecordsLife) -> None:
    """After a disposal neither totals nor facets, files nor saved searches know of it."""
    archive, officer = life.room.archive.room, life.officer.actor
    doomed = life.receive("Leaflet of the Wombat circle", "wombatic")
    asked = AskedSearch("wombatic")
    assert archive.search.search(officer, asked, limit=1, shown=Shown(facet_seconds=30.0)).total == 1
    life.room.archive.index.remove([doomed])
    answer = archive.search.search(officer, asked, limit=1, shown=Shown(facet_seconds=30.0))
    assert answer.facets is not None
    assert (answer.total, answer.facets.total) == (0, 0)
    assert not any(answer.facets.counts.values())
    assert archive.exports.of(officer, asked).messages == 0


HOSTILE = (
    '" OR 1=1 --',
    '") OR ("a" *',
    "\x00",
    "\u202emoc.elpmaxe",
    "a" * 2_000,
    "' UNION SELECT 1 --",
    "<script>x</script>",
    "-1",
    "\u00b2\u2070\u00b2\u2076",
)


def test_facet_that_no_page_would_write_finds_nothing_and_breaks_nothing(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        for facet, value in product(Facet, HOSTILE):
            for path in ("/archive", "/archive/export"):
                answer = visitor.get(f"{path}?q=knee&{facet}={quote(value)}")
                assert answer.status_code in {200, 404, 422}, (facet, value, path)
                assert "<script>x" not in answer.text
                assert "3 messages match" not in answer.text


def test_other_state_that_no_page_would_write_is_left_out(life: RecordsLife) -> None:
    with at_work(life, life.officer) as visitor:
        for odd in ("since=9999999999999999", "since=-1", "since=x", "order=random", "page=99999999999", "saved=../x"):
            assert visitor.get(f"/archive?q=knee&{odd}").status_code == 200, odd


def test_saved_search_of_a_colleague_is_not_to_be_had_by_its_id(life: RecordsLife) -> None:
    saved = life.room.archive.room.saved
    id_ = saved.add(life.officer.actor, "Quillfeather", AskedSearch("knee")).id
    with at_work(life, life.approver) as visitor:
        assert "Quillfeather" not in visitor.get("/archive/saved").text
        for path, fields in (("", {"name": "mine"}), ("/open", {}), ("/remove", {})):
            visitor.get("/archive/saved")
            assert visitor.post(f"/archive/saved/{id_}{path}", fields).status_code == 404
    assert saved.show(life.officer.actor, id_).name == "Quillfeather"


def test_whoever_lost_the_role_is_turned_away_from_what_they_saved(tmp_path: Path) -> None:
    with records_life(tmp_path / "vault") as life:
        life.room.archive.room.saved.add(life.officer.actor, "n", AskedSearch("knee"))
        demoted = Actor(life.officer.account.id, Role.FRONTDESK)
        with pytest.raises(NotPermittedError):
            life.room.archive.room.saved.all(demoted)
