"""How the search index does, and whether its engine still fits the archive: for the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from appliance import archive_wiring, mending_words
from appliance.health_finding import Seen, State
from appliance.wiring import Appliance
from archive import archive_records, engine_trial, index_care
from archive.engine_records import Engine
from archive.index_care import RebuildMark

LATE_INDEX = timedelta(minutes=15)

MOST_WITH_WHOOSH = 50_000
"""Messages beyond which the other engine is proposed: what whoosh takes for a search grows with every message."""


@dataclass(frozen=True)
class IndexReport:
    """What was seen, and what to do about it when that is anything."""

    told: str
    fix: str = ""


def findable(appliance: Appliance) -> Seen:
    """The same for the doctor."""
    report = of_index(appliance)
    return (State.WARN if report.fix else State.OK), report.told, report.fix


def of_index(appliance: Appliance) -> IndexReport:
    """Whether everything can be found."""
    rebuild = RebuildMark(appliance.data.rebuild_mark).progress()
    if rebuild is not None:
        back = f": {rebuild.done} of {rebuild.total} messages are back" if rebuild.total else ""
        return IndexReport(f"it is being rebuilt{back}", "wait; searches find what is back already")
    problem = index_care.problem_of(appliance.database, archive_wiring.index(appliance))
    if problem:
        return IndexReport(
            f"it must be rebuilt: {problem}",
            "serve does that by itself within a minute; or run: sudo strongroom archive rebuild",
        )
    with appliance.database.read() as connection:
        counts = archive_records.counts(connection)
        oldest = archive_records.oldest_unindexed_at(connection)
    told = f"{counts.indexed} of {counts.archived} messages can be found"
    if oldest is not None:
        told += f", the others wait for {max(0, int((appliance.clock.now() - oldest).total_seconds()))} s at most"
    if counts.not_indexed:
        told += f"; {counts.not_indexed} could not be taken in: see strongroom archive unread"
    if oldest is not None and appliance.clock.now() - oldest > LATE_INDEX:
        return IndexReport(
            f"{told}; one waits since {oldest:%Y-%m-%d %H:%MZ}", mending_words.worker_log(appliance.data)
        )
    return proposal(appliance, indexed=counts.indexed) or IndexReport(told)


def proposal(appliance: Appliance, *, indexed: int, most: int = MOST_WITH_WHOOSH) -> IndexReport | None:
    """What to say when the other engine would serve better, with both times; None while this one will do."""
    index = archive_wiring.index(appliance)
    if indexed <= most or index.engines().living is not Engine.WHOOSH:
        return None
    documents = archive_wiring.documents(appliance)
    tried = engine_trial.trial(appliance.database, index, documents, room=appliance.data.run)
    if tried is None:
        return None
    return IndexReport(
        f"searches of {indexed} messages take up to {tried.living_p95_ms:.0f} ms here;"
        f" with the engine sqlite about {tried.sqlite_p95_ms:.0f} ms, by a sample of them",
        "run: sudo strongroom archive engine set sqlite (searching goes on meanwhile)",
    )
