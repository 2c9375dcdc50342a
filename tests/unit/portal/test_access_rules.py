"""Who may open what, whole table."""

from __future__ import annotations

from itertools import product

import pytest

from mailstore.actor import Actor, Role
from mailstore.message import AccountId
from portal import access_rules
from portal.access_rules import Relation, may_open

STRANGER = Relation()


def actor(role: Role) -> Actor:
    return Actor(AccountId("a" * 26), role)


@pytest.mark.parametrize("role", Role)
def test_nobody_opens_a_message_that_is_nothing_to_them(role: Role) -> None:
    assert not may_open(actor(role), STRANGER)


def test_a_patient_opens_what_waits_for_them_and_what_they_wrote() -> None:
    assert may_open(actor(Role.PATIENT), Relation(is_portal_recipient=True))
    assert may_open(actor(Role.PATIENT), Relation(is_author=True))


def test_a_mailbox_entry_is_nothing_to_a_patient() -> None:
    assert not may_open(actor(Role.PATIENT), Relation(is_in_mailbox=True))


@pytest.mark.parametrize("role", sorted(access_rules.STAFF))
def test_staff_open_what_is_in_their_mailbox_and_not_what_waits_for_a_patient(role: Role) -> None:
    assert may_open(actor(role), Relation(is_in_mailbox=True))
    assert not may_open(actor(role), Relation(is_portal_recipient=True))


@pytest.mark.parametrize("relation", [Relation(*each) for each in product([False, True], repeat=3)])
def test_the_appliance_itself_reads_nothing(relation: Relation) -> None:
    assert not may_open(actor(Role.SYSTEM), relation)


def test_roles_and_their_rights() -> None:
    def those(rule: object) -> set[Role]:
        assert callable(rule)
        return {role for role in Role if rule(actor(role))}

    assert those(access_rules.may_read_archive) == {Role.RECORDS, Role.APPROVER}
    assert those(access_rules.may_add_staff) == {Role.ADMIN, Role.SYSTEM}
    assert those(access_rules.may_enrol_patients) == {Role.CLINICIAN, Role.FRONTDESK, Role.ADMIN, Role.SYSTEM}
    assert those(access_rules.may_see_patients) == {Role.CLINICIAN, Role.FRONTDESK, Role.ADMIN}
    assert Role.PATIENT not in those(access_rules.may_see_staff)


def test_an_account_of_staff_is_closed_by_the_administrator_or_from_the_console_alone() -> None:
    closers = {role for role in Role if access_rules.may_close(actor(role), Role.CLINICIAN)}
    assert closers == {Role.ADMIN, Role.SYSTEM}
    assert access_rules.may_close(actor(Role.FRONTDESK), Role.PATIENT)
