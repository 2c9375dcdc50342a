"""A TCP proxy that does what broken networks do: slow, cut, silent, or full of garbage.

It stands before any server on loopback. What it does may be changed at any moment, and open connections feel it at
once: ``proxy.behave(Behaviour.BLACK_HOLE)``. ``python -m tests.chaos_proxy PORT`` runs one by hand.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

CHUNK = 65_536
TICK_SECONDS = 0.05
"""How soon a held connection feels that the behaviour changed."""

GARBAGE = b"\x00\xffThis is not the answer to what was asked.\r\n" * 64
SLOW_BYTES = 2_000
SLOW_SECONDS = 0.1


class Behaviour(StrEnum):
    """What becomes of what passes."""

    HONEST = "honest"
    SLOW = "slow"  # 20 KB a second, unless told otherwise
    CUT = "cut"  # every connection ends after ``cut_after`` bytes of the answer
    BLACK_HOLE = "black_hole"  # taken, and never answered
    REFUSE = "refuse"  # closed as soon as it is opened
    GARBAGE = "garbage"  # an answer that is none
    ALTER = "alter"  # bytes of the answer's body are changed


@dataclass
class ChaosProxy:
    """One listening port before one server. ``connections`` counts those that were opened, ``struck`` those harmed.

    A slow one waits for ``slow_seconds`` after every ``slow_bytes``.
    """

    target: tuple[str, int]
    behaviour: Behaviour = Behaviour.HONEST
    cut_after: int = 0
    slow_bytes: int = SLOW_BYTES
    slow_seconds: float = SLOW_SECONDS
    connections: int = 0
    struck: int = 0
    _listener: socket.socket = field(init=False, repr=False)
    _open: set[socket.socket] = field(default_factory=set, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        port: int = self._listener.getsockname()[1]
        return port

    def behave(self, behaviour: Behaviour, *, cut_after: int = 0) -> None:
        """From now on do this, to open connections too."""
        self.cut_after = cut_after
        self.behaviour = behaviour

    @contextmanager
    def behaving(self, behaviour: Behaviour, *, cut_after: int = 0) -> Iterator[None]:
        """Do this for a while, then be honest again."""
        self.behave(behaviour, cut_after=cut_after)
        try:
            yield
        finally:
            self.behave(Behaviour.HONEST)

    def drop_all(self) -> None:
        """Cut every open connection in the middle of whatever it carries."""
        with self._lock:
            open_now, self._open = self._open, set()
        for each in open_now:
            _closed(each)

    def close(self) -> None:
        """Stop listening and cut everything."""
        _closed(self._listener)
        self.drop_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.behaviour is Behaviour.REFUSE:
            self.struck += 1
            _closed(client)
            return
        try:
            server = socket.create_connection(self.target, 10)
        except OSError:
            _closed(client)
            return
        pair = {client, server}
        with self._lock:
            self._open |= pair
        asking = threading.Thread(target=self._carry, args=(client, server), kwargs={"is_answer": False}, daemon=True)
        asking.start()
        self._carry(server, client, is_answer=True)
        with self._lock:
            self._open -= pair
        for each in pair:
            _closed(each)

    def _carry(self, source: socket.socket, sink: socket.socket, *, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._hold()
                if is_answer:
                    data = self._altered(data)
                    passed = self._passed(passed, len(data))
                if data is not None and not self._send(sink, data, passed=passed, is_answer=is_answer):
                    break
        for each in (source, sink):
            _closed(each)

    def _hold(self) -> None:
        """A black hole lets nothing through, however long it lasts."""
        if self.behaviour is Behaviour.BLACK_HOLE:
            self.struck += 1
        while self.behaviour is Behaviour.BLACK_HOLE:
            time.sleep(TICK_SECONDS)

    def _altered(self, data: bytes) -> bytes:
        if self.behaviour is Behaviour.GARBAGE:
            self.struck += 1
            return GARBAGE
        if self.behaviour is Behaviour.ALTER:
            self.struck += 1
            head, mark, body = data.partition(b"\r\n\r\n")
            return head + mark + bytes(byte ^ 1 for byte in body) if mark else bytes(byte ^ 1 for byte in data)
        return data

    def _passed(self, before: int, more: int) -> int:
        return before + more if self.behaviour is Behaviour.CUT else 0

    def _send(self, sink: socket.socket, data: bytes, *, passed: int, is_answer: bool) -> bool:
        """False when the connection is to end here."""
        if is_answer and self.behaviour is Behaviour.CUT and passed > self.cut_after:
            self.struck += 1
            sink.sendall(data[: max(0, len(data) - (passed - self.cut_after))])
            return False
        if self.behaviour is Behaviour.SLOW:
            self.struck += 1
            for start in range(0, len(data), self.slow_bytes):
                sink.sendall(data[start : start + self.slow_bytes])
                if self.behaviour is Behaviour.SLOW:
                    time.sleep(self.slow_seconds)
            return True
        sink.sendall(data)
        return not (is_answer and self.behaviour is Behaviour.GARBAGE)


def _closed(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()


def main() -> None:
    """Stand before a port on loopback until told to end; each line of standard input names a behaviour."""
    proxy = ChaosProxy(("127.0.0.1", int(sys.argv[1])))
    sys.stdout.write(f"{proxy.port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        proxy.behave(Behaviour(line.strip()))


if __name__ == "__main__":
    main()
