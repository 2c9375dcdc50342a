"""When a dictionary of the practice's mail is made, from which mail, and when an old one goes.

The first is made at a thousand messages. Each time the mail has doubled since, a new one is made from the newest mail
and taken when it packs mail it has not seen at least a twentieth smaller than the one in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from mailstore import dictionary_records, message_records
from mailstore.database import Database
from mailstore.dictionary_records import MailDictionaries
from mailstore.errors import DestroyedError, NotFoundError, StrongroomError
from mailstore.keystore import Keystore
from mailstore.mail_dictionary import READ_BYTES, Sample, dictionary_text
from mailstore.message import StoredMessage
from mailstore.message_keys import MessageKeys
from mailstore.recipe import Verbatim, pieces_of
from mailstore.retrieval import Retrieval
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock

FIRST_AT_MESSAGES = 1_000
SAMPLES = 1_500
"""Of the newest messages: about ten seconds of processor time and 150 MB of memory, while the dictionary is made."""

_HELD_OUT_EVERY = 10
_BETTER_BY = 0.05
_LARGEST_BYTES = 256 * 1024
"""Messages beyond this are mostly files; they are not opened for the little text in them."""

_TRIAL_LEVEL = 9


@dataclass(frozen=True)
class Trained:
    """What a run came to. ``is_new``: a dictionary was made. ``destroyed``: old ones that nothing needed any more."""

    is_new: bool
    destroyed: int


class DictionaryTraining:
    """The clock's duty to keep a dictionary that fits. Of one worker."""

    def __init__(
        self,
        database: Database,
        keystore: Keystore,
        retrieval: Retrieval,
        keys: MessageKeys,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._retrieval = retrieval
        self._keys = keys
        self._dictionaries = MailDictionaries(database, keys)
        self._clock = clock
        self._randomness = randomness
        self._not_before = 0

    def run(self) -> Trained:
        """Make a dictionary when it is due, and destroy those that went out of use. Mostly two short queries.

        Raises ``StorageUnavailableError``; a message that does not open is left out.
        """
        with self._database.read() as connection:
            messages_now = message_records.count(connection)
            looked_at = dictionary_records.messages_then(connection)
        due_at = FIRST_AT_MESSAGES if looked_at is None else 2 * looked_at
        is_due = messages_now >= max(due_at, self._not_before)
        is_new = is_due and self._look(messages_now)
        destroyed = dictionary_records.destroy_unused(self._database, self._keystore, clock=self._clock)
        return Trained(is_new, destroyed)

    def _look(self, messages_now: int) -> bool:
        self._not_before = 2 * messages_now
        samples = self._samples()
        seen = [sample for number, sample in enumerate(samples) if number % _HELD_OUT_EVERY]
        text = dictionary_text(seen)
        if text and self._is_better(text, samples[::_HELD_OUT_EVERY]):
            dictionary_records.add(
                self._database,
                self._keys,
                text,
                messages_now=messages_now,
                clock=self._clock,
                randomness=self._randomness,
            )
            return True
        with self._database.write() as connection:
            dictionary_records.set_looked(connection, messages_now)
        return False

    def _samples(self) -> list[Sample]:
        with self._database.read() as connection:
            newest = message_records.newest(connection, SAMPLES)
        found = (self._sample(stored) for stored in newest if stored.size_bytes <= _LARGEST_BYTES)
        return [sample for sample in found if sample is not None]

    def _sample(self, stored: StoredMessage) -> Sample | None:
        try:
            content = self._retrieval.content_of(stored)
        except (NotFoundError, DestroyedError):
            return None
        except StrongroomError as error:
            if error.retry_may_help:
                raise
            return None
        text = b"".join(piece.data for piece in pieces_of(content) if isinstance(piece, Verbatim))
        return Sample(text[:READ_BYTES], stored.conversation, stored.sender_index)

    def _is_better(self, text: bytes, unseen: Sequence[Sample]) -> bool:
        current = self._dictionaries.newest()
        before = _packed_bytes(b"" if current is None else current.content, unseen)
        return _packed_bytes(text, unseen) <= before * (1 - _BETTER_BY)


def _packed_bytes(text: bytes, samples: Sequence[Sample]) -> int:
    dictionary = zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if text else None
    packer = zstandard.ZstdCompressor(level=_TRIAL_LEVEL, dict_data=dictionary)
    return sum(len(packer.compress(sample.text)) for sample in samples)
