"""A key agent as a process of its own, over keys that were made for it, with this process as its supervisor."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance import key_agent_socket, role_charge
from appliance.data_directory import DataDirectory
from appliance.key_agent_client import KeyAgentClient
from appliance.key_agent_policy import Asker
from appliance.role_charge import AgentCharge, SecretPlace
from appliance.role_process import RoleProcess
from mailstore import key_custody
from mailstore.key_hierarchy import BatchKey, KeyRing, MessageKey, fingerprint, wrap_batch_key, wrap_message_key
from mailstore.keystore import WrappedKey
from mailstore.message import MessageId
from mailstore.slot_key_file import KeyFile, create_key_file

PLENTY: Final = (10_000_000, 10_000_000)
RATES: Final[Mapping[str, tuple[int, int]]] = {"mail": PLENTY, "worker": PLENTY, "command": PLENTY}
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass
class AgentRoom:
    """One agent. ``ring`` is what it opens."""

    data: DataDirectory
    ring: KeyRing
    agent: RoleProcess
    _said: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key_file(self) -> KeyFile:
        return KeyFile(self.data.path / "unlock.key")

    def raw(self, asker: Asker) -> socket.socket:
        """A connection as a role gets it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.agent.tell(role_charge.frame({"asker": asker}), connection=theirs)
        ours.settimeout(30)
        return ours

    def client(self, asker: Asker) -> KeyAgentClient:
        """Whoever asks there."""
        return KeyAgentClient(self.raw(asker))

    def phase(self) -> str:
        """What the agent says next to its supervisor about its phase; empty when it ended."""
        while not self._said:
            said, has_hung_up = self.agent.hear()
            self._said += said
            if has_hung_up and not said:
                return ""
        return str(self._said.pop(0)["phase"])

    def wrapped(self, name: str, *, batch: int = 1) -> WrappedKey:
        """The key of a message, which is the first letter of its name 32 times."""
        return wrapped(self.ring, name, batch=batch)


def wrapped(ring: KeyRing, name: str, *, batch: int = 1) -> WrappedKey:
    message, number, batch_key = MessageId(name), bytes([batch]) * 16, BatchKey(bytes([batch + 100]) * 32)
    key = MessageKey(name[:1].encode() * 32)
    return WrappedKey(
        message=message,
        batch=number,
        sealed_for=fingerprint(ring.capture.public),
        wrapped_batch_key=wrap_batch_key(batch_key, capture_public=ring.capture.public, batch=number),
        wrapped_message_key=wrap_message_key(key, batch_key=batch_key, batch=number, message=message, nonce=b"n" * 12),
    )


@contextmanager
def running(
    directory: Path, *, opens: bool = True, rates: Mapping[str, tuple[int, int]] = RATES, is_afresh: bool = True
) -> Iterator[AgentRoom]:
    """An agent, open or sealed, until the end of the block."""
    data = DataDirectory(directory)
    for folder in (data.run, data.log, data.checkpoints.parent):
        folder.mkdir(parents=True, exist_ok=True)
    key_file = data.path / "unlock.key"
    secret = KeyFile(key_file) if key_file.exists() else create_key_file(key_file, os.urandom)
    if not data.keys.exists():
        key_custody.create(data.keys, secret, os.urandom, now=NOW)
    with key_agent_socket.listening(data.key_agent_socket) as listener:
        agent = RoleProcess.agent(listener, is_afresh=is_afresh)
        place = SecretPlace(secret.kind, str(secret.path)) if opens else None
        agent.tell(AgentCharge(str(data.path), listener.fileno(), place, rates).to_bytes())
        room = AgentRoom(data, key_custody.unlock(data.keys, secret), agent)
        try:
            assert room.phase() == ("open" if opens else "sealed")
            yield room
        finally:
            agent.ask_to_end()
            agent.end(within_seconds=60)


def cpu_seconds(process: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(is_true: Any, *, seconds: float = 60.0) -> None:
    """Wait until something has become true."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)
