"""Plays cycle after cycle and reports: ``make torture N=100 SEED=7``, or ``python -m tests.torture.rehearsal``."""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.postgresql_room import roomy_place
from tests.torture import world
from tests.torture.programme import FAULTS, turn_of
from tests.torture.report import Report
from tests.torture.trial import Trial
from tests.torture.world import World

Told = Callable[[Report], None]


def rehearse(place: Path, cycles: Sequence[tuple[int, str]], *, at: str = "", tell: Told | None = None) -> Report:
    """Play cycles by number and kind. A cycle is the same whenever it is played.

    ``tell`` is told after every cycle how far it is.
    """
    report, begun, used = Report(cycles[0][0]), time.monotonic(), _processor_seconds()
    with world.opened(place) as theatre:
        for number, kind in cycles:
            _cycle(theatre, report, number, kind=kind, at=at)
            report.seconds = time.monotonic() - begun
            if tell:
                tell(report)
    report.processor_seconds = _processor_seconds() - used
    return report


def _processor_seconds() -> float:
    """What this process has used, and those of its children, and of theirs, that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def _cycle(theatre: World, report: Report, number: int, *, kind: str, at: str) -> None:
    turn = turn_of(number, kind)
    name, chance = f"c{number}", random.Random(number)  # noqa: S311 - a rehearsal that can be repeated
    directory, oracle = theatre.begun(turn.scenario.home, turn.scenario.before, name)
    trial = Trial(theatre, turn.scenario, directory, oracle, chance, turn.number, at)
    FAULTS[turn.fault](trial)
    trial.mend()
    found = trial.judged()
    command = f"make torture N=1 SEED={number}" + (f" KIND={kind}" if kind else "") + (f" AT={at}" if at else "")
    report.count(turn.kind, command, struck=trial.injected, acknowledged=len(oracle.promised), found=found)
    if not found:  # what broke a promise is left where it is, to be looked at
        theatre.forget(turn.scenario.home, directory)


def _tell(report: Report) -> None:
    sys.stderr.write(f"\r{report.cycles} cycles, {len(report.failures)} failed, {report.seconds:.0f} s")


def _kept_in(path: Path, report: Report) -> None:
    """What is known so far, whole at any moment: whoever ends a long rehearsal early has what was played."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(report.told(), indent=1) + "\n", "utf-8")
    beside.replace(path)


def _teller(asked: argparse.Namespace) -> Told:
    def tell(report: Report) -> None:
        if asked.report:
            _kept_in(asked.report, report)
        if not asked.json:
            _tell(report)

    return tell


def main() -> int:
    """The rehearsal as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--kind", default="", help="a scenario, a fault, or both: dispose, kill, dispose/kill")
    parser.add_argument("--at", default="", help="the failpoint, as STRONGROOM_FAILPOINT names it")
    parser.add_argument("--place", type=Path, help="a new directory to play in, which is kept")
    parser.add_argument("--report", type=Path, help="a file that says after every cycle, as JSON, how far it is")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="strongroom-torture-", dir=roomy_place()) as own:
        place = asked.place or Path(own)
        place.mkdir(parents=True, exist_ok=True)
        report = rehearse(
            place,
            [(number, asked.kind) for number in range(asked.seed, asked.seed + asked.cycles)],
            at=asked.at,
            tell=_teller(asked),
        )
    sys.stdout.write(json.dumps(report.told()) + "\n" if asked.json else "\n" + "\n".join(report.lines()) + "\n")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
