"""``strongroom archive``: find what was kept, and see whether everything was."""

from __future__ import annotations

import time

from appliance import archive_wiring, command_access
from appliance.command_call import Call, Outcome, facts, shown
from archive.archive_search import MOST_ITEMS, SearchItem
from mailstore.errors import RefusedError


def search(call: Call) -> Outcome:
    """The newest messages that match, with the places that match. Every search is in the audit trail."""
    arguments = call.arguments
    if not 1 <= arguments.limit <= MOST_ITEMS:
        raise RefusedError(f"--limit {arguments.limit} is out of range", fix=f"say a number from 1 to {MOST_ITEMS}")
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        answer = archive_wiring.search(appliance).search(actor, arguments.query, limit=arguments.limit)
    items = [_item(item) for item in answer.items]
    fields = {
        "total": answer.total,
        "items": items,
        "index_age_seconds": answer.index_age_seconds,
        "not_indexed": answer.not_indexed,
        "is_rebuilding": answer.rebuild is not None,
        "is_complete": answer.is_complete,
    }
    found = "\n\n".join(_told(item) for item in items) or "Nothing matches."
    missing = f"\n{answer.not_indexed} messages are not in the index yet." if answer.not_indexed else ""
    rebuilding = "\nThe index is being rebuilt: what is not in it yet is not found." if answer.rebuild else ""
    cut = "" if answer.is_complete else "\nThe search took too long: more, older messages may match."
    return Outcome(fields, f"{answer.total} found\n\n{found}{missing}{rebuilding}{cut}")


def rebuild(call: Call) -> Outcome:
    """Make the search index anew. Mail goes on coming in meanwhile; searches find what is back already."""
    begun = time.monotonic()
    with command_access.opened(call) as appliance:
        intake = archive_wiring.intake(appliance)
        indexed = archive_wiring.index_care(appliance, intake).rebuild()
    fields = {"indexed": indexed, "seconds": round(time.monotonic() - begun, 3)}
    return Outcome(fields, facts(fields))


def status(call: Call) -> Outcome:
    """How many messages were accepted, archived and indexed."""
    with command_access.opened(call) as appliance:
        search = archive_wiring.search(appliance)
        found, p95 = search.status(), search.query_p95_ms()
        index = archive_wiring.index(appliance)
        engine, size = index.engines().living, index.size_bytes()
    fields = {
        "accepted": found.accepted,
        "archived": found.archived,
        "indexed": found.indexed,
        "backlog": found.backlog,
        "damaged": found.damaged,
        "engine": engine.value,
        "index_bytes": size,
        "query_p95_ms": p95,
    }
    return Outcome(fields, facts(fields))


def _item(item: SearchItem) -> dict[str, object]:
    return {
        "id": item.id,
        "subject": item.subject,
        "from": item.from_,
        "received_at": item.received_at,
        "highlights": [each.marked for each in item.highlights],
    }


def _told(item: dict[str, object]) -> str:
    head = f"{item['id']}  {shown(item['received_at'])}  {shown(item['from'])}  {shown(item['subject'])}"
    highlights = item["highlights"]
    lines = [f"    {shown(each)}" for each in highlights] if isinstance(highlights, list) else []
    return "\n".join([head, *lines])
