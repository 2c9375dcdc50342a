"""Taking mail in: sealed by the caller's thread, made durable by one writer thread, promised only then.

Only the public half of the capture key is here: what was deposited cannot be opened by the process that did it.

How a group of up to 64 messages becomes ours; every step is durable before the next begins:

1. The sealed objects are appended to the spool, one ``fdatasync``.
2. Their keys, wrapped under a fresh batch key, go into the keystore, one transaction.
3. One transaction of the row database: messages, recipients, mailbox entries, follow-up work, audit entries.
4. The futures are set: only now may anybody say ``250`` (RFC 5321 section 6.1).

A failure or a crash before 3 leaves sealed bytes and perhaps keys without a row: nobody was promised anything,
and ``orphan_sweep`` clears them away. A crash after 3 leaves a whole message that nobody was told about.
"""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from mailstore import audit_trail, mailboxes, message_records, outbox, sealed_series
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import (
    BATCH_ID_BYTES,
    BatchKey,
    DepositKeys,
    MessageKey,
    address_index,
    fingerprint,
    header_id_index,
    wrap_batch_key,
    wrap_message_key,
)
from mailstore.keystore import BatchOfKeys, Keystore
from mailstore.mailboxes import Filing, Folder
from mailstore.message import (
    ID_BYTES,
    MessageId,
    MessageSummary,
    ReceivedMessage,
    RecipientPlan,
    StoredMessage,
    identifier_from,
)
from mailstore.message_records import MessageRow, RecipientRow
from mailstore.outbox import Kind, NewItem
from mailstore.sealed_columns import ColumnSealer, RecipientDetail, content_context
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness, seal
from mailstore.sealed_series import Arrival
from mailstore.spool import Place, SpoolWriter
from mailstore.wall_clock import Clock

