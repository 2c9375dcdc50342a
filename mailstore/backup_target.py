"""The port of a place that backups go to; both adapters pass one contract suite.

Names come from ``backup_listing`` and are written once. Nothing here can tell what is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class BackupTarget(Protocol):
    """A directory or a bucket.

    Every call raises ``StorageUnavailableError`` when the target cannot do it now, and ``RefusedError`` for a name that
    the format does not give.
    """

    @property
    def url(self) -> str:
        """Where it is, as people name it; no secret is in it."""

    @property
    def may_remove(self) -> bool:
        """True where we remove what is too old; False where the place itself has to."""

    def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` durably and whole, read back and compared; or not at all.

        There already, with the same bytes: nothing to do. ``RefusedError`` when other bytes are there.
        """

    def get(self, name: str) -> bytes:
        """The whole file. ``NotFoundError`` when there is none by that name."""

    def held(self, beginning: str) -> Iterator[tuple[str, int]]:
        """Name and length of every file whose name begins so, in no order."""

    def remove(self, name: str) -> None:
        """Remove a file, durably. Nothing there: nothing to do. ``RefusedError`` where ``may_remove`` is not so."""

    def tidy(self, *, before: float) -> None:
        """Clear away what was begun before that time (seconds since 1970) and never finished."""

    def days_until_removed(self, beginning: str) -> int | None:
        """After how many days the place itself removes files whose names begin so; None when it does not say."""
