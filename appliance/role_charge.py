"""Core: what the supervisor tells a role, and what the role answers, over the pipe between them.

No key travels here: those the key agent gives out, to each role over a connection of its own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_LENGTH = struct.Struct(">I")
LONGEST = 65_536


class Phase(StrEnum):
    """What the appliance can do: sealed it takes mail in and opens nothing."""

    SEALED = "sealed"
    OPEN = "open"


class RoleName(StrEnum):
    """The kinds of processes that work under the supervisor. ``OPENING`` works before the others, and ends."""

    SMTP = "smtp"
    MAIL = "mail"
    WORKER = "worker"
    OPENING = "opening"


class Part(StrEnum):
    """What a service manager starts by itself: some of the roles, or the key agent."""

    SMTP = "smtp"
    MAIL = "mail"
    WORKER = "worker"
    KEY_AGENT = "key-agent"


ROLES_OF_PART: Mapping[Part, frozenset[RoleName]] = {
    Part.SMTP: frozenset({RoleName.SMTP}),
    Part.MAIL: frozenset({RoleName.MAIL}),
    Part.WORKER: frozenset({RoleName.OPENING, RoleName.WORKER}),
    Part.KEY_AGENT: frozenset(),
}

AGENT = "agent"
"""What the key agent's process is called. It is no role: it works for them."""


def place_name(role: RoleName, number: int) -> str:
    """What the process is called, and its log: ``smtp``, then ``smtp-2``."""
    return str(role) if number == 1 else f"{role}-{number}"


def module_of(role: RoleName, phase: Phase, number: int) -> str:
    """The module below ``appliance.roles`` that a role runs in a phase. Of several workers one has the duties."""
    if role is RoleName.WORKER and number > 1:
        return "fellow_worker"
    return str(role) if phase is Phase.OPEN else f"sealed_{role}"


@dataclass(frozen=True)
class Charge:
    """Where the data lies, and a role's listening sockets by name and descriptor. Its keys the key agent gives it."""

    data: str
    sockets: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """The charge as one frame."""
        return frame({"data": self.data, "sockets": dict(self.sockets)})

    @classmethod
    def of(cls, told: Mapping[str, object]) -> Charge:
        """The charge in an opened frame."""
        sockets = told["sockets"]
        if not isinstance(sockets, dict):
            raise TypeError("a charge names its sockets")
        return cls(str(told["data"]), sockets)


@dataclass(frozen=True)
class SecretPlace:
    """Where a secret lies that opens the keys, by the kind of its slots. Never the secret itself."""

    kind: str
    path: str


@dataclass(frozen=True)
class AgentCharge:
    """What the key agent is told: where the data lies, which secret opens it at once, and everybody's rate of keys.

    ``rates``: for each asker, keys a minute and at once. ``doors``: by role, the sockets to which roles come that a
    service manager started (``key_agent_policy.DOORS``); empty where the supervisor starts them.
    """

    data: str
    listener: int
    secret: SecretPlace | None
    rates: Mapping[str, tuple[int, int]]
    doors: Mapping[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The charge as one frame."""
        secret = None if self.secret is None else [self.secret.kind, self.secret.path]
        told = {"data": self.data, "listener": self.listener, "secret": secret, "rates": dict(self.rates)}
        return frame({**told, "doors": dict(self.doors)})

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> AgentCharge:
        """The charge in an opened frame."""
        secret = told["secret"]
        rates = {asker: (int(a_minute), int(at_once)) for asker, (a_minute, at_once) in told["rates"].items()}
        place = SecretPlace(*secret) if secret else None
        return cls(str(told["data"]), int(told["listener"]), place, rates, told["doors"])


def frame(told: Mapping[str, object]) -> bytes:
    """One message on the pipe: four bytes of length, then JSON."""
    body = json.dumps(told).encode()
    return _LENGTH.pack(len(body)) + body


def opened(buffer: bytes) -> tuple[dict[str, object] | None, bytes]:
    """The first whole message in a buffer (None when there is none yet), and what follows it."""
    if len(buffer) < _LENGTH.size:
        return None, buffer
    (length,) = _LENGTH.unpack_from(buffer)
    if length > LONGEST:
        raise ValueError("a message on the pipe is too long")
    end = _LENGTH.size + length
    if len(buffer) < end:
        return None, buffer
    return json.loads(buffer[_LENGTH.size : end]), buffer[end:]
