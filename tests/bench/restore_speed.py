"""How fast a restore is: ``python -m tests.bench.restore_speed FOLDER [--messages N] [--kib K]``.

Makes a practice with mail that does not compress, backs it up, removes it, and restores it in a process of its own, as
far as it may be started; then starts it and hands over a message, which is when the box takes mail again; then waits
until the sealed mail is there.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from appliance.data_directory import DataDirectory
from tests import running_practice
from tests.lived_practice import LivedPractice, promotion, taken_in
from tests.running_practice import RunningPractice

DESK = "desk@clinic.example"
LETTER = b"From: a@elsewhere.example\r\nTo: desk@clinic.example\r\nSubject: first\r\n\r\nhello\r\n"
AT_ONCE = 200


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description="How fast a restore is.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--kib", type=int, default=100)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    practice = running_practice.made(asked.folder)
    practice.add_user(DESK, "frontdesk")
    target, secret = asked.folder / "target", asked.folder / "elsewhere.key"
    target.mkdir()
    shutil.copy(practice.data / "keys" / "unlock.key", secret)
    _fill(practice.data, asked.messages, asked.kib)
    made = _timed(practice, "backup", "create", "--to", str(target))
    shutil.rmtree(practice.data)
    begun = time.monotonic()
    new = RunningPractice(asked.folder / "new", practice.base, practice.people)
    new_data = DataDirectory(new.data)
    ready = _timed(new, "restore", "--objects-later", "--from", str(target), "--key-file", str(secret))
    with new.serving("--key-file", str(secret)):
        new.deliver(LETTER, sender="a@elsewhere.example", recipients=[DESK])
        first_mail = time.monotonic() - begun
        new.until(lambda: not new_data.restore_plan.exists(), seconds=7200)
        whole = time.monotonic() - begun
    size = sum(path.stat().st_size for path in (new.data / "objects").rglob("*") if path.is_file())
    told = {
        "messages": asked.messages,
        "object_bytes": size,
        "backup_seconds": round(made, 1),
        "ready_to_start_seconds": round(ready, 1),
        "first_mail_seconds": round(first_mail, 1),
        "whole_seconds": round(whole, 1),
        "laid_mb_per_second": round(size / (whole - first_mail) / 1e6, 1),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _timed(practice: RunningPractice, *words: str) -> float:
    begun = time.monotonic()
    line = [sys.executable, "-m", "appliance.cli", "--data", str(practice.data), "--json", *words]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def _fill(data: Path, count: int, kib: int) -> None:
    practice = LivedPractice(data)
    with practice.opened() as appliance:
        for start in range(0, count, AT_ONCE):
            some = [taken_in(appliance, _letter(kib), to=DESK) for _ in range(min(AT_ONCE, count - start))]
            promotion(appliance).promote_all(some)


def _letter(kib: int) -> bytes:
    body = base64.encodebytes(os.urandom(kib * 768)).replace(b"\n", b"\r\n")
    head = b"From: a@elsewhere.example\r\nTo: desk@clinic.example\r\nSubject: load\r\nMIME-Version: 1.0\r\n"
    kind = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + kind + body


if __name__ == "__main__":
    sys.exit(main())
