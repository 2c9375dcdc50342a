"""The port of the keystore: the wrapped message keys, in a database of their own. Backups of the data hold none.

Each row is bound to its batch and message by the encryption itself (``key_hierarchy``): a changed or swapped row
does not unwrap and is named. Destroying a row is the point from which a message is unreadable everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from mailstore.message import MessageId

BEYOND_ALL_IDS: Final = "~"
"""Sorts behind every id."""


@dataclass(frozen=True)
class BatchOfKeys:
    """The keys of one group commit, all wrapped: what the depositing role hands over."""

    batch: bytes
    made_at: datetime
    sealed_for: bytes
    wrapped: bytes = field(repr=False)
    message_keys: tuple[tuple[MessageId, bytes], ...] = field(repr=False)


@dataclass(frozen=True)
class RewrappedBatch:
    """A batch key sealed anew, for the pair with the fingerprint ``sealed_for``. ``was``: what it replaces."""

    batch: bytes
    was: bytes = field(repr=False)
    sealed_for: bytes
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True)
class WrappedKey:
    """One message's key and the batch key it is wrapped under, both still wrapped."""

    message: MessageId
    batch: bytes
    sealed_for: bytes
    wrapped_batch_key: bytes = field(repr=False)
    wrapped_message_key: bytes = field(repr=False)


@dataclass(frozen=True)
class KeptKey:
    """One message's key as it is kept."""

    message: MessageId
    batch: bytes
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True)
class Destroyed:
    """The mark that is left of a destroyed key. ``is_proved``: that no file holds it any more was looked at."""

    message: MessageId
    at: datetime
    is_proved: bool


@dataclass(frozen=True)
class HighWater:
    """How far the rows had come when the keystore last saw them: their audit entries, and the hash of the last."""

    entries: int
    leaf: bytes = field(repr=False)


@dataclass(frozen=True)
class KeystoreCopy:
    """What a keystore held at one moment: how much of each, which capture keys it needs, and the rows asked for."""

    batch_count: int
    key_count: int
    mark_count: int
    sealed_for: frozenset[bytes]
    batches: tuple[BatchOfKeys, ...] = field(repr=False)
    keys: tuple[KeptKey, ...] = field(repr=False)
    marks: tuple[Destroyed, ...] = field(repr=False)


class Keystore(Protocol):
    """An open keystore. May be used from many threads, and by several processes at once."""

    def close(self) -> None:
        """Give its files or connections back."""

    def add_batch(self, wrapped: BatchOfKeys) -> None:
        """Keep a batch durably: all of its keys or none. ``RefusedError`` when one belongs to a destroyed message."""

    def wrapped_key(self, message: MessageId) -> WrappedKey:
        """A message's key, wrapped. ``DestroyedError`` after its destruction, ``NotFoundError`` if there never was one.

        ``TamperedError`` when its batch is missing.
        """

    def has_key(self, message: MessageId) -> bool:
        """True while the message's key exists."""

    def has_keys(self, messages: Sequence[MessageId]) -> bool:
        """True while every one of these messages' keys exists. For at most a few hundred messages."""

    def is_destroyed(self, message: MessageId) -> bool:
        """True when the message's key was destroyed."""

    def destroyed(self) -> Iterator[MessageId]:
        """Every message whose key was destroyed, in the order of their ids."""

    def destroyed_at(self, message: MessageId) -> datetime | None:
        """When the message's key was destroyed; None when it was not."""

    def messages_keyed_before(
        self, instant: datetime, *, since: str = "", until: str = BEYOND_ALL_IDS
    ) -> Iterator[MessageId]:
        """The messages whose keys were made before an instant, in the order of their ids.

        Only ids between the beginnings of ids ``since`` and ``until``, the second one not included.
        """

    def destroy(self, messages: Sequence[MessageId], *, at: datetime) -> None:
        """Destroy the keys of ``messages``: from here on nobody can read them, whatever copies there are.

        The rows die in one durable transaction that leaves a tombstone each, id and time only; then the files are
        rid of what the rows were, and that is proved. Whatever does not succeed is ``StorageUnavailableError``: run
        it again, it converges.
        """

    def high_water(self) -> HighWater | None:
        """What was noted of the rows; None before the first time."""

    def set_high_water(self, seen: HighWater) -> None:
        """Note how far the rows have come. A mark that is further stays."""

    def take_high_water(self, seen: HighWater) -> None:
        """Note how far the rows have come, also where a mark is further: for older rows that a person accepted."""

    def remnants(self, wrapped: Iterable[bytes]) -> bool:
        """True when any of these wrapped keys can still be found, in rows or in files that we may read."""

    def shortcomings(self) -> list[str]:
        """What stands in the way of destroying keys for good here, in plain words; nothing, when all is well."""

    def cautions(self) -> list[str]:
        """Where dead keys may live on outside the keystore, for a person to look after."""

    def unmake(self) -> None:
        """Leave the place as empty as ``create`` found it: for a beginning that failed, while nothing is kept."""

    def pairs_named(self) -> dict[bytes, int]:
        """How many batches are sealed to each capture pair, by the fingerprint of its public half."""

    def batches_not_for(self, pair: bytes, *, after: bytes, at_most: int) -> list[BatchOfKeys]:
        """Batches sealed to another pair than this, behind an id, in the order of their ids, without message keys."""

    def rewrap(self, batches: Sequence[RewrappedBatch]) -> int:
        """Swap those that are still what they were, in one durable transaction: how many. No key is made or moved."""

    def forget_old_wraps(self) -> None:
        """See to it that no file of the keystore holds what batches were wrapped as before they were swapped.

        ``StorageUnavailableError`` when that cannot be done now: call it again.
        """

    def batches(self) -> Iterator[BatchOfKeys]:
        """Every batch without its message keys, in the order of their ids: for a move."""

    def kept_keys(self) -> Iterator[KeptKey]:
        """Every message key, in the order of the messages' ids: for a move."""

    def marks(self) -> Iterator[Destroyed]:
        """The mark of every destroyed key, in the order of the messages' ids: for a move."""

    def copied(self, since: datetime | None = None) -> KeystoreCopy:
        """All that the keystore holds, of one moment: for backups.

        ``since``: only the batches that were made then or later, their keys, and the marks made then or later.
        """
        ...

    def adopt(
        self,
        *,
        batches: Sequence[BatchOfKeys] = (),
        kept_keys: Sequence[KeptKey] = (),
        marks: Sequence[Destroyed] = (),
    ) -> None:
        """Keep what another keystore gave; what is here already stays as it is. Its batch comes before a key."""
