"""People are added, seen and closed by those who may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.actor import SYSTEM, Actor, Role
from mailstore.errors import NotFoundError, RefusedError
from mailstore.message import AccountId
from portal.account_records import AccountState
from portal.errors import ForbiddenError
from portal.settings import Pool
from tests.portal_room import STAFF_PASSWORD, PortalRoom, portal_room


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


def test_without_pools_in_the_settings_patients_write_to_the_front_desk(room: PortalRoom) -> None:
    assert room.portal.people.pools() == ()
    room.staff()
    (pool,) = room.portal.people.pools()
    assert (pool.name, [each.text for each in pool.addresses]) == ("Front desk", ["ruiz@clinic.example"])


def test_pools_of_the_settings_come_first(tmp_path: Path) -> None:
    pools = (Pool("Dr. Ruiz's nurses", "nurses@clinic.example", "two working days"),)
    with portal_room(tmp_path / "other", pools=pools) as room:
        assert [each.name for each in room.portal.people.pools()] == ["Dr. Ruiz's nurses"]
