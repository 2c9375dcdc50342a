"""``strongroom archive engine show`` and ``set``: which engine keeps the search index, and a change of it."""

from __future__ import annotations

import sys
import time

from appliance import archive_wiring, command_access
from appliance.command_call import Call, Outcome, facts
from archive.engine_change import Comparison
from archive.engine_records import Engine
from archive.index_care import RebuildMark
from mailstore.actor import SYSTEM

TELL_EVERY_SECONDS = 2.0


def show(call: Call) -> Outcome:
    """The engine in use, its size and its speed, and how far another one is."""
    with command_access.opened(call) as appliance:
        index = archive_wiring.index(appliance)
        engines = index.engines()
        held, size = index.document_count(), index.size_bytes()
        p95 = archive_wiring.search(appliance).query_p95_ms()
        built = RebuildMark(appliance.data.engine_mark).progress()
    fields = {
        "engine": engines.living.value,
        "since": engines.since,
        "messages": held,
        "index_bytes": size,
        "query_p95_ms": p95,
        "building": engines.building.value if engines.building else None,
        "is_being_built": built is not None,
        "built": built.done if built else None,
        "built_of": built.total if built else None,
    }
    return Outcome(fields, facts(fields))


def change(call: Call) -> Outcome:
    """Build the other index beside the living one, compare both, swap, and destroy the old one."""
    begun = time.monotonic()
    engine = Engine(call.arguments.engine)
    with command_access.opened(call) as appliance:
        found = archive_wiring.engine_change(appliance).run(engine, actor=SYSTEM.account, progress=_Telling())
    fields = {
        "engine": engine.value,
        "is_changed": found is not None,
        "seconds": round(time.monotonic() - begun, 3),
        **(_compared(found) if found else {}),
    }
    return Outcome(fields, facts(fields))


def _compared(found: Comparison) -> dict[str, object]:
    return {
        "messages": found.messages,
        "queries_compared": found.queries,
        "before_p50_ms": found.before.p50_ms,
        "before_p95_ms": found.before.p95_ms,
        "after_p50_ms": found.after.p50_ms,
        "after_p95_ms": found.after.p95_ms,
    }


class _Telling:
    """Says on stderr how far it is and how long it may still take."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Told how many messages are done, and of how many."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = done, now
        if now - self._last < TELL_EVERY_SECONDS:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._begun, 0.001)
        left = f", about {(total - done) / rate:.0f} s left" if rate > 0 else ""
        sys.stderr.write(f"{done} of {total} messages{left}\n")
