"""The audit log: who did what to which object, whether it is whole, and as a file."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Response

from mailstore.audit_trail import AuditReport, Wanted
from portal import security_headers
from portal.audit_words import event_words
from portal.visit import RECORDS_OFFICERS, Visit, shows, takes

PAGE_ITEMS = 50


@shows("/audit", audience=RECORDS_OFFICERS)
def audit_page(visit: Visit) -> Response[Any]:
    """The newest entries of the kind that was asked for."""
    return _page(visit)


@takes("/audit/verification", audience=RECORDS_OFFICERS)
def verify(visit: Visit) -> Response[Any]:
    """Recompute the whole log and say what was found."""
    return _page(visit, visit.portal.audit_log.verify(visit.actor))


@shows("/audit/export", audience=RECORDS_OFFICERS)
def export(visit: Visit) -> Response[bytes]:
    """The entries of the kind that was asked for, as a file for a spreadsheet."""
    content = visit.portal.audit_log.export(visit.actor, _wanted(visit))
    name = f"audit-log-{visit.now:%Y-%m-%d}.csv"
    headers = {**security_headers.for_download(), "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv", headers=headers)


def _page(visit: Visit, report: AuditReport | None = None) -> Response[Any]:
    log, actor, wanted = visit.portal.audit_log, visit.actor, _wanted(visit)
    before = visit.query("before")
    found = log.page(actor, wanted, limit=PAGE_ITEMS, before=visit.number("before") if before else None)
    return visit.page(
        "pages/audit.html",
        wanted=wanted,
        found=found,
        events=[(event, event_words(event)) for event in log.events(actor)],
        event_words=event_words,
        newest=_at(wanted) if before else "",
        older=_at(wanted, before=found.older) if found.older else "",
        export_at=_at(wanted, path="/audit/export"),
        report=report,
    )


def _wanted(visit: Visit) -> Wanted:
    return Wanted(visit.query("event").strip(), visit.query("object").strip(), visit.query("actor").strip())


def _at(wanted: Wanted, *, path: str = "/audit", before: int | None = None) -> str:
    state = {"event": wanted.event, "object": wanted.object, "actor": wanted.actor, "before": before}
    told = {name: value for name, value in state.items() if value}
    return f"{path}?{urlencode(told)}" if told else path


ROUTES = (audit_page, verify, export)
