"""A mail scanner that fetches, clicks and submits everything it finds opens nothing and burns nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.message import RecipientState
from portal.tables import sessions
from tests.portal_room import PortalRoom, portal_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def session_rows(room: PortalRoom) -> int:
    with room.database.read() as connection:
        return len(room.database.rows.select(connection, sessions))


def test_a_scanner_opens_nothing_burns_nothing_and_is_no_reader(room: PortalRoom) -> None:
    ruiz, pat = room.staff(), room.patient()
    letter = room.letter(ruiz, pat)
    before, held = room.audit(), session_rows(room)
    for _ in range(3):
        with room.visitor() as scanner:
            scanner.get(f"/m/{letter}")
            assert scanner.at == "/sign-in"
            assert "results" not in scanner.page.text
            for link in re.findall(r'href="(/[^"]*)"', scanner.page.text):
                scanner.get(link.replace("&amp;", "&"))
            scanner.client.head(f"/m/{letter}")
    assert room.audit() == before
    assert session_rows(room) == held
    (recipient,) = room.portal.reading.recipients(ruiz.actor, letter)
    assert recipient.state is RecipientState.NOTIFIED
    assert room.portal.reading.readers_of(ruiz.actor, letter) == ()
    with room.visitor() as visitor:
        room.sign_in(visitor, pat, f"/m/{letter}")
        assert visitor.at.startswith("/conversations/")
        assert "All is well" in visitor.page.text


def test_a_real_and_an_invented_link_look_the_same_before_signing_in(room: PortalRoom) -> None:
    ruiz, pat = room.staff(), room.patient()
    letter = room.letter(ruiz, pat)
    answers = set()
    for locator in (letter, "a" * 26):
        with room.visitor() as visitor:
            answer = visitor.client.get(f"/m/{locator}", follow_redirects=False)
            answers.add((answer.status_code, answer.headers["location"].replace(locator, "")))
    assert len(answers) == 1


def test_somebody_elses_link_leads_nowhere_after_signing_in(room: PortalRoom) -> None:
    ruiz, pat, olga = room.staff(), room.patient(), room.patient("olga@mail.example", "Olga Smith")
    letter = room.letter(ruiz, pat)
    with room.visitor() as visitor:
        room.sign_in(visitor, olga)
        assert visitor.get(f"/m/{letter}").status_code == 404
        invented = visitor.get("/m/" + "a" * 26)
        assert invented.status_code == 404
    assert "message.opened" not in room.events()
