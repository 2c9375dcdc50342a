"""Core: who may take which step with records, and which steps need a second person."""

from __future__ import annotations

from mailstore.actor import SYSTEM, Actor, Role
from mailstore.errors import RefusedError
from mailstore.message import AccountId

KEEPERS = frozenset({Role.RECORDS, Role.APPROVER})
"""Who works with schedules and holds."""

PROPOSERS = frozenset({Role.RECORDS})
"""Who proposes and runs a disposal."""

APPROVERS = frozenset({Role.APPROVER})
"""Who approves a disposal."""


class NotPermittedError(RefusedError):
    """This person's role does not allow that step."""

    code = "not_permitted"


class SecondPersonNeededError(RefusedError):
    """The step has to be taken by somebody else than the one who took the step before."""

    code = "second_person_needed"


def require_role(actor: Actor, roles: frozenset[Role]) -> None:
    """Let the step pass for these roles only. Raises ``NotPermittedError``."""
    if actor.role not in roles:
        allowed = " or ".join(sorted(roles))
        raise NotPermittedError(
            "this step is not open to your role", fix=f"Ask somebody whose role is {allowed} to do it."
        )


def require_reader(actor: Actor) -> None:
    """Let a look at holds and disposals pass: for those who keep records, and for the appliance's own console.

    Whoever works at the console holds the keys. Looking changes nothing and opens no message.
    """
    if actor != SYSTEM:
        require_role(actor, KEEPERS)


def require_other_person(actor: Actor, first: AccountId | None) -> None:
    """Let the step pass for anybody but ``first``, who must be known. Raises ``SecondPersonNeededError``."""
    if first is None or actor.account == first:
        raise SecondPersonNeededError(
            "who asked for this cannot approve it too", fix="Ask a second person to look at it and approve it."
        )


def require_own_step(actor: Actor, *persons: AccountId | None) -> None:
    """Let the step pass for one of these persons only. Raises ``NotPermittedError``."""
    if actor.account not in persons:
        raise NotPermittedError(
            "only who put this forward can take it back", fix="Ask that person; whoever approves may also decline."
        )
