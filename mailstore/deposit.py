"""Taking mail in: sealed by the caller's thread, made durable in groups, promised only then.

Only the public half of the capture key is used: what was deposited cannot be opened by the process that did it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from mailstore.audit_entry import AuditFact
from mailstore.group_writer import GroupWriter
from mailstore.key_hierarchy import MessageKey, address_index, header_id_index
from mailstore.message import (
    ID_BYTES,
    MessageId,
    MessageSummary,
    ReceivedMessage,
    RecipientPlan,
    Scan,
    identifier_from,
)
from mailstore.outbox import Kind
from mailstore.sealed_columns import ColumnSealer, RecipientDetail, content_context
from mailstore.sealed_deposit import Committing, SealedDeposit, SealedRecipient
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness, seal
from mailstore.sealed_series import Arrival

_ANCESTORS = 20
"""How many references are looked up: a longer line is a stranger's way to make work."""

_ID_BEGINNING = 5
"""Bytes by which the ids of neighbours begin: eight characters. The eleven behind them nobody guesses."""

NEIGHBOURS = 128
"""Messages whose ids begin alike: as many as stand on a page or two of an index."""

_GROUP = 64
"""Messages in one group commit: enough to spread the cost of three syncs, few enough to answer soon."""


@dataclass(frozen=True)
class FollowUp:
    """Work to be put down with a message. ``position`` names one of its recipients."""

    kind: Kind
    position: int | None = None


@dataclass(frozen=True)
class Deposit:
    """A message and all that must become true together with it.

    Recipients with a mailbox find it in their inbox, or in their junk when a scanner said so. ``sent_mailbox`` gets a
    copy of the entry in its sent folder. The move into the object store need not be listed in ``follow_up``. Facts
    without an object are about the message, whose id is made here. ``arrival``: where it waited in the sealed spool; it
    becomes ours once at most.
    """

    received: ReceivedMessage
    summary: MessageSummary
    recipients: tuple[RecipientPlan, ...]
    follow_up: tuple[FollowUp, ...] = ()
    facts: tuple[AuditFact, ...] = ()
    sent_mailbox: str | None = None
    arrival: Arrival | None = None


class _Ids:
    """Ids of messages, random all through, but that those made one after another begin alike.

    So the rows of a group stand side by side in every index, and its commit writes one page of it instead of one for
    every message. Nothing is told of the time: the beginnings themselves are random.
    """

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness
        self._beginning = b""
        self._left = 0

    def next(self, drawn: bytes) -> MessageId:
        """An id from 16 random bytes. When two threads renew the beginning at once, both are as good."""
        if self._left <= 0:
            self._beginning, self._left = self._randomness(_ID_BEGINNING), NEIGHBOURS
        self._left -= 1
        return MessageId(identifier_from(self._beginning + drawn[_ID_BEGINNING:]))


class Depositor:
    """The one way for a message to become ours. ``submit`` may be called from any thread."""

    def __init__(self, commit: Committing, *, lookup_key: bytes, randomness: Randomness) -> None:
        self._commit = commit
        self._lookup_key = lookup_key
        self._randomness = randomness
        self._ids = _Ids(randomness)
        self._writer = GroupWriter(self._stored, is_full=lambda group: len(group) >= _GROUP, name="deposit")

    def submit(self, deposit: Deposit) -> Future[MessageId]:
        """Seal a message now and have it stored; the future is set when it is durable.

        The future raises ``StorageUnavailableError`` when it could not be stored: nobody may be promised anything.
        """
        return self._writer.submit(self._sealed(deposit))

    def deposit(self, deposit: Deposit) -> MessageId:
        """Store a message and wait until it is durable. Raises ``StorageUnavailableError``."""
        return self.submit(deposit).result()

    def close(self) -> None:
        """Store what is waiting, then stop."""
        self._writer.close()
        self._commit.close()

    def _sealed(self, deposit: Deposit) -> SealedDeposit:
        received, summary = deposit.received, deposit.summary
        drawn = io.BytesIO(self._randomness(ID_BYTES + KEY_BYTES + NONCE_BYTES * (1 + len(deposit.recipients))))
        message = self._ids.next(drawn.read(ID_BYTES))
        key = MessageKey(drawn.read(KEY_BYTES))
        columns = ColumnSealer(key, message)
        sealed = seal(received.content, key=key, context=content_context(message), randomness=self._randomness)
        sender, own = received.envelope.sender, summary.header_message_id
        return SealedDeposit(
            message=message,
            key=key,
            sealed=sealed,
            digest=hashlib.sha256(sealed).digest(),
            received_at=received.received_at,
            origin=received.origin,
            size_bytes=len(received.content),
            author=received.peer.account,
            sender_index=b"" if sender is None else address_index(self._lookup_key, sender),
            header_id_index=header_id_index(self._lookup_key, own) if own else None,
            referred=self._referred(summary),
            sealed_summary=columns.summary(summary, nonce=drawn.read(NONCE_BYTES)),
            recipients=tuple(
                self._sealed_recipient(columns, position, plan, drawn.read(NONCE_BYTES))
                for position, plan in enumerate(deposit.recipients)
            ),
            follow_up=tuple((work.kind, work.position) for work in deposit.follow_up),
            facts=deposit.facts,
            sent_mailbox=deposit.sent_mailbox,
            arrival=deposit.arrival,
            is_junk=received.scan is Scan.JUNK,
        )

    def _sealed_recipient(
        self, columns: ColumnSealer, position: int, plan: RecipientPlan, nonce: bytes
    ) -> SealedRecipient:
        detail = RecipientDetail(plan.address.text, plan.reasons)
        return SealedRecipient(
            address_index=address_index(self._lookup_key, plan.address),
            route=plan.route,
            state=plan.state,
            mailbox=plan.mailbox,
            sealed_detail=columns.detail(detail, position=position, nonce=nonce),
        )

    def _referred(self, summary: MessageSummary) -> tuple[bytes, ...]:
        """Nearest first: References names the whole line of ancestors, oldest first (RFC 5322 section 3.6.4)."""
        nearest = summary.references[: -_ANCESTORS - 1 : -1]
        return tuple(header_id_index(self._lookup_key, name) for name in nearest)

    def _stored(self, group: Sequence[SealedDeposit]) -> list[MessageId | Exception]:
        return [error or each.message for each, error in zip(group, self._commit.store(group), strict=True)]
