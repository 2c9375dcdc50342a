"""The object store of a directory that was opened before all of its objects were brought back from a backup.

What is still to come counts as there: nobody may take it for lost, nor hang it up anew under another name. To read it
is refused for now, and has it brought sooner. To remove it ends the wait for it first, so that nothing that was
destroyed is laid down afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mailstore.errors import BeingRestoredError, NotFoundError, RefusedError
from mailstore.object_layout import checked_object_name
from mailstore.object_store import ObjectStore
from mailstore.restore_plan import RestorePlan


class AwaitedObjects:
    """One object store, and the plan of a restore that fills it. Raises as the port says."""

    def __init__(self, store: ObjectStore, plan: RestorePlan) -> None:
        self._store = store
        self._plan = plan

    @classmethod
    def over(cls, store: ObjectStore, plan: Path) -> ObjectStore:
        """The store itself where no restore is under way."""
        found = RestorePlan.existing(plan)
        return store if found is None else cls(store, found)

    def put(self, name: str, data: bytes) -> None:
        """Keep it. ``RefusedError`` for a name that is awaited."""
        self.put_all({name: data})

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        """As ``put`` for several."""
        for name in objects:
            if self._plan.awaits(checked_object_name(name)):
                raise RefusedError(f"object {name} is being restored")
        self._store.put_all(objects)

    def get(self, name: str) -> bytes:
        """The whole object. ``BeingRestoredError`` for one that is to come: it comes sooner then."""
        try:
            return self._store.get(name)
        except NotFoundError:
            self._refuse_awaited(name)
        return self._store.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """A part of it. Raises as ``get``."""
        try:
            return self._store.get_range(name, offset, length)
        except NotFoundError:
            self._refuse_awaited(name)
        return self._store.get_range(name, offset, length)

    def delete(self, name: str) -> None:
        """Wait for it no more, then remove it."""
        self._plan.forget(checked_object_name(name))
        self._store.delete(name)

    def exists(self, name: str) -> bool:
        """True when it is there or to come."""
        return self._plan.awaits(checked_object_name(name)) or self._store.exists(name)

    def names(self, beginning: str = "") -> Iterator[str]:
        """What is there and what is to come; one that comes at this moment may be named twice."""
        yield from self._store.names(beginning)
        yield from self._plan.awaited(beginning)

    def _refuse_awaited(self, name: str) -> None:
        """Returns for one that was laid down just now, and for one that never was."""
        if self._plan.awaits(name):
            self._plan.ask_for(name)
            raise BeingRestoredError(
                f"object {name} is being restored", fix="try again in a minute: what is asked for is brought first"
            )
