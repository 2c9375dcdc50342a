"""Text from attachments, read by a child process that may fail, hang or be taken over without harm.

The child (``extraction_child``) has no files, no network and bounded memory and time. It is started once and kept
warm for many attachments; when it does not answer in time it is killed, and the attachment is unreadable. When
nothing comes for a while it ends by itself. Content goes to it through a pipe and is never a file.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from archive.extracted_text import ExtractedText, Extraction, Unreadable
from mailstore.errors import StorageUnavailableError

ANSWER_SECONDS = 20.0
START_SECONDS = 30.0
MOST_CONTENT_BYTES = 64 * 1024 * 1024
REQUESTS_PER_CHILD = 5_000
"""After so many the child is replaced, so that what leaks in a parser stays small."""

_ROOT = Path(__file__).resolve().parent.parent
_START = "import sys; sys.path.insert(0, sys.argv[1]); from archive.extraction_child import main; main()"
_READY = b"ready\n"
_READ_BYTES = 1024 * 1024


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
        head = json.dumps(request).encode() + b"\n"
        with self._lock:
            found = self._awake().answer(head, content, seconds=self._answer_seconds)
            if found is None:  # it went to rest in the very moment
                found = self._awake().answer(head, content, seconds=self._answer_seconds)
        return found if found is not None else Unreadable("crashed")

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

    def _awake(self) -> _Child:
        if self._child is not None and self._child.is_spent:
            self._end()
        if self._child is None:
            self._child = _Child()
        return self._child

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
            bufsize=0,
            env={},
            cwd="/",
            start_new_session=True,
        )
        self._requests = 0
        self._pipes = _Pipes(self._process)
        self._pipes.allow(START_SECONDS)
        try:
            is_ready = self._pipes.line() == _READY
        except (EOFError, TimeoutError):
            is_ready = False
        if not is_ready:
            self.end()
            raise StorageUnavailableError("the process that reads attachments does not start")

    @property
    def is_spent(self) -> bool:
        """True when it is dead or has done enough."""
        return self._process.poll() is not None or self._requests >= REQUESTS_PER_CHILD

    def answer(self, head: bytes, content: bytes, *, seconds: float) -> Extraction | None:
        """What the child makes of the content; None when it had gone to rest. It is killed when that takes longer."""
        self._requests += 1
        self._pipes.allow(seconds)
        try:
            self._pipes.send(head + content)
            found = json.loads(self._pipes.line())
            text = self._pipes.receive(found["length"]).decode()
        except TimeoutError:
            self._process.kill()
            self._process.wait()  # until then it looks alive, and the next attachment would be given to it
            return Unreadable("timeout")
        except (EOFError, BrokenPipeError):
            return self._last_words()
        return Unreadable(found["reason"]) if found["reason"] else ExtractedText(text, found["is_whole"])

    def end(self) -> None:
        """Kill it and let go of the pipes."""
        self._process.kill()
        self._process.wait()
        self._pipes.close()

    def _last_words(self) -> Extraction | None:
        self._process.wait()
        if self._process.returncode == 0:
            return None
        return Unreadable("limit" if self._process.returncode == -signal.SIGXCPU else "crashed")


class _Pipes:
    """Both pipes of a child, read and written until a moment and no longer."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None:
            raise StorageUnavailableError("the process that reads attachments has no pipes")
        self._to, self._from = process.stdin, process.stdout
        os.set_blocking(self._to.fileno(), False)
        os.set_blocking(self._from.fileno(), False)
        self._received = b""
        self._ends = 0.0

    def allow(self, seconds: float) -> None:
        """So long may everything take from now on; then ``TimeoutError``."""
        self._ends = time.monotonic() + seconds

    def send(self, data: bytes) -> None:
        """Write it all. ``BrokenPipeError`` when the child is gone."""
        rest = memoryview(data)
        while rest:
            self._wait(self._to.fileno(), select.POLLOUT)
            rest = rest[os.write(self._to.fileno(), rest) :]

    def line(self) -> bytes:
        """Read up to and with a line feed. ``EOFError`` when the child is gone."""
        while b"\n" not in self._received:
            self._read_more()
        found, feed, self._received = self._received.partition(b"\n")
        return found + feed

    def receive(self, length: int) -> bytes:
        """Read so many bytes."""
        pieces, missing = [self._received], length - len(self._received)
        while missing > 0:
            self._received = b""
            self._read_more()
            pieces.append(self._received)
            missing -= len(self._received)
        self._received = b""
        return b"".join(pieces)[:length]

    def close(self) -> None:
        """Let go of both."""
        self._to.close()
        self._from.close()

    def _read_more(self) -> None:
        self._wait(self._from.fileno(), select.POLLIN)
        more = os.read(self._from.fileno(), _READ_BYTES)
        if not more:
            raise EOFError
        self._received += more

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = self._ends - time.monotonic()
        if left <= 0 or not poll.poll(left * 1_000):
            raise TimeoutError
