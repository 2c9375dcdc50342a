"""Kill -9 while a sealed practice takes a burst, and at every step of the drain: none lost, none doubled (I1, I11)."""

from __future__ import annotations

import os
import signal
import smtplib
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.running_practice import children_of
from tests.sealed_practice import ALICE, SealedPractice

FAILPOINTS = "sealed_spool.after_append:kill@25,sealed_drain.after_rows:kill@2,sealed_drain.after_erase:kill@2"
SENDERS, MESSAGES = 4, 30
TAKEN = 250


class Sender(threading.Thread):
    """Another server on plain connections: each message again until it is answered 250."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self._port, self._name = port, name
        self.tries: Counter[str] = Counter()
        self.taken: set[str] = set()

    def run(self) -> None:
        for number in range(MESSAGES):
            subject = f"{self._name}-{number}"
            while subject not in self.taken:
                self._try(subject)

    def _try(self, subject: str) -> None:
        try:
            with smtplib.SMTP("127.0.0.1", self._port, timeout=20) as client:
                client.ehlo("burst.example")
                client.mail("a@elsewhere.example")
                client.rcpt(ALICE)
                self.tries[subject] += 1
                code, _text = client.data(f"Subject: {subject}\r\n\r\n{subject}\r\n")
                if code == TAKEN:
                    self.taken.add(subject)
        except (OSError, smtplib.SMTPException):
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_burst_and_drain_survive_every_kill_whole_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    practice = SealedPractice(tmp_path)
    monkeypatch.setenv("STRONGROOM_FAILPOINT", FAILPOINTS)
    process = practice.running.start()
    practice.running.ready_line(process)
    senders = [Sender(practice.running.base + 25, f"s{number}") for number in range(SENDERS)]
    for each in senders:
        each.start()
    practice.running.until(lambda: sum(len(each.taken) for each in senders) > 30, seconds=120)
    roles = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    practice.running.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in roles.values()), seconds=60)
    practice.running.stop(process)
    process = practice.running.start()
    try:
        assert practice.running.ready_line(process)["sealed"] is True
        for each in senders:
            each.join(200)
        with practice.key_in_the_environment():
            practice.running.told("unseal", "--no-wait")
        practice.until_drained()
        practice.until_open()
        found = Counter(practice.subjects())
    finally:
        practice.running.stop(process)
    tries = sum((each.tries for each in senders), Counter())
    taken = set().union(*(each.taken for each in senders))
    assert len(taken) == SENDERS * MESSAGES
    assert taken <= found.keys()
    assert all(found[subject] <= tries[subject] for subject in found)
    assert list(os.scandir(practice.data / "sealed-spool")) == []
