"""One connection of the key agent: whole questions out of what comes, one at a time, each answered before the next."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance import key_agent_socket
from appliance.key_agent_policy import Asker
from appliance.key_agent_protocol import MalformedError
from appliance.key_agent_signing import Draft
from appliance.role_charge import frame, opened

READ_BYTES: Final = 65_536
QUESTION_SECONDS: Final = 5.0
"""How long a question may take to come once it has begun, and an answer to be taken."""


@dataclass(eq=False)
class Connection:
    """Waits for questions as long as nobody hangs up. ``heard_at``: seconds of the monotonic clock.

    ``askers``: as whom the other side may ask; the first is what it is called where that does not matter.
    ``draft``: of a document to be signed.
    """

    socket: socket.socket
    askers: tuple[Asker, ...]
    heard_at: float = field(default_factory=time.monotonic)
    draft: Draft = field(default_factory=Draft, repr=False)
    _heard: bytes = field(default=b"", repr=False)
    _answering: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        key_agent_socket.set_patience(self.socket, QUESTION_SECONDS)

    def question(self) -> dict[str, Any] | None:
        """The next question; None when the other side has hung up. ``MalformedError`` for what is none."""
        deadline: float | None = None
        while True:
            if self._heard:
                if (told := self._whole()) is not None:
                    return told
                deadline = deadline or time.monotonic() + QUESTION_SECONDS
                if time.monotonic() > deadline:
                    return None
            try:
                data = self.socket.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return None
            if not data:
                return None
            self.heard_at = time.monotonic()
            self._heard += data

    def _whole(self) -> dict[str, Any] | None:
        try:
            told, self._heard = opened(self._heard)
        except (ValueError, RecursionError):
            raise MalformedError("not a question") from None
        if told is not None and not isinstance(told, dict):
            raise MalformedError("a question is an object")
        return told

    def answer(self, told: Mapping[str, Any]) -> bool:
        """Answer, from whichever thread. False when the other side does not take it."""
        try:
            with self._answering:
                self.socket.sendall(frame(told))
        except OSError:
            return False
        return True

    def hang_up(self) -> None:
        """End it, from whichever thread."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
