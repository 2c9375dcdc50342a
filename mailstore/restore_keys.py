"""Puts a keystore together from generations of keys: what is dead never gets in, and what has no data is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from mailstore import message_pages, message_records
from mailstore.backup_contents import KeysContents, KeyTotals
from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.failpoint import reached
from mailstore.keystore import BatchOfKeys, Destroyed, KeptKey, Keystore
from mailstore.message import MessageId
from mailstore.restore_source import ELSEWHERE, RestoreSource

_AT_ONCE = 500
_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class RestoredKeys:
    """How many keys were kept, and how many were left out: of mail that these rows do not know, or that is dead."""

    kept: int
    without_data: int
    dead: int


def restore(
    source: RestoreSource,
    chain: Sequence[KeysContents],
    keystore: Keystore,
    database: Database,
    *,
    dead: Mapping[MessageId, datetime],
) -> RestoredKeys:
    """Fill a new, empty keystore. ``dead``: what the newest ledger says destroyed; it gets a mark and no key.

    Raises ``TamperedError`` when what the generations come to is not what they say: one is missing or was changed.
    """
    ids: set[MessageId] = set()
    batches: set[bytes] = set()
    marks: dict[MessageId, Destroyed] = {}
    for contents in reversed(chain):
        for some in _batches(source.key_records(contents)):
            keystore.adopt(batches=[each for each in some if isinstance(each, BatchOfKeys)])
            batches.update(each.batch for each in some if isinstance(each, BatchOfKeys))
            ids.update(each.message for each in some if isinstance(each, KeptKey))
            marks.update({each.message: each for each in some if isinstance(each, Destroyed)})
    totals = KeyTotals(len(batches), len(ids - marks.keys()), len(marks))
    if totals != chain[-1].totals:
        raise TamperedError("the generations of keys do not come to what they say", fix=ELSEWHERE)
    reached("restore_keys.after_batches")
    gone = {**{each: Destroyed(each, at, is_proved=True) for each, at in dead.items()}, **marks}
    for some_marks in _batches(gone.values()):
        keystore.adopt(marks=some_marks)
    kept = sum(_keys_kept(source, contents, keystore, database, gone) for contents in reversed(chain))
    reached("restore_keys.after_keys")
    alive = ids - gone.keys()
    return RestoredKeys(kept, len(alive) - kept, len(ids) - len(alive))


def without_key(keystore: Keystore, database: Database) -> Iterator[MessageId]:
    """The messages that the rows have and for which there is neither a key nor a mark of its destruction."""
    for page in message_pages.all_messages(database, lambda _count: None):
        if not keystore.has_keys(page):
            yield from (each for each in page if not keystore.has_key(each) and not keystore.is_destroyed(each))


def _keys_kept(
    source: RestoreSource,
    contents: KeysContents,
    keystore: Keystore,
    database: Database,
    gone: Mapping[MessageId, Destroyed],
) -> int:
    """The newest generation comes first: a key that is there already is the newer one."""
    kept = 0
    for some in _batches(source.key_records(contents)):
        keys = [each for each in some if isinstance(each, KeptKey) and each.message not in gone]
        with database.read() as connection:
            known = message_records.known_ids(connection, [each.message for each in keys])
        new = [each for each in keys if each.message in known and not keystore.has_key(each.message)]
        keystore.adopt(kept_keys=new)
        kept += len(new)
    return kept


def _batches(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    every = iter(things)
    while some := list(islice(every, _AT_ONCE)):
        yield some
