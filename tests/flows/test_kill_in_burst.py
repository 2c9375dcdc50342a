"""Kill -9 of the whole tree in the middle of a burst, again and again: what was answered 250 is there, once (I1).

``make torture CYCLES=100 SEED=7`` does it a hundred times; the suite does it a few times.
"""

from __future__ import annotations

import os
import random
import re
import smtplib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import running_practice
from tests.running_practice import RunningPractice, children_of

CYCLES = int(os.environ.get("STRONGROOM_TORTURE_CYCLES", "2"))
SEED = int(os.environ.get("STRONGROOM_TORTURE_SEED", str(random.SystemRandom().randrange(10_000))))
ANN = "ann@clinic.example"
CLIENTS = 4


@dataclass
class Burst:
    """Several clients that send as fast as they are answered, and remember what was answered 250."""

    practice: RunningPractice
    cycle: int
    answered: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self, client: int) -> None:
        """Send until the server is gone."""
        try:
            with smtplib.SMTP("127.0.0.1", self.practice.base + 25, timeout=20) as connection:
                for number in range(10_000):
                    if self.is_over.is_set():
                        return
                    name = f"letter-{self.cycle}-{client}-{number}"
                    self.sent.append(name)
                    content = f"From: a@example.net\r\nSubject: {name}\r\n\r\n{name * 50}\r\n".encode()
                    if not connection.sendmail("a@example.net", [ANN], content):
                        self.answered.append(name)
        except (smtplib.SMTPException, OSError):
            return


@pytest.mark.slow
@pytest.mark.timeout(60 + 60 * CYCLES)
def test_mail_that_was_answered_250_survives_every_kill_whole_and_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a rehearsal that can be repeated
    practice = running_practice.made(tmp_path)
    practice.add_user(ANN, "clinician")
    answered: set[str] = set()
    sent: set[str] = set()
    for cycle in range(CYCLES):
        burst = kill_in_mid_burst(practice, cycle, chance)
        answered.update(burst.answered)
        sent.update(burst.sent)
    assert answered, f"nothing was sent, seed {SEED}"
    with practice.serving():
        practice.until(lambda: practice.told("archive", "status")["backlog"] == 0, seconds=60 + CYCLES)
        practice.sign_in(ANN)
        found = Counter(item["subject"] for item in listed(practice))
        assert {name for name, times in found.items() if times > 1} == set(), f"doubled, seed {SEED}"
        assert answered - found.keys() == set(), f"lost, seed {SEED}"
        assert found.keys() <= sent, f"seed {SEED}"
        assert practice.told("archive", "status")["archived"] == len(found)
        assert practice.run("doctor").code == 0


def kill_in_mid_burst(practice: RunningPractice, cycle: int, chance: random.Random) -> Burst:
    """Start, let the clients run, and kill every process at a moment that nobody can foresee."""
    process = practice.start()
    practice.ready_line(process)
    roles = list(children_of(process.pid).values())
    burst = Burst(practice, cycle)
    clients = [threading.Thread(target=burst.run, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    while len(burst.answered) < 5:
        time.sleep(0.01)
    time.sleep(chance.random() * 0.5)
    process.kill()
    practice.stop(process)
    burst.is_over.set()
    for client in clients:
        client.join()
    while any(Path(f"/proc/{role}").exists() for role in roles):
        time.sleep(0.02)
    return burst


def listed(practice: RunningPractice) -> list[dict[str, str]]:
    """The whole mailbox, with every body opened by the rebuilt list."""
    told = practice.told("message", "list", ANN, "--limit", "100000", "--as", ANN)
    assert told["total"] == len(told["items"])
    assert all(re.fullmatch(r"letter-\d+-\d+-\d+", item["subject"]) for item in told["items"])
    items: list[dict[str, str]] = told["items"]
    return items
