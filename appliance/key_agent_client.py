"""Asks the key agent: over the connection that a role was given, or over the agent's socket for a command."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance import key_agent_pieces, key_agent_protocol, key_agent_socket
from appliance.key_agent_policy import Ask
from appliance.role_charge import frame, opened
from appliance.unseal_tries import TooSoonError
from mailstore.backup_listing import GenerationKind
from mailstore.document_signing import DocumentKind
from mailstore.errors import SealedError
from mailstore.key_hierarchy import DepositKeys
from mailstore.key_opener import OpenedKey
from mailstore.keystore import WrappedKey
from mailstore.working_keys import HandedKeys

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 600.0
"""How long an answer may take: the slowest is that to many keys beyond the rate, or to a costly passphrase."""


class KeyAgentClient:
    """One connection to the key agent. Safe to use from many threads, one question at a time.

    Everything raises ``SealedError`` while the agent is sealed or away, and what the agent refuses by its own name.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        key_agent_socket.set_patience(connection, ANSWER_SECONDS)
        self._lock = threading.Lock()

    @classmethod
    def connected(cls, path: Path) -> KeyAgentClient:
        """Over the agent's socket. ``SealedError`` when nobody listens there."""
        try:
            return cls(key_agent_socket.connected(path, within_seconds=CONNECT_SECONDS))
        except OSError:
            raise SealedError from None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def status(self) -> dict[str, Any]:
        """Whether the agent is open, and how its keys were used."""
        return self._ask({"ask": Ask.STATUS})

    def unseal(self, kind: str, secret: bytes) -> dict[str, Any]:
        """Open with what a secret's file holds. ``kind`` is the word of its slots. Takes as long as its slot costs.

        Raises ``WrongKeyError``, ``TooSoonError`` after wrong ones, ``RefusedError`` while another one is tried.
        """
        answer = self._ask({"ask": Ask.UNSEAL, "kind": kind, "secret": secret.hex()})
        if "wait_seconds" in answer:
            raise TooSoonError(answer["wait_seconds"])
        return answer

    def seal(self) -> None:
        """Close at once."""
        self._ask({"ask": Ask.SEAL})

    def end_all(self) -> None:
        """Have the whole appliance end, in good order. The agent may be gone before it answers."""
        with suppress(SealedError):
            self._ask({"ask": Ask.END})

    def deposit_keys(self) -> DepositKeys:
        """What takes mail in."""
        return DepositKeys.from_bytes(bytes.fromhex(self._ask({"ask": Ask.DEPOSIT_KEYS})["keys"]))

    def working_keys(self) -> HandedKeys:
        """What reads and seals rows."""
        return HandedKeys.from_bytes(bytes.fromhex(self._ask({"ask": Ask.WORKING_KEYS})["keys"]))

    def opened(self, wrapped: Sequence[WrappedKey]) -> list[OpenedKey]:
        """The keys of messages, as ``MessageKeyOpener``."""
        found: list[OpenedKey] = []
        for start in range(0, len(wrapped), key_agent_protocol.MOST_KEYS):
            asked = wrapped[start : start + key_agent_protocol.MOST_KEYS]
            found += key_agent_protocol.opened_of(self._ask(key_agent_protocol.open_request(asked)))
        return found

    def piece_key(self, head: bytes, kind: GenerationKind) -> bytes:
        """The key of one file of a backup, as ``PieceOpener``."""
        return key_agent_pieces.key_in(self._ask({"ask": Ask.OPEN_PIECE, **key_agent_pieces.request(head, kind)}))

    def signature(self, kind: DocumentKind, document: bytes) -> bytes:
        """A signature under a document, as ``DocumentSigner``."""
        return key_agent_protocol.signature_of(self._ask(*key_agent_protocol.sign_requests(kind, document)))

    def _ask(self, *questions: Mapping[str, Any]) -> dict[str, Any]:
        """Put questions that belong together, nobody else's between them; the last answer, or the first refusal."""
        with self._lock:
            for question in questions:
                try:
                    self._socket.sendall(frame(question))
                    answer = self._answer()
                except OSError:
                    raise SealedError from None
                if "error" in answer:
                    raise key_agent_protocol.error_of(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        heard = b""
        while True:
            told, heard = opened(heard)
            if told is not None:
                return told
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError
            heard += data


class AgentOpener:
    """The port ``MessageKeyOpener`` over the key agent: this process never has what opens every key."""

    def __init__(self, agent: KeyAgentClient, capture_public: bytes) -> None:
        self._agent = agent
        self._capture_public = capture_public

    def status(self) -> dict[str, Any]:
        """As ``KeyAgentClient``."""
        return self._agent.status()

    def working_keys(self) -> HandedKeys:
        """As ``KeyAgentClient``: the keys of now, where this process may have got older ones."""
        return self._agent.working_keys()

    @property
    def capture_public(self) -> bytes:
        """As ``MessageKeyOpener``."""
        return self._capture_public

    def piece_key(self, head: bytes, kind: GenerationKind) -> bytes:
        """As ``PieceOpener``."""
        return self._agent.piece_key(head, kind)

    def opened(self, wrapped: Sequence[WrappedKey]) -> list[OpenedKey]:
        """As ``MessageKeyOpener``. A row that is longer than any we write was changed, and is not sent."""
        whole = [each for each in wrapped if key_agent_protocol.can_be_told(each)]
        found = iter(self._agent.opened(whole))
        return [
            next(found) if key_agent_protocol.can_be_told(each) else key_agent_protocol.overlong(each)
            for each in wrapped
        ]


@dataclass(frozen=True)
class AgentSigner:
    """The port ``DocumentSigner`` over the key agent: this process never has what signs.

    ``SealedError`` while the agent is sealed or away; what it refuses to sign by its own name.
    """

    audit_public: bytes
    certificate_public: bytes
    agent: KeyAgentClient = field(repr=False)

    @classmethod
    def of(cls, agent: KeyAgentClient, keys: HandedKeys) -> AgentSigner:
        """The signer whose public halves were handed out with these keys."""
        return cls(keys.audit_public, keys.certificate_public, agent)

    def signature(self, kind: DocumentKind, document: bytes) -> bytes:
        """As ``DocumentSigner``."""
        return self.agent.signature(kind, document)
