"""Memory under load: ``python -m tests.bench.steady_load [--minutes 60] [--per-second 20] [--work DIR] [--log FILE]``.

Sends practice mail at an even pace and notes once a minute what every role keeps resident and how much follow-up
work waits. Prints one JSON object: the samples, and how fast each role grew, in MiB an hour, by least squares over
the samples after the first sixth of the time (caches fill then).
"""

from __future__ import annotations

import argparse
import itertools
import json
import smtplib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import measured_practice
from tests.bench.practice_mail import mails
from tests.bench.process_cpu import cpu_seconds, resident_bytes
from tests.running_practice import RunningPractice, children_of

PER_CONNECTION = 100
WARM_UP = 6
"""This part of the time is not counted for the slope."""


class Sender:
    """Hands messages over, some in each connection. A message that is not taken is counted and not sent again."""

    def __init__(self, port: int, contents: Iterator[bytes]) -> None:
        self._port = port
        self._contents = contents
        self._client: smtplib.SMTP | None = None
        self.sent = 0
        self.failed = 0

    def send(self) -> None:
        """The next message."""
        number = self.sent + self.failed
        try:
            if self._client is None or number % PER_CONNECTION == 0:
                self.close()
                self._client = smtplib.SMTP("127.0.0.1", self._port, timeout=60)
            recipient = f"user{number % measured_practice.MAILBOXES}@{measured_practice.DOMAIN}"
            self._client.sendmail("sender@example.test", [recipient], next(self._contents))
        except (OSError, smtplib.SMTPException):
            self.failed += 1
            self._client = None
        else:
            self.sent += 1

    def close(self) -> None:
        """Say good-bye."""
        if self._client is not None:
            self._client.close()


def sample(practice: RunningPractice, roots: dict[str, int], minute: float, sender: Sender) -> dict[str, Any]:
    """What every role keeps resident now, in MiB, and what it has worked."""
    return {
        "minute": round(minute, 2),
        "sent": sender.sent,
        "failed": sender.failed,
        "waiting": dict(measured_practice.waiting(practice)),
        "resident_mib": {name: round(resident_bytes(pid) / 2**20, 1) for name, pid in roots.items()},
        "cpu_seconds": {name: round(cpu_seconds(pid), 1) for name, pid in roots.items()},
    }


def slope(samples: list[dict[str, Any]], name: str) -> float:
    """Growth of a role in MiB an hour."""
    counted = samples[len(samples) // WARM_UP :]
    minutes = [each["minute"] for each in counted]
    sizes = [each["resident_mib"][name] for each in counted]
    return round(60 * statistics.linear_regression(minutes, sizes).slope, 2)


def measure(practice: RunningPractice, minutes: float, per_second: float, log: Path | None) -> dict[str, Any]:
    """Load for so long; every sample also goes to the log at once."""
    with practice.serving() as serve:
        roots = children_of(serve.pid)
        sender = Sender(practice.base + 25, mails())
        samples: list[dict[str, Any]] = []
        begin = time.monotonic()
        for number in itertools.count():
            now = (time.monotonic() - begin) / 60
            if now >= len(samples):
                samples.append(sample(practice, roots, now, sender))
                if log:
                    log.write_text(json.dumps(samples))
            if now >= minutes:
                break
            sender.send()
            time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        sender.close()
    growth = {name: slope(samples, name) for name in roots}
    return {"minutes": minutes, "per_second": per_second, "growth_mib_per_hour": growth, "samples": samples}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--per-second", type=float, default=20)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-steady")
    parser.add_argument("--log", type=Path)
    chosen = parser.parse_args()
    practice = measured_practice.fresh(chosen.work)
    json.dump(measure(practice, chosen.minutes, chosen.per_second, chosen.log), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
