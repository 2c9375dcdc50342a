"""Core: what the supervisor tells a role, and what the role answers, over the pipe between them.

Keys travel here and nowhere else: never in arguments, the environment, or a file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_LENGTH = struct.Struct(">I")
LONGEST = 65_536


class RoleName(StrEnum):
    """The three kinds of processes under the supervisor."""

    SMTP = "smtp"
    MAIL = "mail"
    WORKER = "worker"


def place_name(role: RoleName, number: int) -> str:
    """What the process is called, and its log: ``smtp``, then ``smtp-2``."""
    return str(role) if number == 1 else f"{role}-{number}"


def role_of(place: str) -> RoleName:
    """The role of the process that is called so."""
    return RoleName(place.partition("-")[0])


@dataclass(frozen=True)
class Charge:
    """Where the data lies, the keys this role may have, and its listening sockets by name and descriptor."""

    data: str
    keys: bytes = field(repr=False)
    sockets: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """The charge as one frame."""
        return frame({"data": self.data, "keys": self.keys.hex(), "sockets": dict(self.sockets)})

    @classmethod
    def of(cls, told: Mapping[str, object]) -> Charge:
        """The charge in an opened frame."""
        sockets = told["sockets"]
        if not isinstance(sockets, dict):
            raise TypeError("a charge names its sockets")
        return cls(str(told["data"]), bytes.fromhex(str(told["keys"])), sockets)


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
