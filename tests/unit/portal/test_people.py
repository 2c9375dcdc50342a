"""People are added, seen and closed by those who may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore import mailboxes
from mailstore.actor import SYSTEM, Actor, Role
from mailstore.errors import NotFoundError, RefusedError
from mailstore.message import AccountId
from portal import app_passwords
from portal.account_records import AccountState, Secrets
from portal.errors import ForbiddenError
from portal.sessions import Session
from portal.settings import Pool
from portal.sign_in import Wrong
from portal.sign_in_rules import Proof
from tests.portal_room import STAFF_PASSWORD, PortalRoom, Somebody, portal_room
from tests.vault_room import RING


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def actor(role: Role) -> Actor:
    return Actor(AccountId("a" * 26), role)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN, Role.SYSTEM}))
def test_only_the_administrator_adds_staff(room: PortalRoom, role: Role) -> None:
    with pytest.raises(ForbiddenError):
        room.portal.people.add_staff(actor(role), "new@clinic.example", "New", Role.ADMIN, STAFF_PASSWORD)


@pytest.mark.parametrize("role", [Role.PATIENT, Role.SYSTEM])
def test_staff_have_roles_of_staff(room: PortalRoom, role: Role) -> None:
    with pytest.raises(ForbiddenError):
        room.portal.people.add_staff(SYSTEM, "new@clinic.example", "New", role, STAFF_PASSWORD)


@pytest.mark.parametrize("role", [Role.PATIENT, Role.RECORDS, Role.APPROVER])
def test_patients_are_enrolled_by_those_who_meet_them(room: PortalRoom, role: Role) -> None:
    somebody = room.invited()
    with pytest.raises(ForbiddenError):
        room.portal.people.add_patient(actor(role), "new@mail.example", "New")
    with pytest.raises(ForbiddenError):
        room.portal.people.new_enrolment_code(actor(role), somebody.account.id)
    with pytest.raises(ForbiddenError):
        room.portal.people.patients(actor(role))


def test_a_code_cannot_reset_a_member_of_staff(room: PortalRoom) -> None:
    desk, ruiz = room.staff(), room.staff("nurse@clinic.example", Role.CLINICIAN, "Nurse Kim")
    with pytest.raises(ForbiddenError):
        room.portal.people.new_enrolment_code(desk.actor, ruiz.account.id)


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\x00b", "\u202eevil"])
def test_a_name_that_cannot_be_shown_is_refused(room: PortalRoom, name: str) -> None:
    with pytest.raises(RefusedError):
        room.portal.people.add_patient(SYSTEM, "new@mail.example", name)


@pytest.mark.parametrize("email", ["", "x", "a@b@c", "a@clinic.example", "x@mail.example\r\nBcc: y"])
def test_an_address_that_cannot_be_a_patients_is_refused(room: PortalRoom, email: str) -> None:
    with pytest.raises(RefusedError):
        room.portal.people.add_patient(SYSTEM, email, "New")


def test_a_weak_password_is_refused_for_staff_too(room: PortalRoom) -> None:
    with pytest.raises(RefusedError):
        room.portal.people.add_staff(SYSTEM, "new@clinic.example", "New", Role.ADMIN, "password1234")


def test_patients_are_listed_by_name_and_staff_are_not_among_them(room: PortalRoom) -> None:
    desk = room.staff()
    room.invited("z@mail.example", "Zoe")
    room.invited("a@mail.example", "anna")
    assert [each.person.name for each in room.portal.people.patients(desk.actor)] == ["anna", "Zoe"]
    with pytest.raises(NotFoundError):
        room.portal.people.patient(desk.actor, desk.account.id)


def test_closing_ends_an_account_and_nobody_closes_themselves(room: PortalRoom) -> None:
    admin, desk, patient = room.staff("admin@clinic.example", Role.ADMIN, "Ada"), room.staff(), room.invited()
    room.portal.people.close(desk.actor, patient.account.id)
    assert room.portal.people.by_email(patient.email).state is AccountState.CLOSED
    with pytest.raises(ForbiddenError):
        room.portal.people.close(desk.actor, admin.account.id)
    with pytest.raises(ForbiddenError):
        room.portal.people.close(admin.actor, admin.account.id)


def test_closing_a_member_of_staff_ends_every_way_in_and_their_address_at_once(room: PortalRoom) -> None:
    room.staff("admin@clinic.example", Role.ADMIN, "Ada")
    ruiz = room.staff()
    session = signed_in(room, ruiz)
    room.portal.people.close(SYSTEM, ruiz.account.id)
    with room.database.read() as connection:
        records = room.portal.desk.records
        assert records.secrets_of(connection, ruiz.account.id) == Secrets()
        assert records.passkeys_of(connection, ruiz.account.id) == []
        assert mailboxes.by_address(connection, room.portal.people.index_of(ruiz.account)) is None
        assert mailboxes.of_account(connection, ruiz.account.id) is not None, "what lies in it stays"
    assert room.portal.desk.sessions.find(session.id, room.clock.now()) is None
    assert app_passwords.verify_app_password(room.database, RING.lookup_key, ruiz.email, ruiz.app_password) is None


def test_a_reset_ends_every_old_way_in_and_opens_a_closed_account_again(room: PortalRoom) -> None:
    admin, ruiz = room.staff("admin@clinic.example", Role.ADMIN, "Ada"), room.staff()
    session = signed_in(room, ruiz)
    room.portal.people.reset_staff(admin.actor, ruiz.account.id, "five other quiet words here")
    assert room.portal.desk.sessions.find(session.id, room.clock.now()) is None
    assert app_passwords.verify_app_password(room.database, RING.lookup_key, ruiz.email, ruiz.app_password) is None
    room.portal.people.close(admin.actor, ruiz.account.id)
    new = room.portal.people.reset_staff(SYSTEM, ruiz.account.id, STAFF_PASSWORD)
    assert new.totp_secret != ruiz.totp_secret
    assert room.portal.people.by_email(ruiz.email).state is AccountState.ACTIVE
    assert app_passwords.verify_app_password(room.database, RING.lookup_key, ruiz.email, new.app_password)
    with room.database.read() as connection:
        assert mailboxes.by_address(connection, room.portal.people.index_of(ruiz.account)) is not None


def test_the_last_administrator_is_not_closed_even_from_the_console(room: PortalRoom) -> None:
    ada = room.staff("ada@clinic.example", Role.ADMIN, "Ada")
    with pytest.raises(RefusedError):
        room.portal.people.close(SYSTEM, ada.account.id)
    other = room.staff("bea@clinic.example", Role.ADMIN, "Bea")
    room.portal.people.close(SYSTEM, ada.account.id)
    with pytest.raises(RefusedError):
        room.portal.people.close(SYSTEM, other.account.id)


def test_another_role_is_given_by_the_administrator_to_staff_and_ends_their_sessions(room: PortalRoom) -> None:
    ada, ruiz, patient = room.staff("ada@clinic.example", Role.ADMIN, "Ada"), room.staff(), room.patient()
    people, session = room.portal.people, signed_in(room, ruiz)
    assert people.change_role(ada.actor, ruiz.account.id, Role.RECORDS).role is Role.RECORDS
    assert room.portal.desk.sessions.find(session.id, room.clock.now()) is None
    again = room.portal.desk.sessions.find(signed_in(room, ruiz).id, room.clock.now())
    assert again is not None
    assert again.role is Role.RECORDS
    for actor_, who, role in (
        (ruiz.actor, ada, Role.RECORDS),
        (ada.actor, ada, Role.RECORDS),
        (ada.actor, ruiz, Role.PATIENT),
        (SYSTEM, ruiz, Role.SYSTEM),
    ):
        with pytest.raises(ForbiddenError):
            people.change_role(actor_, who.account.id, role)
    with pytest.raises(NotFoundError):
        people.change_role(SYSTEM, patient.account.id, Role.RECORDS)
    with pytest.raises(RefusedError, match="last administrator"):
        people.change_role(SYSTEM, ada.account.id, Role.RECORDS)


def test_a_reset_is_the_administrators_and_for_staff(room: PortalRoom) -> None:
    ruiz, patient = room.staff(), room.patient()
    with pytest.raises(ForbiddenError):
        room.portal.people.reset_staff(ruiz.actor, ruiz.account.id, STAFF_PASSWORD)
    with pytest.raises(NotFoundError):
        room.portal.people.reset_staff(SYSTEM, patient.account.id, STAFF_PASSWORD)


def test_a_code_that_was_handed_out_dies_with_the_account(room: PortalRoom) -> None:
    patient = room.invited()
    room.portal.people.close(SYSTEM, patient.account.id)
    anonymous = room.portal.desk.sessions.anonymous()
    assert room.portal.enrolment.code(anonymous, patient.email, patient.enrolment_code, "192.0.2.9") == Wrong()


def signed_in(room: PortalRoom, somebody: Somebody) -> Session:
    with room.database.write() as connection:
        return room.portal.desk.sessions.step_up(
            connection,
            room.portal.desk.sessions.anonymous(),
            Proof.PASSKEY,
            account=somebody.account.id,
            now=room.clock.now(),
        )


def test_without_pools_in_the_settings_patients_write_to_the_front_desk(room: PortalRoom) -> None:
    assert room.portal.people.pools() == ()
    room.staff()
    (pool,) = room.portal.people.pools()
    assert (pool.name, [each.text for each in pool.addresses]) == ("Front desk", ["ruiz@clinic.example"])


def test_pools_of_the_settings_come_first(tmp_path: Path) -> None:
    pools = (Pool("Dr. Ruiz's nurses", "nurses@clinic.example", "two working days"),)
    with portal_room(tmp_path / "other", pools=pools) as room:
        assert [each.name for each in room.portal.people.pools()] == ["Dr. Ruiz's nurses"]
