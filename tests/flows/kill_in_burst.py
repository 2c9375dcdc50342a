"""A rehearsal of power cuts: clients send, something is killed, and afterwards every promise is asked for (I1, I11).

``make torture N=100 SEED=7`` runs it; with ``JSON=1`` it prints one object. Each cycle kills one role of a running
``serve``, its parent, or all processes at once, at a moment that the seed picks.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import running_practice
from tests.running_practice import RunningPractice, children_of

ANN = "ann@clinic.example"
CLIENTS = 4
VICTIMS = ("smtp", "worker", "mail", "parent", "all")
FIRST_ANSWERS = 5
"""A burst is under way when so many messages of it were answered 250."""
LONGEST_WAIT = 0.5
"""Seconds after that within which the kill falls."""
PATIENCE_SECONDS = 120
NAME = re.compile(r"letter-\d+-\d+-\d+")


@dataclass
class Burst:
    """Several clients that send as fast as they are answered, and remember what was answered 250."""

    practice: RunningPractice
    cycle: int
    answered: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self, client: int) -> None:
        """Send until told to stop; a connection that breaks is opened again, and an unanswered message is not."""
        number = 0
        while not self.is_over.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.practice.base + 25, timeout=20) as connection:
                    while not self.is_over.is_set():
                        number += 1
                        self._send(connection, f"letter-{self.cycle}-{client}-{number}")
            except (smtplib.SMTPException, OSError):
                time.sleep(0.05)

    def _send(self, connection: smtplib.SMTP, name: str) -> None:
        self.sent.append(name)
        content = f"From: a@example.net\r\nSubject: {name}\r\n\r\n{name * 50}\r\n".encode()
        if not connection.sendmail("a@example.net", [ANN], content):
            self.answered.append(name)


@dataclass
class Outcome:
    """What a rehearsal found. ``lost`` and ``doubled`` name messages; both must be empty."""

    cycles: int
    seed: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    not_archived: int = 0
    failed_checks: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """True when no promise was broken."""
        broken = (self.lost, self.doubled, self.unknown, self.not_archived, self.failed_checks)
        return bool(self.acknowledged) and not any(broken)


def rehearse(directory: Path, *, cycles: int, seed: int) -> Outcome:
    """Kill ``cycles`` times, then start a last time, wait until all is archived, and count."""
    begun = time.monotonic()
    chance = random.Random(seed)  # noqa: S311 - a rehearsal that can be repeated
    practice = running_practice.made(directory)
    practice.add_user(ANN, "clinician")
    outcome = Outcome(cycles, seed)
    answered: set[str] = set()
    sent: set[str] = set()
    serve: subprocess.Popen[bytes] | None = None
    for cycle in range(cycles):
        serve = serve or _started(practice)
        victim = VICTIMS[cycle % len(VICTIMS)]
        burst, serve = _killed_in_burst(practice, serve, cycle, victim, chance)
        outcome.kills[victim] += 1
        answered.update(burst.answered)
        sent.update(burst.sent)
    if serve is not None:
        practice.stop(serve)
    outcome.sent, outcome.acknowledged = len(sent), len(answered)
    with practice.serving():
        _count(practice, outcome, answered=answered, sent=sent)
    outcome.seconds = round(time.monotonic() - begun, 1)
    return outcome


def _started(practice: RunningPractice) -> subprocess.Popen[bytes]:
    serve = practice.start()
    practice.ready_line(serve)
    return serve


def _killed_in_burst(
    practice: RunningPractice, serve: subprocess.Popen[bytes], cycle: int, victim: str, chance: random.Random
) -> tuple[Burst, subprocess.Popen[bytes] | None]:
    """Let the clients run, kill the victim, and answer what is left of ``serve``."""
    burst = Burst(practice, cycle)
    clients = [threading.Thread(target=burst.run, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        _wait(lambda: len(burst.answered) >= FIRST_ANSWERS)
        time.sleep(chance.random() * LONGEST_WAIT)
        left = _kill(practice, serve, victim)
    finally:
        burst.is_over.set()
        for client in clients:
            client.join()
    return burst, left


def _kill(practice: RunningPractice, serve: subprocess.Popen[bytes], victim: str) -> subprocess.Popen[bytes] | None:
    """Kill -9. A role comes back by itself; without its parent every role is gone within a moment."""
    roles = children_of(serve.pid)
    if victim in roles:
        os.kill(roles[victim], signal.SIGKILL)
        _wait(lambda: children_of(serve.pid).get(victim, roles[victim]) != roles[victim])
        return serve
    for process in roles.values() if victim == "all" else ():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    serve.kill()
    practice.stop(serve)
    _wait(lambda: not any(Path(f"/proc/{role}").exists() for role in roles.values()))
    return None


def _wait(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError("the appliance did not come back")
        time.sleep(0.02)


def _count(practice: RunningPractice, outcome: Outcome, *, answered: set[str], sent: set[str]) -> None:
    """Hold what was answered against mailbox, archive, index and the stores."""
    practice.until(lambda: practice.told("archive", "status")["backlog"] == 0, seconds=300 + outcome.sent / 10)
    practice.sign_in(ANN)
    listed = practice.told("message", "list", ANN, "--limit", "1000000", "--as", ANN)["items"]
    found = Counter(str(item["subject"]) for item in listed)
    outcome.found = len(found)
    outcome.doubled = sorted(name for name, times in found.items() if times > 1)
    outcome.lost = sorted(answered - found.keys())
    outcome.unknown = sorted(name for name in found if name not in sent or not NAME.fullmatch(name))
    status = practice.told("archive", "status")
    outcome.not_archived = abs(status["indexed"] - len(listed)) + abs(status["archived"] - len(listed))
    checks = practice.run("doctor").json["items"]
    outcome.failed_checks = sorted(
        {f"{item['check']}: {item['message']}" for item in checks if item["state"] == "fail"}
    )


def main() -> int:
    """The rehearsal as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="strongroom-torture-") as place:
        outcome = rehearse(Path(place), cycles=asked.cycles, seed=asked.seed)
    told = {**asdict(outcome), "kills": dict(outcome.kills), "good": outcome.is_good}
    if asked.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        sys.stdout.write("".join(f"{name.replace('_', ' '):<15} {value}\n" for name, value in told.items()))
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
