"""Core: who may do what. Roles and relations in, yes or no out; the services ask here before they do anything.

Everything not named is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailstore.actor import Actor, Role

STAFF = frozenset({Role.CLINICIAN, Role.FRONTDESK, Role.RECORDS, Role.APPROVER, Role.ADMIN})
CORRESPONDENTS = frozenset({Role.CLINICIAN, Role.FRONTDESK})
"""Staff whom patients write to and who enrol patients."""
RECORDS_OFFICERS = frozenset({Role.RECORDS, Role.APPROVER})
EVERYBODY = STAFF | {Role.PATIENT}


@dataclass(frozen=True)
class Relation:
    """What one person is to one message.

    ``is_portal_recipient``: a recipient row carries their address and leads to the portal. ``is_in_mailbox``: it was
    filed in a mailbox of theirs.
    """

    is_author: bool = False
    is_portal_recipient: bool = False
    is_in_mailbox: bool = False


def may_open(actor: Actor, relation: Relation) -> bool:
    """True when ``actor`` may read this message in the portal. Archive readers go through the archive's own door."""
    if relation.is_author:
        return actor.role in EVERYBODY
    if actor.role is Role.PATIENT:
        return relation.is_portal_recipient
    return actor.role.is_staff and relation.is_in_mailbox


def may_read_archive(actor: Actor) -> bool:
    """True for those who may search and read the whole archive."""
    return actor.role in RECORDS_OFFICERS


def may_add_staff(actor: Actor) -> bool:
    """True for the administrator, and for the appliance being set up from its own console."""
    return actor.role in {Role.ADMIN, Role.SYSTEM}


def may_enrol_patients(actor: Actor) -> bool:
    """True for those who meet patients and can check who they are."""
    return actor.role in CORRESPONDENTS | {Role.ADMIN, Role.SYSTEM}


def may_see_patients(actor: Actor) -> bool:
    """True for those who may see the list of patients."""
    return actor.role in CORRESPONDENTS | {Role.ADMIN}


def may_see_staff(actor: Actor) -> bool:
    """True for those who may see the list of staff."""
    return actor.role.is_staff or actor.role is Role.SYSTEM


def may_close(actor: Actor, role: Role) -> bool:
    """True when ``actor`` may close an account of ``role``."""
    return actor.role in {Role.ADMIN, Role.SYSTEM} or (role is Role.PATIENT and actor.role in CORRESPONDENTS)
