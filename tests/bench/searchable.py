"""From 250 to searchable: ``python -m tests.bench.searchable [--engine sqlite] [--seconds 60] [--per-second 5]``.

Sends practice mail at an even pace, then a burst (``--burst 500``) as fast as it is taken, and reads from the rows how
long each message took from its reception to its place in the durable index. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from archive.engine_records import Engine
from tests.bench import measured_practice
from tests.bench.practice_mail import mails
from tests.bench.steady_load import Sender
from tests.running_practice import RunningPractice

TOOK = (
    "select (archive_entries.indexed_at - messages.received_at) / 1e6 from archive_entries"
    " join messages on messages.id = archive_entries.message order by messages.sequence"
)
DRAIN_SECONDS = 900.0


def drained(practice: RunningPractice) -> float:
    """Wait until no follow-up work is left; answers the seconds."""
    begin = time.monotonic()
    while measured_practice.waiting(practice):
        if time.monotonic() - begin > DRAIN_SECONDS:
            raise SystemExit("the follow-up work does not end")
        time.sleep(0.2)
    return time.monotonic() - begin


def measure(practice: RunningPractice, seconds: float, per_second: float, burst: int) -> dict[str, Any]:
    """Both loads in one run."""
    with practice.serving():
        sender = Sender(practice.base + 25, mails())
        begin = time.monotonic()
        for number in range(int(seconds * per_second)):
            time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
            sender.send()
        steady, pace = sender.sent, sender.sent / (time.monotonic() - begin)
        drained(practice)
        begin = time.monotonic()
        for _ in range(burst):
            sender.send()
        taken = time.monotonic() - begin
        waited = drained(practice)
    took = [float(row[0]) for row in measured_practice.answered(practice, TOOK)]
    calm = took[:steady]
    return {
        "steady": {"per_second": round(pace, 2), "messages": steady, "failed": sender.failed, **_spread(calm)},
        "burst": {"messages": burst, "taken_seconds": round(taken, 1), "drained_seconds_later": round(waited, 1)},
    }


def _spread(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    found = {"p50_seconds": statistics.median(ordered), "p95_seconds": ordered[int(len(ordered) * 0.95)]}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--per-second", type=float, default=5)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--engine", choices=list(Engine), default=Engine.WHOOSH.value)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-searchable")
    chosen = parser.parse_args()
    practice = measured_practice.fresh(chosen.work)
    practice.told("archive", "engine", "set", chosen.engine)
    found = {"engine": chosen.engine, **measure(practice, chosen.seconds, chosen.per_second, chosen.burst)}
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
