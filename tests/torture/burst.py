"""The whole tree of processes under a burst of mail: one role, the parent, or all at once are killed in the middle."""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.running_practice import RunningPractice, children_of
from tests.torture.letter import ANN, Letter
from tests.torture.oracle import Breach, Found
from tests.torture.trial import Trial

CLIENTS = 3
VICTIMS = ("smtp", "worker", "mail", "parent", "all")
FIRST_ANSWERS = 5
"""A burst is under way when so many messages of it were answered 250."""
LONGEST_MOMENT = 0.5
"""Seconds after that within which the kill falls."""
PATIENCE_SECONDS = 120.0


@dataclass
class Burst:
    """Clients that send as fast as they are answered, and remember what was answered 250."""

    port: int
    sheaf: str
    sent: list[Letter] = field(default_factory=list)
    answered: list[Letter] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self, client: int) -> None:
        """Send until told to stop; a connection that breaks is opened again, and an unanswered letter is not."""
        number = 0
        while not self.is_over.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as connection:
                    while not self.is_over.is_set():
                        number += CLIENTS
                        self._send(connection, Letter(f"letter-{self.sheaf}-{number + client}"))
            except (smtplib.SMTPException, OSError):
                time.sleep(0.05)

    def _send(self, connection: smtplib.SMTP, letter: Letter) -> None:
        self.sent.append(letter)
        if not connection.sendmail(letter.sender, [ANN], letter.content):
            self.answered.append(letter)


def role_killed(trial: Trial) -> None:
    """Kill -9 of one role, the parent, or all; then ``serve`` ends in good order, if it is still there."""
    victim = VICTIMS[trial.turn % len(VICTIMS)]
    practice = RunningPractice(trial.place / "data", trial.world.base)
    serve = practice.start()
    try:
        practice.ready_line(serve)
        burst = _killed_in_burst(trial, practice, serve, victim)
        trial.struck.append(f"{victim}:kill")
    except TimeoutError as late:
        trial.found.append(Found(Breach.STUCK, str(late)))
    else:
        trial.oracle.sends(burst.sent)
        trial.oracle.promised.update({letter.name: "" for letter in burst.answered})
    finally:
        practice.stop(serve)


def _killed_in_burst(trial: Trial, practice: RunningPractice, serve: subprocess.Popen[bytes], victim: str) -> Burst:
    burst = Burst(practice.base + 25, f"{trial.place.name}-1")
    clients = [threading.Thread(target=burst.run, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        _wait(lambda: len(burst.answered) >= FIRST_ANSWERS)
        time.sleep(trial.chance.random() * LONGEST_MOMENT)
        _kill(serve, victim)
    finally:
        burst.is_over.set()
        for client in clients:
            client.join()
    return burst


def _kill(serve: subprocess.Popen[bytes], victim: str) -> None:
    """Kill -9. A role comes back by itself; without its parent every role is gone within a moment."""
    roles = children_of(serve.pid)
    if victim in roles:
        os.kill(roles[victim], signal.SIGKILL)
        _wait(lambda: children_of(serve.pid).get(victim, roles[victim]) != roles[victim])
        return
    for process in roles.values() if victim == "all" else ():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    serve.kill()
    serve.wait(PATIENCE_SECONDS)
    _wait(lambda: not any(Path(f"/proc/{role}").exists() for role in roles.values()))


def _wait(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError("the appliance did not come back")
        time.sleep(0.02)
