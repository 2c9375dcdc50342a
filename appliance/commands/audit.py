"""``strongroom audit``: what was done, by whom, and whether the record of it is whole."""

from __future__ import annotations

from collections.abc import Mapping

from appliance import command_access, portal_wiring
from appliance.command_call import Call, Outcome, facts, listed
from appliance.wiring import Appliance
from mailstore import audit_trail
from mailstore.audit_entry import AuditEntry
from mailstore.errors import RefusedError
from mailstore.message import AccountId

MOST_SHOWN = 10_000


def tail(call: Call) -> Outcome:
    """The newest entries, oldest of them first. People are shown by their address, as the accounts know it now."""
    count = call.arguments.count
    if not 1 <= count <= MOST_SHOWN:
        raise RefusedError(f"-n {count} cannot be shown", fix=f"say a number from 1 to {MOST_SHOWN}")
    with command_access.opened(call) as appliance:
        with appliance.database.read() as connection:
            entries = audit_trail.tail(connection, count)
        addresses = _addresses(appliance, entries)
    items = [_item(entry, addresses) for entry in entries]
    return listed(items, ("sequence", "at", "actor", "event", "object"), empty="No entries.")


def verify(call: Call) -> Outcome:
    """Check every entry, the tree and every signed checkpoint. Exit 1 with the first bad entry when one fails."""
    with command_access.opened(call) as appliance:
        report = audit_trail.verify(
            appliance.database,
            public_key=appliance.signer.audit_public,
            checkpoints_path=appliance.data.checkpoints,
        )
    fields: dict[str, object] = {"entries": report.entries, "tree_root": report.tree_root}
    if report.first_bad is None:
        return Outcome({**fields, "valid": True}, facts({**fields, "verdict": "the audit trail is whole"}))
    bad = {"sequence": report.first_bad.sequence, "problem": report.first_bad.problem}
    error = {
        "code": "audit_broken",
        "message": report.first_bad.problem,
        "fix": "keep the directory as it is and compare it with the checkpoints outside this machine",
    }
    told = {**fields, "valid": False, "first_bad": bad, "error": error}
    return Outcome(told, facts({**fields, "first bad": report.first_bad.problem}), exit_code=1)


def _item(entry: AuditEntry, addresses: Mapping[str, str]) -> dict[str, object]:
    return {
        "sequence": entry.sequence,
        "at": entry.at,
        "actor": addresses.get(entry.actor, entry.actor),
        "actor_id": entry.actor,
        "event": entry.event,
        "object": entry.object,
        "detail": dict(entry.detail),
    }


def _addresses(appliance: Appliance, entries: list[AuditEntry]) -> dict[str, str]:
    actors = frozenset(AccountId(entry.actor) for entry in entries)
    known = portal_wiring.people(appliance).names(actors)
    return {account: found.person.email for account, found in known.items()}
