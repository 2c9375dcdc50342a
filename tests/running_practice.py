"""A whole practice as its operators run it: ``strongroom`` as a program, in a data directory of its own."""

from __future__ import annotations

import http.client
import json
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp

from appliance.data_directory import DataDirectory
from mailstore import key_custody
from mailstore.key_hierarchy import KeyRing
from mailstore.slot_key_file import KeyFile
from mailstore.wall_clock import SystemClock
from tests import answered_fields, command_stage, database_room
from tests.free_ports import free_base

ROOT = Path(__file__).parents[1]
DOMAIN = "clinic.example"
PASSWORD = "seventeen brave otters"
READY_SECONDS = 60.0
ROLE_SUFFIX = "-role"
LIGHT_HASHES = {"memory_kib = 65536": "memory_kib = 64", "passes = 3": "passes = 1"}


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; anything more or less is a broken contract."""
        told = json.loads(self.stdout)
        assert isinstance(told, dict), "a command answers with one JSON object"
        return told


@dataclass
class RunningPractice:
    """One data directory, its commands, and ``serve`` when it was started."""

    data: Path
    base: int
    people: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    """By second factor: which of its codes was the last that somebody signed in with."""

    def run(self, *words: str, json: bool = True, stdin: str = "") -> Answer:
        """Run a command to its end."""
        asked = [*words, *(["--json"] if json else [])]
        done = command_stage.run(["--data", str(self.data), *asked], stdin=stdin.encode(), seconds=120)
        return Answer(done.code, done.stdout, done.stderr.decode())

    def told(self, *words: str) -> Any:
        """The JSON of a command that must be done, with exactly the fields that the reference names."""
        answer = self.run(*words)
        assert answer.code == 0, f"{words}: {answer.stdout!r} {answer.stderr}"
        answered_fields.check(words, answer.json)
        return answer.json

    def refused(self, *words: str) -> Any:
        """The error of a command that must be refused."""
        answer = self.run(*words)
        assert answer.code == 1, f"{words}: {answer.code} {answer.stdout!r} {answer.stderr}"
        error = answer.json["error"]
        assert error["code"]
        assert error["message"]
        assert "fix" in error
        return error

    @property
    def password_file(self) -> Path:
        """A file with the password that everybody here has."""
        path = self.data.parent / "password"
        path.write_text(PASSWORD + "\n", "utf-8")
        return path

    def add_user(self, email: str, role: str) -> Any:
        """Add somebody who works here and remember their second factor."""
        words = ("user", "add", email, "--name", f"The {role}", "--role", role)
        told = self.told(*words, "--password-file", str(self.password_file))
        self.people[email] = told["totp_secret"]
        return told

    def sign_in(self, email: str) -> Any:
        """Sign somebody in, in a code step that was not used yet: the next one is taken beforehand (RFC 6238)."""
        totp = pyotp.TOTP(self.people[email])
        step = max(totp.timecode(SystemClock().now()), self.steps.get(totp.secret, 0) + 1)
        self.until(lambda: step <= totp.timecode(SystemClock().now()) + 1)
        self.steps[totp.secret] = step
        code = totp.at(step * totp.interval)
        return self.told("sign-in", email, "--password-file", str(self.password_file), "--totp", code)

    def trusting(self) -> ssl.SSLContext:
        """A client's TLS that trusts the practice's own authority."""
        return ssl.create_default_context(cafile=self.data / "tls" / "ca.pem")

    def deliver(self, content: bytes, *, sender: str, recipients: list[str]) -> None:
        """Hand over a message as another mail server does."""
        with smtplib.SMTP("127.0.0.1", self.base + 25, timeout=30) as client:
            client.starttls(context=self.trusting())
            client.sendmail(sender, recipients, content)

    def asked_as(self, host: str, path: str) -> tuple[int, bytes]:
        """What a stranger's program gets that asks for this name over TLS and verifies the certificate for it."""
        with (
            socket.create_connection(("127.0.0.1", self.base + 443), timeout=30) as plain,
            self.trusting().wrap_socket(plain, server_hostname=host) as tls,
        ):
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            return answer.status, answer.read()

    def until(self, is_true: Any, *, seconds: float = 60.0) -> None:
        """Wait until something has become true."""
        deadline = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < deadline, "it did not become true in time"
            time.sleep(0.2)

    @contextmanager
    def serving(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``serve`` until the end of the block, then end it as an operator does."""
        process = self.start(*words)
        try:
            ready = self.ready_line(process)
            assert ready["ready"] is True, ready
            yield process
        finally:
            self.stop(process)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start ``serve`` and do not wait."""
        return subprocess.Popen(
            [sys.executable, "-m", "appliance.cli", "--data", str(self.data), "serve", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ready_line(self, process: subprocess.Popen[bytes]) -> Any:
        """The first line on stdout."""
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read().decode() if process.stderr else ""
        return json.loads(line)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and wait."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(120)
        finally:
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()


def made(directory: Path, *, cooling_off_hours: int = 0, init_words: Sequence[str] = ()) -> RunningPractice:
    """Make a practice on free ports, with password hashes that cost next to nothing."""
    base = free_base()
    practice = RunningPractice(directory / "data", base)
    words = ("--practice", "Lakeside Clinic", "--domain", DOMAIN, "--loopback", str(base))
    practice.told("init", *words, *database_room.init_words(practice.data), *init_words)
    settings = practice.data / "strongroom.toml"
    text = settings.read_text("utf-8")
    for slow, light in LIGHT_HASHES.items():
        assert slow in text
        text = text.replace(slow, light)
    text = re.sub(r"cooling_off_hours = \d+", f"cooling_off_hours = {cooling_off_hours}", text)
    settings.write_text(text, "utf-8")
    return practice


def ring_of(data: DataDirectory) -> KeyRing:
    """Every key of a directory that opens by itself, which no process of ours but the key agent has."""
    return key_custody.unlock(data.keys, KeyFile(data.unlock_key))


def children_of(process: int, suffix: str = ROLE_SUFFIX) -> dict[str, int]:
    """The processes under ``serve`` by their role's name; or those under another, called with this suffix."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text("utf-8")
            called = (entry / "comm").read_text("utf-8").strip()
        except OSError:
            continue
        if int(status.rsplit(")", 1)[1].split()[1]) == process and called.endswith(suffix):
            found[called.removesuffix(suffix)] = int(entry.name)
    return found
