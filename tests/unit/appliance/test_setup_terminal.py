"""A person at a terminal is led through the first run, shown the words once, and asked for them again."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.data_directory import DataDirectory
from appliance.terminal import WIPE
from tests.repository_room import ROOT

PATIENCE_SECONDS = 60.0
SIT_DOWN = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'appliance.cli', *sys.argv[1:]])"
)
NUMBERED = re.compile(r"(\d+)\. ([a-z]+)")


@dataclass
class Person:
    """Somebody who reads what a terminal shows and types."""

    screen: int
    process: subprocess.Popen[bytes]
    seen: str = field(default="")

    def reads(self, text: str) -> str:
        """Everything up to this text, which comes in time."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come after {self.seen[-500:]!r}"
            if select.select([self.screen], [], [], 0.2)[0]:
                self.seen += os.read(self.screen, 65536).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def answers(self, question: str, answer: str) -> str:
        """Read up to a question and answer it; what stood before it."""
        before = self.reads(question)
        os.write(self.screen, f"{answer}\n".encode())
        return before


@contextmanager
def sitting_down(place: Path) -> Iterator[Person]:
    """Say ``strongroom setup`` at a terminal of one's own."""
    screen, line = pty.openpty()
    named = ["--data", str(place / "data"), "--key-file", str(place / "unlock.key")]
    words = [sys.executable, "-c", SIT_DOWN, *named, "setup"]
    process = subprocess.Popen(words, cwd=ROOT, stdin=line, stdout=line, stderr=line, start_new_session=True)
    os.close(line)
    try:
        yield Person(screen, process)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


@pytest.mark.timeout(180)
def test_person_is_led_through_cut_off_and_led_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "unlock.key").write_text("5a" * 32 + "\n", "utf-8")
    data = DataDirectory(tmp_path / "data")
    with sitting_down(tmp_path) as person:
        person.answers("name, as patients know it: ", "Lakeside Clinic")
        person.answers("mail lives here: ", "clinic.example")
        person.answers("Their address here: ", "ada@clinic.example")
        person.answers("Their name: ", "Ada Quinn")
        person.answers("what you type): ", "seventeen brave otters")
        person.answers("The same again: ", "seventeen brave otters")
        assert "otters" not in person.answers("where they belong: ", "")
        person.answers("How many pages [3]: ", "")
        person.answers("open the practice [2]: ", "")
        pages = [_words(person.answers("on paper.", "")) for _ in range(3)]
        assert [len(page) for page in pages] == [33, 33, 33]
        assert WIPE in person.reads("yes or no")
    assert data.first_run.exists()
    with sitting_down(tmp_path) as person:
        person.answers("yes or no [yes]: ", "")
        person.answers("Page 1:", " ".join(pages[2][:10]))
        os.write(person.screen, f"{' '.join(pages[2][10:])}\n".encode())
        person.answers("Page 2:", " ".join(["zebra", *pages[0][1:]]))
        assert "no such word" in person.answers("Page 2:", " ".join(pages[0]))
        person.reads("They opened the practice")
        person.reads("finished")
        assert person.process.wait(30) == 0
    assert not data.first_run.exists()


def test_without_a_terminal_it_says_how_else(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "appliance.cli", "--data", str(tmp_path / "data"), "setup"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, start_new_session=True, check=False)
    assert done.returncode == 1
    assert b"--json" in done.stderr


def _words(page: str) -> list[str]:
    """The words of the page that was shown last, in the order of their numbers."""
    told = {int(number): word for number, word in NUMBERED.findall(page.rpartition(WIPE)[2])}
    return [told[number] for number in sorted(told)]
