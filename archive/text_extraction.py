"""Text from attachments, read by a child process that may fail, hang or be taken over without harm.

The child (``extraction_child``) has no files, no network and bounded memory and time. It is started once and kept
warm for many attachments; when it does not answer in time it is killed, and the attachment is unreadable. Content
goes to it through a pipe and is never a file.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from archive.extracted_text import ExtractedText, Extraction, Unreadable
from mailstore.errors import StorageUnavailableError

ANSWER_SECONDS = 20.0
START_SECONDS = 30.0
MOST_CONTENT_BYTES = 64 * 1024 * 1024
REQUESTS_PER_CHILD = 500
"""After so many the child is replaced, so that what leaks in a parser stays small."""

_ROOT = Path(__file__).resolve().parent.parent
_START = "import sys; sys.path.insert(0, sys.argv[1]); from archive.extraction_child import main; main()"
_READY = b"ready\n"


class Extractor(Protocol):
    """Gives the text of an attachment, or a reason why there is none. Never raises for what a stranger sent."""

    def extract(self, content: bytes, *, content_type: str, file_name: str, charset: str = "") -> Extraction:
        """The text of these bytes. The names are the sender's claims; ``charset`` may be empty."""
        ...


class TextExtractor:
    """An ``Extractor`` with one warm child. Safe to share between threads, which then wait for each other."""

    def __init__(self, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def extract(self, content: bytes, *, content_type: str, file_name: str, charset: str = "") -> Extraction:
        """The text of these bytes. ``StorageUnavailableError`` when no child can be started: our own fault."""
        if len(content) > MOST_CONTENT_BYTES:
            return Unreadable("too-large")
        request = {
            "content_type": content_type,
            "file_name": file_name,
            "charset": charset,
            "length": len(content),
        }
        with self._lock:
            if self._child is None:
                self._child = _Child()
            found = self._child.answer(json.dumps(request).encode() + b"\n", content, seconds=self._answer_seconds)
            if self._child.is_spent:
                self._end()
        return found

    def rest(self) -> None:
        """End the child to free its memory; the next attachment starts another."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """One process and how many requests it has had."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own module, nothing of a stranger
            [sys.executable, "-I", "-X", "utf8", "-c", _START, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
        self._requests = 0
        self._timed_out = False
        with self._killed_after(START_SECONDS):
            if self._answers.readline() != _READY:
                self.end()
                raise StorageUnavailableError("the process that reads attachments does not start")

    @property
    def is_spent(self) -> bool:
        """True when it is dead or has done enough."""
        return self._process.poll() is not None or self._requests >= REQUESTS_PER_CHILD

    def answer(self, head: bytes, content: bytes, *, seconds: float) -> Extraction:
        """What the child makes of the content. It is killed when that takes longer."""
        self._requests += 1
        try:
            with self._killed_after(seconds):
                self._pipe(self._process.stdin).write(head + content)
                self._pipe(self._process.stdin).flush()
                found = self._read()
        except (BrokenPipeError, ConnectionResetError):
            found = None
        return found if found is not None else Unreadable(self._cause_of_death())

    def end(self) -> None:
        """Kill it and let go of the pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                self._pipe(pipe).close()
            except BrokenPipeError:
                continue

    def _read(self) -> Extraction | None:
        """The answer; None when the child died over it."""
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            return None
        head = json.loads(line)
        data = self._answers.read(head["length"])
        if len(data) < head["length"]:
            return None
        return Unreadable(head["reason"]) if head["reason"] else ExtractedText(data.decode(), head["is_whole"])

    def _cause_of_death(self) -> str:
        self._process.kill()
        status = self._process.wait()
        if self._timed_out:
            return "timeout"
        return "limit" if status == -signal.SIGXCPU else "crashed"

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        alarm = threading.Timer(seconds, self._kill)
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def _kill(self) -> None:
        self._timed_out = True
        self._process.kill()

    @property
    def _answers(self) -> IO[bytes]:
        return self._pipe(self._process.stdout)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise StorageUnavailableError("the process that reads attachments has no pipe")
        return pipe
