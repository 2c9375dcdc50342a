"""How a group of up to 64 messages becomes ours; every step is durable before the next begins.

1. The sealed objects are appended to the spool, one ``fdatasync``.
2. Their keys, wrapped under a fresh batch key, go into the keystore, one transaction.
3. One transaction of the row database: messages, recipients, mailbox entries, follow-up work, audit entries.

Only then may anybody say ``250`` (RFC 5321 section 6.1). A failure or a crash before 3 leaves sealed bytes and perhaps
keys without a row: nobody was promised anything, and ``orphan_sweep`` clears them away. A crash after 3 leaves a whole
message that nobody was told about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from mailstore import audit_trail, mailboxes, message_records, outbox, sealed_series
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import BATCH_ID_BYTES, BatchKey, fingerprint, wrap_batch_key, wrap_message_key
from mailstore.keystore import BatchOfKeys, Keystore
from mailstore.mailboxes import Filing, Folder
from mailstore.message import StoredMessage
from mailstore.message_columns import MessageRow, RecipientRow
from mailstore.outbox import Kind, NewItem
from mailstore.sealed_deposit import SealedDeposit
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness
from mailstore.spool import Place, SpoolWriter
from mailstore.wall_clock import Clock

_Failures = Sequence[Exception | None]


class GroupCommit:
    """Writes groups with the public half of the capture key: nothing here opens what was written. For one thread."""

    def __init__(
        self,
        spool: SpoolWriter,
        keystore: Keystore,
        database: Database,
        *,
        capture_public: bytes,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._spool = spool
        self._keystore = keystore
        self._database = database
        self._capture_public = capture_public
        self._clock = clock
        self._randomness = randomness

    def store(self, group: Sequence[SealedDeposit]) -> _Failures:
        """As ``Committing`` says."""
        try:
            places = self._spool.append([each.sealed for each in group])
            reached("deposit.after_spool")
            self._keystore.add_batch(self._batch(group))
            reached("deposit.after_keystore")
        except Exception as error:  # noqa: BLE001 -- whatever it was, the senders must be told, and the writer go on
            return [error] * len(group)
        return self._record(group, places)

    def close(self) -> None:
        """Give the spool segment up."""
        self._spool.close()

    def _record(self, group: Sequence[SealedDeposit], places: Sequence[Place]) -> _Failures:
        try:
            with self._database.write() as connection:
                self._insert(connection, group, places)
            reached("deposit.after_rows")
        except (StorageUnavailableError, TamperedError) as error:
            return [error] * len(group)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the senders must be told, and the writer go on
            return self._record_one_by_one(group, places, error)
        return [None] * len(group)

    def _record_one_by_one(
        self, group: Sequence[SealedDeposit], places: Sequence[Place], error: Exception
    ) -> _Failures:
        """A row that cannot be written harms its own message only."""
        if len(group) == 1:
            return [error]
        return [self._record([each], [place])[0] for each, place in zip(group, places, strict=True)]

    def _batch(self, group: Sequence[SealedDeposit]) -> BatchOfKeys:
        batch = self._randomness(BATCH_ID_BYTES)
        key = BatchKey(self._randomness(KEY_BYTES))
        nonces = self._randomness(NONCE_BYTES * len(group))
        return BatchOfKeys(
            batch=batch,
            made_at=self._clock.now(),
            sealed_for=fingerprint(self._capture_public),
            wrapped=wrap_batch_key(key, capture_public=self._capture_public, batch=batch),
            message_keys=tuple(
                (
                    each.message,
                    wrap_message_key(
                        each.key,
                        batch_key=key,
                        batch=batch,
                        message=each.message,
                        nonce=nonces[number * NONCE_BYTES : (number + 1) * NONCE_BYTES],
                    ),
                )
                for number, each in enumerate(group)
            ),
        )

    def _insert(self, connection: Connection, group: Sequence[SealedDeposit], places: Sequence[Place]) -> None:
        now = self._clock.now()
        if not self._keystore.has_keys([each.message for each in group]):
            raise StorageUnavailableError("the keys were swept away before the rows came")
        threads = _Threads(connection)
        rows = [_row(each, place, threads.joined_by(each), now) for each, place in zip(group, places, strict=True)]
        sealed_series.advance(connection, [each.arrival for each in group if each.arrival])
        with self._database.together(connection):
            message_records.insert_many(connection, rows)
            mailboxes.file_many(connection, [filing for each in group for filing in _filings(each, now)])
            outbox.add_many(connection, [item for each in group for item in _items(each, now)])
            audit_trail.append(connection, [fact for each in group for fact in _facts(each)], now=now)


class _Threads:
    """Which conversation each message of a group belongs to; a group may hold a message and its answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._group: dict[bytes, str] = {}

    def joined_by(self, each: SealedDeposit) -> str:
        """The conversation of the nearest message that this one refers to and we hold; else one of its own."""
        referred = map(self._conversation_of, each.referred)
        conversation = next((found for found in referred if found is not None), each.message)
        if each.header_id_index is not None:
            self._group.setdefault(each.header_id_index, conversation)
        return conversation

    def _conversation_of(self, index: bytes) -> str | None:
        return message_records.conversation_of(self._connection, index) or self._group.get(index)


def _row(each: SealedDeposit, place: Place, conversation: str, now: datetime) -> MessageRow:
    message = StoredMessage(
        id=each.message,
        received_at=each.received_at,
        origin=each.origin,
        size_bytes=each.size_bytes,
        conversation=conversation,
        sender_index=each.sender_index,
        author=each.author,
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
            address_index=recipient.address_index,
            route=recipient.route,
            state=recipient.state,
            attempts=0,
            changed_at=now,
            sealed_detail=recipient.sealed_detail,
        )
        for position, recipient in enumerate(each.recipients)
    ]
    return MessageRow(message, each.header_id_index, recipients)


def _filings(each: SealedDeposit, now: datetime) -> Iterator[Filing]:
    """Two addresses of one person make one entry."""
    inboxes = dict.fromkeys(recipient.mailbox for recipient in each.recipients if recipient.mailbox is not None)
    for mailbox in inboxes:
        yield Filing(mailbox, each.message, Folder.JUNK if each.is_junk else Folder.INBOX, now)
    if each.sent_mailbox is not None:
        yield Filing(each.sent_mailbox, each.message, Folder.SENT, now, seen=True)


def _items(each: SealedDeposit, now: datetime) -> Iterator[NewItem]:
    yield NewItem(Kind.PROMOTE, each.message, now)
    for kind, position in each.follow_up:
        yield NewItem(kind, each.message, now, position)


def _facts(each: SealedDeposit) -> Iterator[AuditFact]:
    for fact in each.facts:
        yield fact if fact.object else replace(fact, object=each.message)
