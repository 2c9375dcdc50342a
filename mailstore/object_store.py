"""The port behind which sealed objects lie; every adapter passes one contract suite.

Only sealed bytes ever come here, under names from ``object_layout``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol


class ObjectStore(Protocol):
    """Keeps whole objects under names. A name is written once and never again.

    Every call raises ``StorageUnavailableError`` when the store cannot do it now, and ``RefusedError`` for a
    name that we do not make.
    """

    def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` durably and whole, or not at all. ``RefusedError`` when the name is taken."""
        ...

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        """As ``put`` for several objects at the price of fewer syncs. When it raises, some may be there."""
        ...

    def get(self, name: str) -> bytes:
        """The whole object. ``NotFoundError`` when there is none by that name."""
        ...

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``. ``NotFoundError``, or ``TamperedError`` when it is shorter."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object and every version of it, durably. Nothing there: nothing to do."""
        ...

    def exists(self, name: str) -> bool:
        """True when the object, or any version of it, is there."""
        ...

    def names(self, beginning: str = "") -> Iterator[str]:
        """The name of every object, or of those that begin with one or two letters, in no order."""
        ...
