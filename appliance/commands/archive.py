"""``strongroom archive``: find what was kept, and see whether everything was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from appliance import archive_wiring, command_access
from appliance.command_call import Call, Outcome, facts, listed, shown
from archive.archive_search import SearchAnswer, SearchItem, Shown
from archive.result_export import ResultExport
from archive.saved_search import MOST_ITEMS, AskedSearch
from archive.search_facets import Facet, FacetCounts
from archive.search_relevance import Order
from mailstore.errors import RefusedError

FACET_SECONDS = 5.0
MOST_VALUES_SHOWN = 8


def search(call: Call) -> Outcome:
    """The messages that match, with the places that match. Every search is in the audit trail."""
    arguments, wanted = call.arguments, asked(call)
    _require_limit(arguments.limit)
    shown_of_each = Shown(facet_seconds=FACET_SECONDS if arguments.facets else 0.0)
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        if arguments.csv:
            return _exported(archive_wiring.exports(appliance).of(actor, wanted))
        answer = archive_wiring.search(appliance).search(actor, wanted, limit=arguments.limit, shown=shown_of_each)
    return outcome_of(answer)


def asked(call: Call) -> AskedSearch:
    """What the line asks: the query, what it is narrowed to, and the order."""
    chosen: dict[Facet, str] = {}
    for told in call.arguments.narrow or ():
        name, _, value = told.partition("=")
        if name not in set(Facet) or not value:
            names = ", ".join(Facet)
            raise RefusedError(f"--narrow {told} cannot be understood", fix=f"say FACET=VALUE, FACET one of {names}")
        chosen[Facet(name)] = value
    return AskedSearch(call.arguments.query, chosen, Order(call.arguments.order))


def outcome_of(answer: SearchAnswer) -> Outcome:
    """An answer for programs and for people."""
    items = [_item(item) for item in answer.items]
    fields = {
        "total": answer.total,
        "items": items,
        "index_age_seconds": answer.index_age_seconds,
        "not_indexed": answer.not_indexed,
        "is_rebuilding": answer.rebuild is not None,
        "is_complete": answer.is_complete,
        **(_facets(answer.facets) if answer.facets else {}),
    }
    found = "\n\n".join(_told(item) for item in items) or "Nothing matches."
    missing = f"\n{answer.not_indexed} messages are not in the index yet." if answer.not_indexed else ""
    rebuilding = "\nThe index is being rebuilt: what is not in it yet is not found." if answer.rebuild else ""
    cut = "" if answer.is_complete else "\nThe search took too long: more, older messages may match."
    counted = f"\n\n{_counted(answer.facets)}" if answer.facets else ""
    return Outcome(fields, f"{answer.total} found\n\n{found}{counted}{missing}{rebuilding}{cut}")


def unread(call: Call) -> Outcome:
    """What no search can find by its words, and why."""
    _require_limit(call.arguments.limit)
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        found = archive_wiring.unread_mail(appliance).newest(actor, limit=call.arguments.limit)
    items = [
        {
            "id": each.message.id,
            "subject": each.message.subject,
            "from": each.message.from_,
            "received_at": each.message.received_at,
            "reasons": list(each.reasons),
        }
        for each in found
    ]
    return listed(items, ("id", "received_at", "subject", "reasons"), empty="Everything can be found.")


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
        found, missed, p95 = search.status(), search.unread(), search.query_p95_ms()
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
        "newest_indexed_at": found.newest_indexed_at,
        "lag_seconds": round(found.lag_seconds, 3),
        "not_indexed": _reasons(missed.messages),
        "unread_parts": _reasons(missed.parts),
    }
    told = {"not_indexed": _counts(missed.messages), "unread_parts": _counts(missed.parts)}
    return Outcome(fields, facts(fields | told))


def _reasons(counts: Mapping[str, int]) -> list[dict[str, object]]:
    return [{"reason": reason, "count": count} for reason, count in counts.items()]


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{count} {reason}" for reason, count in counts.items()]


def _require_limit(limit: int) -> None:
    if not 1 <= limit <= MOST_ITEMS:
        raise RefusedError(f"--limit {limit} is out of range", fix=f"say a number from 1 to {MOST_ITEMS}")


def _exported(export: ResultExport) -> Outcome:
    """The file as it is; for programs beside how much of everything it holds."""
    raw = b"".join(export.lines)
    fields = {
        "messages": export.messages,
        "total": export.total,
        "is_complete": export.is_complete,
        "csv": raw.decode("utf-8"),
    }
    return Outcome(fields, raw=raw)


def _facets(found: FacetCounts) -> dict[str, object]:
    counts = [
        {"facet": facet.value, "value": value, "count": count}
        for facet, values in found.counts.items()
        for value, count in sorted(values.items(), key=lambda each: (-each[1], each[0]))
    ]
    return {"facets": counts, "facets_are_complete": found.is_complete}


def _counted(found: FacetCounts) -> str:
    """Facets for people: the most frequent values of each."""
    lines = [
        f"{facet.value}: "
        + ", ".join(f"{shown(value)} {count}" for value, count in Counter(values).most_common(MOST_VALUES_SHOWN))
        for facet, values in found.counts.items()
        if values
    ]
    return "\n".join([*lines, *([] if found.is_complete else ["(counting took too long: there are at least so many)"])])


def _item(item: SearchItem) -> dict[str, object]:
    return {
        "id": item.id,
        "subject": item.subject,
        "from": item.from_,
        "received_at": item.received_at,
        "is_new": item.is_new,
        "highlights": [each.marked for each in item.highlights],
    }


def _told(item: dict[str, object]) -> str:
    new = "NEW  " if item["is_new"] else ""
    head = f"{item['id']}  {shown(item['received_at'])}  {new}{shown(item['from'])}  {shown(item['subject'])}"
    highlights = item["highlights"]
    lines = [f"    {shown(each)}" for each in highlights] if isinstance(highlights, list) else []
    return "\n".join([head, *lines])
