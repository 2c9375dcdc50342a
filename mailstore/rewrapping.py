"""Seals the keys of batches to the pair that mail is sealed to now. Keys of messages and bodies are not touched.

Each batch is compared and swapped: one that somebody else changed or removed meanwhile is left alone, and a message
whose key was destroyed has no row here that could bring it back. Cut off anywhere, it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailstore.errors import TamperedError, WrongKeyError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import KeyRing, fingerprint, unwrap_batch_key, wrap_batch_key
from mailstore.keystore import BatchOfKeys, Keystore, RewrappedBatch

PAGE = 200


@dataclass(frozen=True)
class Rewrapped:
    """What came of it. ``unopened``: batches that no pair of the ring opens, in hexadecimal; they stay as they are."""

    done: int
    unopened: tuple[str, ...]


class Rewrapping:
    """Goes through the batches of a keystore that are sealed to another pair than the present one."""

    def __init__(self, keystore: Keystore, ring: KeyRing) -> None:
        self._keystore = keystore
        self._public = ring.capture.public
        self._pairs = {fingerprint(pair.public): pair for pair in ring.captures}

    def waiting(self) -> int:
        """How many batches are sealed to another pair."""
        present = fingerprint(self._public)
        return sum(count for pair, count in self._keystore.pairs_named().items() if pair != present)

    def run(self, tell: Callable[[int], None]) -> Rewrapped:
        """Until no batch is left that can be opened; then nothing of how they were wrapped is left in any file.

        ``tell`` hears after each page how many were done. ``StorageUnavailableError`` for what the keystore cannot do
        now: run it again.
        """
        done, unopened = 0, []
        for page in self._pages():
            swapped = []
            for batch in page:
                try:
                    swapped.append(self._rewrapped(batch))
                except (WrongKeyError, TamperedError):
                    unopened.append(batch.batch.hex())
            done += self._keystore.rewrap(swapped)
            reached("rewrapping.after_page")
            tell(done)
        self._keystore.forget_old_wraps()
        return Rewrapped(done, tuple(unopened))

    def _pages(self) -> Iterator[list[BatchOfKeys]]:
        after, present = b"", fingerprint(self._public)
        while page := self._keystore.batches_not_for(present, after=after, at_most=PAGE):
            yield page
            after = page[-1].batch

    def _rewrapped(self, batch: BatchOfKeys) -> RewrappedBatch:
        pair = self._pairs.get(batch.sealed_for)
        if pair is None:
            raise WrongKeyError(f"keystore row batches/{batch.batch.hex()} was sealed for another key ring")
        key = unwrap_batch_key(batch.wrapped, capture=pair, batch=batch.batch, sealed_for=batch.sealed_for)
        wrapped = wrap_batch_key(key, capture_public=self._public, batch=batch.batch)
        return RewrappedBatch(batch.batch, was=batch.wrapped, sealed_for=fingerprint(self._public), wrapped=wrapped)
