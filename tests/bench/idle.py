"""What Strongroom needs while nothing happens: ``python -m tests.bench.idle [--starts 5] [--work DIR]``; prints JSON.

Time from the start of ``serve`` until its line says that it is ready, the median of several starts, with the
processor time used until then, which does not depend on who else uses the machine; and memory after a while of rest:
resident (RSS, shared pages counted in every process) and proportional (PSS, shared pages divided among their users).
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

from tests.bench import measured_practice
from tests.bench.process_cpu import cpu_seconds, resident_bytes, resident_with_shared_bytes
from tests.running_practice import RunningPractice, children_of

REST_SECONDS = 15.0
MIB = 2**20


def started(practice: RunningPractice, rest_seconds: float) -> dict[str, Any]:
    """One start, a rest, and what is resident then."""
    begin = time.monotonic()
    process = practice.start()
    try:
        practice.ready_line(process)
        ready, used = time.monotonic() - begin, cpu_seconds(process.pid)
        time.sleep(rest_seconds)
        roles = {"supervisor": process.pid, **children_of(process.pid)}
        for place in list(roles.values()):
            beside = children_of(place, suffix="-commit")
            roles |= {f"{name}, storing": pid for name, pid in beside.items()}
        return {
            "ready_seconds": round(ready, 2),
            "ready_cpu_seconds": round(used, 2),
            "pss_mib": round(resident_bytes(process.pid) / MIB, 1),
            "rss_mib": round(resident_with_shared_bytes(process.pid) / MIB, 1),
            "rss_by_role_mib": {n: round(resident_with_shared_bytes(p, alone=True) / MIB, 1) for n, p in roles.items()},
        }
    finally:
        practice.stop(process)


def main() -> None:
    """Start several times; rest once, after the last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-idle")
    chosen = parser.parse_args()
    practice = measured_practice.fresh(chosen.work)
    runs = [started(practice, 0.0) for _ in range(chosen.starts - 1)] + [started(practice, REST_SECONDS)]
    found = runs[-1]
    for name in ("ready_seconds", "ready_cpu_seconds"):
        found[name] = statistics.median(run[name] for run in runs)
    json.dump({"starts": chosen.starts, **found}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
