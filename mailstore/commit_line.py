"""A group commit done by another process of ours, over a private socket between the two.

Whoever takes mail in is busy with its peers and with sealing. Writing beside it, in one interpreter, each would hold
up the other at every statement; in a process of its own the writer has the database's pages to itself besides.

A frame is its length in eight bytes, big-endian, and as much MessagePack: a group one way, and back, for each of its
messages, whether it is durable. Both ends are one program of one release, so this is no format that anything keeps.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Sequence

import msgspec

from mailstore.errors import StorageUnavailableError
from mailstore.sealed_deposit import Committing, SealedDeposit

logger = logging.getLogger(__name__)

_LENGTH = struct.Struct(">Q")
_PIECE = 1 << 20
_GROUP = msgspec.msgpack.Decoder(list[SealedDeposit])
_ANSWER = msgspec.msgpack.Decoder(list[bool])
_ENCODE = msgspec.msgpack.Encoder().encode


class CommitLine:
    """Our end: a ``Committing`` whose work is done at the other."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def store(self, group: Sequence[SealedDeposit]) -> Sequence[Exception | None]:
        """As ``Committing`` says. What went wrong is in the log of the other process."""
        refused = StorageUnavailableError("the process that stores mail could not")
        try:
            _send(self._line, _ENCODE(group))
            told = _ANSWER.decode(_received(self._line))
        except (OSError, EOFError) as error:
            return [error] * len(group)
        return [None if is_durable else refused for is_durable in told]

    def close(self) -> None:
        """Nothing more will come: the other end leaves when it reads that."""
        self._line.close()


def serve(line: socket.socket, commit: Committing) -> None:
    """Store group after group until nothing more comes."""
    while True:
        try:
            group = _GROUP.decode(_received(line))
        except (OSError, EOFError):
            return
        failures = commit.store(group)
        for error in {id(failure): failure for failure in failures if failure is not None}.values():
            logger.error("group could not be stored", extra={"messages": len(group)}, exc_info=error)
        _send(line, _ENCODE([failure is None for failure in failures]))


def _send(line: socket.socket, body: bytes) -> None:
    line.sendall(_LENGTH.pack(len(body)) + body)


def _received(line: socket.socket) -> bytearray:
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size))
    return _exactly(line, length)


def _exactly(line: socket.socket, length: int) -> bytearray:
    """So many bytes. Raises EOFError when the other end is gone before that."""
    found = bytearray(length)
    view, at = memoryview(found), 0
    while at < length:
        count = line.recv_into(view[at : at + _PIECE])
        if not count:
            raise EOFError
        at += count
    return found
