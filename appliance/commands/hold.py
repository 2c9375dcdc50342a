"""``strongroom hold``: what must be kept for a matter, whatever the schedule says."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from typing import Any

from appliance import archive_wiring, command_access
from appliance.command_call import Call, Outcome, facts, listed, table
from archive.holds import HoldView, ReleasePreview
from mailstore.actor import SYSTEM
from mailstore.errors import RefusedError

COLUMNS = ("id", "name", "state", "custodians", "since", "until", "query", "matched", "kept_to_be_safe")


def place(call: Call) -> Outcome:
    """Place a hold; it holds from this moment on, and catches what comes later."""
    arguments = call.arguments
    since, until = _day(arguments.since, "--since"), _day(arguments.until, "--until")
    if not (arguments.custodian or since or until or (arguments.query or "").strip()):
        raise RefusedError(
            "nothing says what is to be held",
            fix="say --custodian, --since, --until or --query; --since 1970-01-01 holds everything",
        )
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        placed = archive_wiring.desk(appliance).holds.place(
            actor,
            name=arguments.name,
            reason=arguments.reason,
            custodians=arguments.custodian,
            since=since,
            until=until,
            query=arguments.query or "",
        )
    fields = {"id": placed.id, "matched": placed.matched, "kept_to_be_safe": placed.kept_to_be_safe}
    return Outcome(fields, facts(fields))


def listing(call: Call) -> Outcome:
    """Every hold, oldest first."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance) if call.as_email else SYSTEM
        views = archive_wiring.desk(appliance).holds.all(actor)
    return listed([_item(view) for view in views], COLUMNS, empty="No holds.")


def release(call: Call) -> Outcome:
    """Ask for the end of a hold. It goes on holding until another person approves."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        archive_wiring.desk(appliance).holds.request_release(actor, call.arguments.id, reason=call.arguments.reason)
    fields = {"id": call.arguments.id, "state": "release_requested"}
    return Outcome(fields, "The hold goes on until another person approves its release.")


def approve_release(call: Call) -> Outcome:
    """End a hold, as another person than asked for it, after showing what would then be due.

    ``--preview`` only shows it. A person at a terminal is asked before anything ends; a program passes the hash that
    it was shown with ``--set-hash``, or agrees to what is shown in the same call.
    """
    arguments = call.arguments
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        holds = archive_wiring.desk(appliance).holds
        preview = holds.preview_release(actor, arguments.id)
        fields = {"id": arguments.id, **_due(preview)}
        if arguments.preview:
            return Outcome({**fields, "state": "release_requested"}, _due_text(preview))
        sys.stderr.write(_due_text(preview) + "\n")
        _ask(preview)
        agreed = _hash(arguments.set_hash) if arguments.set_hash else preview.set_hash
        holds.approve_release(actor, arguments.id, set_hash=agreed)
    return Outcome({**fields, "state": "released"}, "Released.")


def _ask(preview: ReleasePreview) -> None:
    if not sys.stdin.isatty():
        return
    sys.stderr.write(f"Release the hold, so that these {len(preview.due)} may go? Type yes: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise RefusedError("the hold was not released", fix="type yes when that is what you want")


def _due(preview: ReleasePreview) -> dict[str, Any]:
    due = [
        {"id": each.message, "received_at": each.received_at, "category": each.category, "due_at": each.due_at}
        for each in preview.due
    ]
    return {"due": due, "due_total": len(due), "set_hash": preview.set_hash.hex()}


def _due_text(preview: ReleasePreview) -> str:
    told = _due(preview)
    rows = table(told["due"], ("id", "received_at", "category", "due_at"), empty="Nothing would be due.")
    return f"Due at once without this hold: {told['due_total']}\n{rows}\nset hash  {told['set_hash']}"


def _hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise RefusedError("the set hash is not hexadecimal", fix="copy it as it was shown") from error


def _day(text: str | None, option: str) -> date | None:
    """A day in UTC from a date or an RFC 3339 instant."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(f"{option} {text!r} is not a date", fix="write it as 2026-01-31") from error
    return (instant.astimezone(UTC) if instant.tzinfo else instant).date()


def _item(view: HoldView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state.value,
        "reason": view.reason,
        "custodians": list(view.custodians),
        "since": view.since.isoformat() if view.since else None,
        "until": view.until.isoformat() if view.until else None,
        "query": view.query or None,
        "matched": view.matched,
        "kept_to_be_safe": view.kept_to_be_safe,
        "placed_at": view.placed_at,
    }
