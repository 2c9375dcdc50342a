"""What the supervisor tells the key agent: its charge, then a connection for each role that is started."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from appliance.role_charge import frame, opened

_MOST_AT_ONCE = 16


class Orders:
    """The agent's end of the pipe. Descriptors come beside the bytes (unix(7), SCM_RIGHTS), one with each role."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._heard = b""
        self._descriptors: deque[int] = deque()
        self._telling = threading.Lock()

    def next(self) -> dict[str, Any] | None:
        """What is told next; None when the supervisor has hung up."""
        while True:
            told, self._heard = opened(self._heard)
            if told is not None:
                return told
            data, descriptors, _flags, _address = socket.recv_fds(self._pipe, 65_536, _MOST_AT_ONCE)
            if not data:
                return None
            self._heard += data
            self._descriptors += descriptors

    def connection(self) -> socket.socket:
        """The connection that came with what was told last."""
        return socket.socket(fileno=self._descriptors.popleft())

    def answer(self, told: Mapping[str, Any]) -> None:
        """Tell the supervisor something, from whichever thread."""
        with self._telling:
            self._pipe.sendall(frame(told))