_ANCESTORS = 20
"""How many references are looked up: a longer line is a stranger's way to make work."""

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

    Recipients with a mailbox find it in their inbox. ``sent_mailbox`` gets a copy of the entry in its sent folder.
    The move into the object store need not be listed in ``follow_up``. Facts without an object are about the
    message, whose id is made here. ``arrival``: where it waited in the sealed spool; it becomes ours once at most.
    """

    received: ReceivedMessage
    summary: MessageSummary
    recipients: tuple[RecipientPlan, ...]
    follow_up: tuple[FollowUp, ...] = ()
    facts: tuple[AuditFact, ...] = ()
    sent_mailbox: str | None = None
    arrival: Arrival | None = None


@dataclass(frozen=True)
class _Sealed:
    """A deposit on its way to the disk, nothing of it readable any more but the key, which lives in memory only."""

    future: Future[MessageId]
    deposit: Deposit
    key: MessageKey
    sealed: bytes
    digest: bytes
    message: MessageId
    sealed_summary: bytes
    sealed_details: tuple[bytes, ...]


class Depositor:
    """The one way for a message to become ours. ``submit`` may be called from any thread."""

    def __init__(
        self,
        spool: SpoolWriter,
        keystore: Keystore,
        database: Database,
        *,
        keys: DepositKeys,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._spool = spool
        self._keystore = keystore
        self._database = database
        self._keys = keys
        self._clock = clock
        self._randomness = randomness
        self._waiting: queue.SimpleQueue[_Sealed | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._is_closed = False
        self._writer = threading.Thread(target=self._write_groups, name="deposit", daemon=True)
        self._writer.start()

    def submit(self, deposit: Deposit) -> Future[MessageId]:
        """Seal a message now and have it stored; the future is set when it is durable.

        The future raises ``StorageUnavailableError`` when it could not be stored: nobody may be promised anything.
        """
        sealed = self._sealed(deposit)
        with self._gate:
            if self._is_closed:
                raise StorageUnavailableError("mail is no longer taken in: shutting down")
            self._waiting.put(sealed)
        return sealed.future

    def deposit(self, deposit: Deposit) -> MessageId:
        """Store a message and wait until it is durable. Raises ``StorageUnavailableError``."""
        return self.submit(deposit).result()

    def close(self) -> None:
        """Store what is waiting, then stop."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._waiting.put(None)
        self._writer.join()
        self._spool.close()

    def _sealed(self, deposit: Deposit) -> _Sealed:
        drawn = io.BytesIO(self._randomness(ID_BYTES + KEY_BYTES + NONCE_BYTES * (1 + len(deposit.recipients))))
        message = MessageId(identifier_from(drawn.read(ID_BYTES)))
        key = MessageKey(drawn.read(KEY_BYTES))
        columns = ColumnSealer(key, message)
        sealed = seal(deposit.received.content, key=key, context=content_context(message), randomness=self._randomness)
        return _Sealed(
            future=Future(),
            deposit=deposit,
            key=key,
            sealed=sealed,
            digest=hashlib.sha256(sealed).digest(),
            message=message,
            sealed_summary=columns.summary(deposit.summary, nonce=drawn.read(NONCE_BYTES)),
            sealed_details=tuple(
                columns.detail(
                    RecipientDetail(plan.address.text, plan.reasons), position=position, nonce=drawn.read(NONCE_BYTES)
                )
                for position, plan in enumerate(deposit.recipients)
            ),
        )

    def _write_groups(self) -> None:
        while (group := self._next_group()) is not None:
            wanted = [each for each in group if each.future.set_running_or_notify_cancel()]
            if wanted:
                self._write(wanted)

    def _next_group(self) -> list[_Sealed] | None:
        """Whatever waits, up to a group; under load a group forms by itself while the disk is busy."""
        first = self._waiting.get()
        if first is None:
            return None
        group = [first]
        while len(group) < _GROUP:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._waiting.put(None)
                break
            group.append(following)
        return group

    def _write(self, group: Sequence[_Sealed]) -> None:
        try:
            places = self._spool.append([each.sealed for each in group])
            reached("deposit.after_spool")
            self._keystore.add_batch(self._batch(group))
            reached("deposit.after_keystore")
        except Exception as error:  # noqa: BLE001 -- whatever it was, the senders must be told, and the thread go on
            _fail(group, error)
            return
        self._record(group, places)

    def _record(self, group: Sequence[_Sealed], places: Sequence[Place]) -> None:
        try:
            with self._database.write() as connection:
                self._insert(connection, group, places)
            reached("deposit.after_rows")
        except (StorageUnavailableError, TamperedError) as error:
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the senders must be told, and the thread go on
            self._record_one_by_one(group, places, error)
        else:
            for each in group:
                each.future.set_result(each.message)

    def _record_one_by_one(self, group: Sequence[_Sealed], places: Sequence[Place], error: Exception) -> None:
        """A row that cannot be written harms its own message only."""
        if len(group) == 1:
            _fail(group, error)
            return
        for each, place in zip(group, places, strict=True):
            self._record([each], [place])

    def _batch(self, group: Sequence[_Sealed]) -> BatchOfKeys:
        batch = self._randomness(BATCH_ID_BYTES)
        key = BatchKey(self._randomness(KEY_BYTES))
        return BatchOfKeys(
            batch=batch,
            made_at=self._clock.now(),
            sealed_for=fingerprint(self._keys.capture_public),
            wrapped=wrap_batch_key(key, capture_public=self._keys.capture_public, batch=batch),
            message_keys=tuple(
                (
                    each.message,
                    wrap_message_key(
                        each.key,
                        batch_key=key,
                        batch=batch,
                        message=each.message,
                        nonce=self._randomness(NONCE_BYTES),
                    ),
                )
                for each in group
            ),
        )

    def _insert(self, connection: Connection, group: Sequence[_Sealed], places: Sequence[Place]) -> None:
        now = self._clock.now()
        if not self._keystore.has_keys([each.message for each in group]):
            raise StorageUnavailableError("the keys were swept away before the rows came")
        threads = _Threads(connection, self._keys.lookup_key)
        rows = [
            self._row(each, place, threads.joined_by(each.message, each.deposit.summary), now)
            for each, place in zip(group, places, strict=True)
        ]
        message_records.insert_many(connection, rows)
        mailboxes.file_many(connection, [filing for each in group for filing in _filings(each, now)])
        outbox.add_many(connection, [item for each in group for item in _items(each, now)])
        sealed_series.advance(connection, [each.deposit.arrival for each in group if each.deposit.arrival])
        audit_trail.append(connection, [fact for each in group for fact in _facts(each)], now=now)

    def _row(self, each: _Sealed, place: Place, thread: _Thread, now: datetime) -> MessageRow:
        received, lookup_key = each.deposit.received, self._keys.lookup_key
        sender = received.envelope.sender
        message = StoredMessage(
            id=each.message,
            received_at=received.received_at,
            origin=received.origin,
            size_bytes=len(received.content),
            conversation=thread.conversation,
            sender_index=b"" if sender is None else address_index(lookup_key, sender),
            author=received.peer.account,
            segment=place.segment,
            offset=place.offset,
            sealed_length=place.length,
            sealed_digest=each.digest,
            object_name=None,
            sealed_summary=each.sealed_summary,
        )
        recipients = [
            RecipientRow(
                position=position,
                address_index=address_index(lookup_key, plan.address),
                route=plan.route,
                state=plan.state,
                attempts=0,
                changed_at=now,
                sealed_detail=detail,
            )
            for position, (plan, detail) in enumerate(zip(each.deposit.recipients, each.sealed_details, strict=True))
        ]
        return MessageRow(message, thread.header_id_index, recipients)


