"""No word of a message in plain text on any disk at any moment of its life, killed processes included (I5).

A look-out reads every file again and again while the life goes on: a temporary file that lives for a moment counts.
Mail comes by SMTP, a patient uploads a photograph, commands print, and processes are killed at work.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.demo import patient_visit
from appliance.demo.plain_text_scan import findings
from appliance.demo.visitor import Upload, Visitor
from appliance.demo.world import Credentials
from tests import running_practice
from tests.lived_practice import letter
from tests.running_practice import RunningPractice, children_of

ANN, RUTH, PAT = "ann@clinic.example", "ruth@clinic.example", "zqpatient@home.example"
WORDS = {
    name: f"zq{name}7f3a9c"
    for name in ("subject", "body", "file", "attached", "sender", "photo", "answer", "question", "reason", "crash")
}
MAIL = letter(
    f"Results {WORDS['subject']}",
    WORDS["body"],
    sender=f"{WORDS['sender']}@lab.example",
    file_name=f"{WORDS['file']}.txt",
    attached=WORDS["attached"],
)

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, never written to


@dataclass
class LookOut:
    """Reads all files below some places, over and over, and remembers which held a word."""

    places: list[Path]
    found: set[str] = field(default_factory=set)
    rounds: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        needles = [word.encode() for word in WORDS.values()]
        while not self.is_over.wait(0.1):
            for path in (each for place in self.places for each in _files_below(place)):
                with suppress(OSError):
                    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                    if any(needle in content for needle in needles):
                        self.found.add(str(path))
            self.rounds += 1


def _files_below(place: Path) -> Iterator[Path]:
    """Whatever is there; what goes away meanwhile is passed over."""
    for directory, _, names in os.walk(place):
        yield from (Path(directory, name) for name in names)


@contextmanager
def looking(*places: Path) -> Iterator[LookOut]:
    look_out = LookOut(list(places))
    thread = threading.Thread(target=look_out.run)
    thread.start()
    try:
        yield look_out
    finally:
        look_out.is_over.set()
        thread.join()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every process of this test would put temporary files."""
    place = tmp_path / "temporary"
    place.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR", "HOME"):
        monkeypatch.setenv(name, str(place))
    return place


@pytest.mark.slow
def test_no_word_is_ever_in_plain_text_on_a_disk(tmp_path: Path, temporary: Path) -> None:
    practice = running_practice.made(tmp_path)
    for email, role in ((ANN, "clinician"), (RUTH, "records"), ("desk@clinic.example", "frontdesk")):
        practice.add_user(email, role)
    enrolment = practice.told("patient", "add", PAT, "--name", "Zq Patient")["enrolment_code"]
    with looking(practice.data, temporary, SHARED_MEMORY) as look_out:
        with practice.serving():
            practice.deliver(MAIL, sender=f"{WORDS['sender']}@lab.example", recipients=[ANN])
            patient_writes(practice, enrolment)
            practice.until(lambda: practice.told("archive", "status")["indexed"] == 2, seconds=60)
            commands_print(practice)
        killed_at_work(practice)
        with practice.serving():
            practice.until(lambda: practice.told("archive", "status")["backlog"] == 0, seconds=60)
    assert look_out.rounds > 3
    assert look_out.found == set()
    scanned = [*WORDS.values(), PAT, "Zq Patient"]
    assert findings(practice.data, scanned) == []
    assert findings(temporary, scanned) == []


def patient_writes(practice: RunningPractice, enrolment: str) -> None:
    """A patient enrols in the portal and sends a question with a photograph larger than any buffer."""
    visitor = Visitor(
        portal=f"https://localhost:{practice.base + 443}/", ca_certificate=practice.data / "tls" / "ca.pem"
    )
    person = Credentials(PAT, "Zq Patient", "patient", enrolment_code=enrolment)
    patient_visit.enrol(visitor, person, wanted="/conversations", secret_word=WORDS["body"])
    page = visitor.visit("/write")
    photo = Upload(f"{WORDS['photo']}.png", "image/png", WORDS["photo"].encode() * 200_000)
    sent = visitor.submit(page, "text", {"subject": WORDS["question"], "text": WORDS["answer"]}, {"files": photo})
    assert sent.status == 200, sent.text


def commands_print(practice: RunningPractice) -> None:
    """Commands show mail to those who may see it, and leave nothing behind."""
    for email in (ANN, RUTH):
        practice.sign_in(email)
    (item,) = [
        each for each in practice.told("message", "list", ANN, "--as", ANN)["items"] if "Results" in each["subject"]
    ]
    shown = practice.run("message", "show", item["id"], "--raw", "--as", ANN, json=False)
    assert WORDS["body"].encode() in shown.stdout
    assert practice.told("archive", "search", WORDS["attached"], "--as", RUTH)["total"] == 1
    practice.told(
        "hold", "place", "--name", WORDS["reason"], "--reason", WORDS["reason"], "--query", WORDS["body"], "--as", RUTH
    )


def killed_at_work(practice: RunningPractice) -> None:
    """Every process dies while it reads attachments, indexes, and takes the next message in."""
    process = practice.start()
    practice.ready_line(process)
    crash = MAIL.replace(WORDS["body"].encode(), f"{WORDS['crash']}\r\n".encode() * 10_000)
    try:
        for _ in range(3):
            practice.deliver(crash, sender="a@lab.example", recipients=[ANN])
        for role in children_of(process.pid).values():
            with suppress(ProcessLookupError):
                os.kill(role, signal.SIGSEGV)
    finally:
        process.kill()
        practice.stop(process)
