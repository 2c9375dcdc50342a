"""The real server under random and half-sensible bytes: its memory stays bounded, and it goes on answering."""

from __future__ import annotations

import os
import random
import smtplib
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import running_practice
from tests.running_practice import RunningPractice, children_of

ANN = "ann@clinic.example"
SECONDS = float(os.environ.get("STRONGROOM_FUZZ_SECONDS", "6"))
MOST_GROWTH_KIB = 48 * 1024
PIECES = (
    b"EHLO x\r\n",
    b"HELO \r\n",
    b"MAIL FROM:<a@example.net>\r\n",
    b"MAIL FROM:<a@example.net> SIZE=99999999999999999999 BODY=8BITMIME SMTPUTF8\r\n",
    b"RCPT TO:<ann@clinic.example>\r\n",
    b"RCPT TO:<@a,@b:ann@clinic.example>\r\n",
    b"DATA\r\n",
    b"BDAT 10 LAST\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN AAAA\r\n",
    b"AUTH LOGIN\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\r\n",
    b"\r\n",
    b"Subject: x\r\n\r\nbody\r\n.\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\xff" * 2_000,
    b"A" * 100_000,
    b"\x00\r\n",
)


@dataclass
class Fuzzer:
    """One client that says whatever comes to its mind."""

    ports: tuple[int, ...]
    chance: random.Random
    connections: int = 0

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            with suppress(OSError):
                self._converse()

    def _converse(self) -> None:
        with socket.create_connection(("127.0.0.1", self.chance.choice(self.ports)), timeout=0.5) as connection:
            self.connections += 1
            for _ in range(self.chance.randrange(1, 30)):
                connection.sendall(self._bytes())
                if self.chance.random() < 0.3:
                    with suppress(TimeoutError):
                        connection.settimeout(0.05)
                        connection.recv(4096)

    def _bytes(self) -> bytes:
        kind = self.chance.random()
        if kind < 0.6:
            return self.chance.choice(PIECES)
        piece = bytearray(self.chance.choice(PIECES) * self.chance.randrange(1, 4))
        for _ in range(self.chance.randrange(1, 6)):
            piece[self.chance.randrange(len(piece))] = self.chance.randrange(256)
        return bytes(piece) if kind < 0.9 else self.chance.randbytes(self.chance.randrange(1, 5_000))


def resident_kib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@pytest.mark.slow
def test_server_under_a_fuzz_of_bytes_stays_small_and_goes_on_answering(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10_000)
    practice = running_practice.made(tmp_path)
    practice.add_user(ANN, "clinician")
    with practice.serving() as serve:
        takers = {name: pid for name, pid in children_of(serve.pid).items() if name.startswith("smtp")}
        before = sum(map(resident_kib, takers.values()))
        ports = tuple(practice.base + offset for offset in (25, 587, 465))
        fuzzers = [Fuzzer(ports, random.Random(seed + number)) for number in range(6)]  # noqa: S311 - repeatable
        threads = [threading.Thread(target=each.run, args=(time.monotonic() + SECONDS,)) for each in fuzzers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(each.connections for each in fuzzers) > 20, f"seed {seed}"
        assert takers.items() <= children_of(serve.pid).items(), f"the server fell, seed {seed}"
        assert sum(map(resident_kib, takers.values())) - before < 2 * MOST_GROWTH_KIB, f"seed {seed}"
        practice.until(lambda: is_answering(practice), seconds=60)
    for name in takers:
        log = (practice.data / "log" / f"{name}.log").read_text("utf-8")
        assert "Traceback" not in log, f"seed {seed}"


def is_answering(practice: RunningPractice) -> bool:
    """Whether an honest message is taken; places of the fuzzers may still be counted for a moment."""
    try:
        with smtplib.SMTP("127.0.0.1", practice.base + 25, timeout=20) as client:
            client.sendmail("a@example.net", [ANN], b"From: a@example.net\r\nSubject: honest\r\n\r\nhello\r\n")
    except (smtplib.SMTPException, OSError):
        return False
    return True
