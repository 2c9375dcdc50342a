"""Core: where each role's work begins, and the links at the top of every page."""

from __future__ import annotations

from dataclasses import dataclass

from mailstore.actor import Actor, Role


@dataclass(frozen=True)
class Link:
    """One entry at the top. ``path`` is also the beginning of the paths it stands for."""

    path: str
    words: str


_MAIL = (Link("/inbox", "Inbox"), Link("/sent", "Sent"), Link("/compose", "Write"), Link("/patients", "Patients"))
_RECORDS = (
    Link("/archive", "Archive"),
    Link("/holds", "Matters"),
    Link("/disposals", "Disposal"),
    Link("/schedule", "Schedule"),
    Link("/audit", "Audit"),
    Link("/inbox", "Inbox"),
)
_ACCOUNT = Link("/account", "My account")

NAVIGATION: dict[Role, tuple[Link, ...]] = {
    Role.PATIENT: (Link("/conversations", "Messages"), Link("/write", "Write"), _ACCOUNT),
    Role.CLINICIAN: (*_MAIL, _ACCOUNT),
    Role.FRONTDESK: (*_MAIL, _ACCOUNT),
    Role.RECORDS: (*_RECORDS, _ACCOUNT),
    Role.APPROVER: (*_RECORDS, _ACCOUNT),
    Role.ADMIN: (Link("/health", "Health"), Link("/patients", "Patients"), Link("/inbox", "Inbox"), _ACCOUNT),
    Role.SYSTEM: (),
}


def home_of(actor: Actor) -> str:
    """The first page of somebody who is signed in."""
    return NAVIGATION[actor.role][0].path


def links_for(actor: Actor | None) -> tuple[Link, ...]:
    """The links at the top of the page for this person."""
    return NAVIGATION[actor.role] if actor else ()
