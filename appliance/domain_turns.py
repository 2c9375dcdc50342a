"""How many conversations one domain's servers have to bear from us at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class DomainTurns:
    """Counts conversations by domain. For one event loop; not shared between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._talking: Counter[str] = Counter()

    @contextmanager
    def turn(self, domain: str) -> Iterator[bool]:
        """True inside when a conversation may begin; False when the domain is busy."""
        if self._talking[domain] >= self._limit:
            yield False
            return
        self._talking[domain] += 1
        try:
            yield True
        finally:
            self._talking[domain] -= 1
            if not self._talking[domain]:
                del self._talking[domain]
