"""Accounts lie sealed; app passwords are checked without opening anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.actor import SYSTEM, Role
from mailstore.errors import TamperedError
from portal.account_records import AccountExistsError
from portal.app_passwords import verify_app_password
from portal.people import People
from portal.tables import accounts
from tests.portal_room import RUIZ, STAFF_PASSWORD, PortalRoom, Somebody, portal_room
from tests.vault_room import RING


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@pytest.fixture
def ruiz(room: PortalRoom) -> Somebody:
    return room.staff()


def verified(room: PortalRoom, login: str, password: str) -> object:
    return verify_app_password(room.database, RING.lookup_key, login, password)


def test_an_app_password_names_its_account(room: PortalRoom, ruiz: Somebody) -> None:
    found = verify_app_password(room.database, RING.lookup_key, RUIZ, ruiz.app_password)
    assert found is not None
    assert found.account == ruiz.account.id
    assert found.role is ruiz.account.role


def test_an_app_password_has_at_least_100_random_bits(ruiz: Somebody) -> None:
    assert len(ruiz.app_password.replace("-", "")) >= 20


@pytest.mark.parametrize("login", ["Ruiz@Clinic.Example", " ruiz@clinic.example "])
def test_the_login_is_found_in_any_spelling(room: PortalRoom, ruiz: Somebody, login: str) -> None:
    assert verified(room, login, ruiz.app_password) is not None


@pytest.mark.parametrize("password", ["", STAFF_PASSWORD, "x" * 100_000, "\x00"])
def test_a_wrong_app_password_is_refused(room: PortalRoom, ruiz: Somebody, password: str) -> None:
    del ruiz
    assert verified(room, RUIZ, password) is None


@pytest.mark.parametrize("login", ["", "nobody@clinic.example", "ruiz", "a" * 100_000, "ruiz@clinic.example\x00"])
def test_an_unknown_login_is_refused(room: PortalRoom, ruiz: Somebody, login: str) -> None:
    assert verified(room, login, ruiz.app_password) is None


def test_one_persons_app_password_is_nothing_with_anothers_login(room: PortalRoom, ruiz: Somebody) -> None:
    room.staff("nurse@clinic.example", Role.CLINICIAN, "Nurse Kim")
    assert verified(room, "nurse@clinic.example", ruiz.app_password) is None


def test_a_closed_account_submits_nothing(room: PortalRoom, ruiz: Somebody) -> None:
    admin = room.staff("admin@clinic.example", Role.ADMIN, "Ada Min")
    room.portal.people.close(admin.actor, ruiz.account.id)
    assert verified(room, RUIZ, ruiz.app_password) is None


def test_a_new_app_password_ends_the_old_one(room: PortalRoom, ruiz: Somebody) -> None:
    new = room.portal.people.new_app_password(ruiz.actor)
    assert verified(room, RUIZ, ruiz.app_password) is None
    assert verified(room, RUIZ, new) is not None


def test_names_addresses_and_secrets_lie_nowhere_in_plain(room: PortalRoom, ruiz: Somebody) -> None:
    room.patient()
    for canary in (b"Elena", RUIZ.encode(), b"pat@mail", b"argon2", ruiz.totp_secret.encode()):
        assert not room.vault.files_hold(canary)
    assert not room.vault.files_hold(ruiz.app_password.encode())


def test_an_address_is_taken_once_in_any_spelling(room: PortalRoom, ruiz: Somebody) -> None:
    del ruiz
    with pytest.raises(AccountExistsError):
        room.portal.people.add_staff(SYSTEM, "RUIZ@clinic.example", "Another", Role.ADMIN, STAFF_PASSWORD)


def test_a_role_edited_in_the_rows_is_noticed(room: PortalRoom, ruiz: Somebody) -> None:
    people: People = room.portal.people
    with room.database.write() as connection:
        connection.execute(accounts.update().values(role="admin"))
    with pytest.raises(TamperedError):
        people.me(ruiz.actor)