@dataclass(frozen=True)
class _Thread:
    conversation: str
    header_id_index: bytes | None


class _Threads:
    """Which conversation each message of a group belongs to; a group may hold a message and its answer."""

    def __init__(self, connection: Connection, lookup_key: bytes) -> None:
        self._connection = connection
        self._lookup_key = lookup_key
        self._group: dict[bytes, str] = {}

    def joined_by(self, message: MessageId, summary: MessageSummary) -> _Thread:
        """The conversation of the nearest message that this one refers to and we hold; else one of its own."""
        referred = map(self._conversation_of, self._referred(summary))
        conversation = next((found for found in referred if found is not None), message)
        own = summary.header_message_id
        index = header_id_index(self._lookup_key, own) if own else None
        if index is not None:
            self._group.setdefault(index, conversation)
        return _Thread(conversation, index)

    def _conversation_of(self, index: bytes) -> str | None:
        return message_records.conversation_of(self._connection, index) or self._group.get(index)

    def _referred(self, summary: MessageSummary) -> list[bytes]:
        """Nearest first: References names the whole line of ancestors, oldest first (RFC 5322 section 3.6.4)."""
        nearest = summary.references[: -_ANCESTORS - 1 : -1]
        return [header_id_index(self._lookup_key, name) for name in nearest]


def _filings(each: _Sealed, now: datetime) -> Iterator[Filing]:
    """Two addresses of one person make one entry."""
    inboxes = dict.fromkeys(plan.mailbox for plan in each.deposit.recipients if plan.mailbox is not None)
    for mailbox in inboxes:
        yield Filing(mailbox, each.message, Folder.INBOX, now)
    if each.deposit.sent_mailbox is not None:
        yield Filing(each.deposit.sent_mailbox, each.message, Folder.SENT, now, seen=True)


def _items(each: _Sealed, now: datetime) -> Iterator[NewItem]:
    yield NewItem(Kind.PROMOTE, each.message, now)
    for work in each.deposit.follow_up:
        yield NewItem(work.kind, each.message, now, work.position)


def _facts(each: _Sealed) -> Iterator[AuditFact]:
    for fact in each.deposit.facts:
        yield fact if fact.object else replace(fact, object=each.message)


def _fail(group: Sequence[_Sealed], error: Exception) -> None:
    for each in group:
        refusal = StorageUnavailableError("the message could not be stored", fix="See the log and doctor.")
        refusal.__cause__ = error
        each.future.set_exception(refusal)
