"""What the key agent is asked to sign, and signs: documents in parts, each kind for those who may, at a rate.

The seeds never leave the agent. That the audit log only grows it remembers in its own account of the use of keys,
which it signs: a checkpoint is noted there, durably, before its signature is given away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from appliance import key_agent_protocol, signing_policy
from appliance.key_agent_policy import Allowance, Asker, Rate
from appliance.key_agent_protocol import MalformedError
from appliance.key_use_record import Alarm, KeyUseRecord
from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.errors import LimitExceededError, RefusedError
from mailstore.wall_clock import Clock

LONGEST_DOCUMENT: Final = 64 * 1024 * 1024
"""As long as a certificate may be for those who verify it."""

LONGEST_CHECKPOINT: Final = 1_024

MOST_WAITING: Final = 2 * LONGEST_DOCUMENT
"""Bytes of all documents together that are on their way in. They lie in memory that is never swapped out."""

RATE: Final = Rate(per_minute=60, at_once=120)
"""Signatures for one asker: a holds page, a backup every five minutes and a disposal need some twenty at most."""


@dataclass
class Draft:
    """A document of one connection on its way in."""

    kind: DocumentKind | None = None
    document: bytearray = field(default_factory=bytearray)


class Signing:
    """Signs for many threads. ``wait`` is told how many seconds an asker has to wait."""

    def __init__(self, use: KeyUseRecord, clock: Clock, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._use = use
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._tree_lock = threading.Lock()
        self._allowances: dict[Asker, Allowance] = {}
        self._waiting_bytes = 0

    def answer(
        self, draft: Draft, asker: Asker, question: Mapping[str, Any], keys: Callable[[], SigningKeys]
    ) -> dict[str, Any]:
        """Take a part, or sign once the last one is there. ``MalformedError`` for what is none.

        Raises ``SealedError``, and ``RefusedError`` for what this asker may not have signed, or nobody: an alarm.
        """
        kind, part, is_last = key_agent_protocol.part_of(question)
        if not signing_policy.may_have_signed(asker, kind):
            self._use.alarm(Alarm.NOT_SIGNED, asker)
            raise RefusedError("not for you")
        open_keys = keys()
        self._take(draft, kind, part)
        if not is_last:
            return {}
        document = bytes(draft.document)
        self.forget(draft)
        return key_agent_protocol.signed_answer(self._signed(asker, kind, document, open_keys))

    def forget(self, draft: Draft) -> None:
        """Let go what came of a document."""
        with self._lock:
            self._waiting_bytes -= len(draft.document)
            draft.kind, draft.document = None, bytearray()

    def _take(self, draft: Draft, kind: DocumentKind, part: bytes) -> None:
        if draft.kind not in {None, kind}:
            raise MalformedError("a document is of one kind")
        with self._lock:
            longest = LONGEST_CHECKPOINT if kind is DocumentKind.CHECKPOINT else LONGEST_DOCUMENT
            is_too_long = len(draft.document) + len(part) > longest
            if not is_too_long and self._waiting_bytes + len(part) <= MOST_WAITING:
                draft.kind = kind
                draft.document += part
                self._waiting_bytes += len(part)
                return
        self.forget(draft)
        if is_too_long:
            raise LimitExceededError("the document is longer than any that is signed")
        raise LimitExceededError("too many documents wait to be signed", fix="try again in a moment")

    def _signed(self, asker: Asker, kind: DocumentKind, document: bytes, keys: SigningKeys) -> bytes:
        now = self._clock.now()  # before it waits for its turn: the document is of the moment at which it came
        self._pace(asker)
        try:
            signature = self._made(kind, document, keys, now)
        except RefusedError:
            self._use.alarm(Alarm.NOT_SIGNED, asker)
            raise
        self._use.signed(asker)
        return signature

    def _made(self, kind: DocumentKind, document: bytes, keys: SigningKeys, now: datetime) -> bytes:
        if kind is not DocumentKind.CHECKPOINT:
            return signing_policy.signed(kind, document, signer=keys.signer, now=now)
        with self._tree_lock:
            before = self._use.tree(keys.seeds)
            head = signing_policy.tree_of(document, before=before, now=now)
            if head != before:
                self._use.note_tree(head, keys.seeds[0])
            return keys.signer.signature(kind, document)

    def _pace(self, asker: Asker) -> None:
        """Count a signature against the asker's rate, and wait as long as that asks for."""
        now = time.monotonic()
        with self._lock:
            allowance = self._allowances.get(asker, Allowance.full(RATE, now=now))
            self._allowances[asker], seconds = allowance.taken(1, RATE, now=now)
        if seconds:
            self._use.slowed(asker, seconds)
            self._wait(seconds)


@dataclass(frozen=True)
class SigningKeys:
    """What signs documents, and the seeds that sign the account of the use of keys, the present one first."""

    signer: DocumentSigner
    seeds: tuple[bytes, ...] = field(repr=False)
