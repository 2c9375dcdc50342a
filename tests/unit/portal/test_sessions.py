"""Sessions are minted by us, change at every step, and end on time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from portal.account_records import AccountState, Secrets
from portal.errors import StepMissingError
from portal.sessions import Session
from portal.sign_in_rules import Proof, Step
from portal.tables import sessions as table
from tests.portal_room import PortalRoom, Somebody, portal_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def signed_in(room: PortalRoom, somebody: Somebody) -> Session:
    with room.database.write() as connection:
        return room.portal.desk.sessions.step_up(
            connection,
            room.portal.desk.sessions.anonymous(),
            Proof.PASSKEY,
            account=somebody.account.id,
            now=room.clock.now(),
        )


def found(room: PortalRoom, cookie: str) -> Session | None:
    return room.portal.desk.sessions.find(cookie, room.clock.now())


def test_a_signed_in_session_is_found_with_its_person_and_role(room: PortalRoom) -> None:
    ruiz = room.staff()
    session = found(room, signed_in(room, ruiz).id)
    assert session is not None
    assert session.actor == ruiz.actor


def test_the_cookie_itself_is_nowhere_in_the_rows(room: PortalRoom) -> None:
    session = signed_in(room, room.staff())
    assert len(session.id) == 43
    assert not room.vault.files_hold(session.id.encode())


@pytest.mark.parametrize("cookie", ["", "x", "a" * 43, "a" * 64, "a" * 100_000, "é" * 43, "=" * 64, "\x00"])
def test_an_id_that_we_did_not_mint_is_never_adopted(room: PortalRoom, cookie: str) -> None:
    assert found(room, cookie) is None


def test_a_visitor_who_proved_nothing_takes_no_row(room: PortalRoom) -> None:
    session = found(room, room.portal.desk.sessions.anonymous().id)
    assert session is not None
    assert session.step is Step.ANONYMOUS
    with room.database.read() as connection:
        assert room.database.rows.select(connection, table) == []


def test_a_bit_changed_in_an_anonymous_id_makes_it_somebody_elses(room: PortalRoom) -> None:
    cookie = room.portal.desk.sessions.anonymous().id
    changed = ("B" if cookie[0] == "A" else "A") + cookie[1:]
    assert found(room, changed) is None


def test_every_step_has_a_new_id_and_the_old_one_is_dead(room: PortalRoom) -> None:
    first = signed_in(room, room.staff())
    with room.database.write() as connection:
        second = room.portal.desk.sessions.begin_again(connection, first, room.clock.now())
    assert second.id != first.id
    assert found(room, first.id) is None
    assert found(room, second.id) is not None


def test_a_session_ends_when_nobody_comes_for_half_an_hour(room: PortalRoom) -> None:
    session = signed_in(room, room.staff())
    room.clock.advance(timedelta(minutes=29))
    assert found(room, session.id) is not None
    room.clock.advance(timedelta(minutes=29))
    assert found(room, session.id) is not None
    room.clock.advance(timedelta(minutes=30))
    assert found(room, session.id) is None


def test_a_session_ends_after_twelve_hours_however_busy(room: PortalRoom) -> None:
    session = signed_in(room, room.staff())
    for _ in range(12 * 3 - 1):
        room.clock.advance(timedelta(minutes=20))
        assert found(room, session.id) is not None
    room.clock.advance(timedelta(minutes=20))
    assert found(room, session.id) is None


def test_a_closed_account_has_no_session(room: PortalRoom) -> None:
    ruiz = room.staff()
    session = signed_in(room, ruiz)
    with room.database.write() as connection:
        room.portal.desk.records.set_secrets(connection, ruiz.account.id, Secrets(), AccountState.CLOSED)
    assert found(room, session.id) is None


def test_signing_out_everywhere_leaves_nobody_in(room: PortalRoom) -> None:
    ruiz = room.staff()
    several = [signed_in(room, ruiz) for _ in range(3)]
    room.portal.sign_in.sign_out(several[0], everywhere=True)
    assert [found(room, each.id) for each in several] == [None] * 3


def test_the_form_token_belongs_to_one_session_alone(room: PortalRoom) -> None:
    ruiz = room.staff()
    assert signed_in(room, ruiz).form_token != signed_in(room, ruiz).form_token


def test_what_is_pending_comes_back_and_lies_sealed(room: PortalRoom) -> None:
    session = signed_in(room, room.staff())
    with room.database.write() as connection:
        room.portal.desk.sessions.keep_pending(connection, session, {"secret": "CANARYPENDING"}, room.clock.now())
    again = found(room, session.id)
    assert again is not None
    assert again.pending == {"secret": "CANARYPENDING"}
    assert not room.vault.files_hold(b"CANARYPENDING")


def test_a_session_that_ended_meanwhile_keeps_nothing(room: PortalRoom) -> None:
    session = signed_in(room, room.staff())
    room.portal.sign_in.sign_out(session)
    with room.database.write() as connection, pytest.raises(StepMissingError):
        room.portal.desk.sessions.keep_pending(connection, session, {"a": 1}, room.clock.now())


def test_what_has_expired_is_swept(room: PortalRoom) -> None:
    signed_in(room, room.staff())
    room.clock.advance(timedelta(hours=13))
    with room.database.write() as connection:
        assert room.portal.desk.sessions.sweep(connection, room.clock.now()) == 1
