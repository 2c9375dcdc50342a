"""Has scenes played by children of a process that has everything loaded, and listens to what they tell."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180.0
"""A scene that takes longer hangs, which is a broken promise too."""

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A scene, the directory it is played in, and what disturbs it.

    One that ``waits`` begins with SIGUSR1. One that ``warms`` is played by the stage itself, undisturbed.
    """

    scene: str
    place: Path
    told: Mapping[str, Any] = field(default_factory=dict)
    failpoint: str = ""
    kill_after: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    warms: bool = False

    def line(self) -> bytes:
        """As the stage reads it."""
        told = {
            "scene": self.scene,
            "data": str(self.place / "data"),
            "log": str(self.place / "scene.log"),
            "told": dict(self.told),
            "failpoint": self.failpoint,
            "environment": dict(self.environment),
            "waits": self.waits,
            "warms": self.warms,
        }
        return json.dumps(told).encode() + b"\n"


@dataclass(frozen=True)
class Played:
    """How a scene ended: the child's exit code (negative: the signal that killed it) and all that it told."""

    call: Call
    code: int
    events: Sequence[Event]
    is_stuck: bool = False

    @property
    def was_killed(self) -> bool:
        """True when it died of kill -9."""
        return self.code == -signal.SIGKILL

    @property
    def passes(self) -> Counter[str]:
        """How often each failpoint was come by."""
        return Counter(str(each["name"]) for each in self.of("reached"))

    def of(self, name: str) -> list[Event]:
        """The events of one name."""
        return [event for event in self.events if event["event"] == name]

    @property
    def problem(self) -> str:
        """What it stopped for; nothing when it came to its end or was killed."""
        stopped = self.of("stopped")
        if self.is_stuck:
            return f"{self.call.scene} hangs"
        return f"{self.call.scene}: {stopped[0]['code']}: {stopped[0]['message']}" if stopped else ""


class Stage:
    """One such process, by its pipes: what it is told, and what it tells."""

    def __init__(self, told: IO[bytes], tells: IO[bytes]) -> None:
        self._told, self._tells = told, tells
        self._rest = b""

    @contextmanager
    def twin(self, place: Path) -> Iterator[Stage]:
        """A second stage that has everything loaded that this one has, because it is forked off it."""
        told, tells = place / "twin.told", place / "twin.tells"
        for pipe in (told, tells):
            os.mkfifo(pipe, 0o600)
        self._told.write(json.dumps({"twin": [str(told), str(tells)]}).encode() + b"\n")
        with told.open("wb", buffering=0) as writing, tells.open("rb", buffering=0) as reading:
            yield Stage(writing, reading)

    def play(self, call: Call) -> Played:
        """Have a scene played to its end, whatever end that is."""
        playing = self.begin(call)
        return playing.ended()

    def begin(self, call: Call) -> Playing:
        """Have a scene begun. One scene at a time on one stage."""
        self._told.write(call.line())
        return Playing(self, call)

    def events(self, seconds: float) -> list[Event]:
        """What was told within a time, as soon as something was."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._tells, selectors.EVENT_READ)
            if not selector.select(max(seconds, 0.0)):
                return []
        data = os.read(self._tells.fileno(), 1 << 20)
        if not data:
            raise RuntimeError("the stage fell")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines if line for event in _understood(line)]


@contextmanager
def stage(*wrapper: str, environment: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """A new stage. ``wrapper`` is put before its command line, as faketime is used."""
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-m", "tests.torture.stage"],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Stage(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def _understood(line: bytes) -> list[Event]:
    """Nothing for the half of a line that a killed child left."""
    with suppress(ValueError):
        told = json.loads(line)
        return [told] if isinstance(told, dict) and "event" in told else []
    return []


@dataclass
class Playing:
    """A scene that is under way."""

    stage: Stage
    call: Call
    heard: list[Event] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)
    _process: int = 0

    @property
    def process(self) -> int:
        """The child that plays it; 0 before it has begun."""
        return self._process

    def until(self, name: str, **facts: Any) -> bool:
        """Listen until an event with these facts was told. False when the scene ended without it."""
        wanted = {"event": name, **facts}
        while True:
            if any(wanted.items() <= event.items() for event in self.heard):
                return True
            if self._end() is not None:
                return False
            self._listen(PATIENCE_SECONDS - self._played_for())

    def wait(self, seconds: float) -> bool:
        """Listen for so long at most. True when the scene has ended."""
        ends = time.monotonic() + seconds
        while self._end() is None and (left := ends - time.monotonic()) > 0:
            self._listen(left)
        return self._end() is not None

    @property
    def sofar(self) -> Played:
        """What was told until now."""
        return Played(self.call, 0, tuple(self.heard))

    def ended(self) -> Played:
        """Listen to the end; kill the child when its time for that has come, or when it hangs."""
        is_stuck = False
        while (code := self._end()) is None:
            limit = PATIENCE_SECONDS if self.call.kill_after is None else self.call.kill_after
            if self._process and self._played_for() >= limit:
                is_stuck = self.call.kill_after is None
                self.signal(signal.SIGKILL)
            self._listen(limit - self._played_for() if self._played_for() < limit else 1.0)
        return Played(self.call, code, tuple(self.heard), is_stuck)

    def signal(self, number: signal.Signals) -> None:
        """Send the child a signal, when it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self._process, number)

    def _played_for(self) -> float:
        return time.monotonic() - self._begun if self._process else 0.0

    def _listen(self, seconds: float) -> None:
        for event in self.stage.events(seconds):
            if event["event"] == "began":
                self._process, self._begun = int(event["process"]), time.monotonic()
            self.heard.append(event)

    def _end(self) -> int | None:
        return next((int(event["code"]) for event in self.heard if event["event"] == "ended"), None)
