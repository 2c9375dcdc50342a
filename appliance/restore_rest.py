"""The sealed mail that a restore still brings back while the appliance that it made is at work already.

``restore`` opens the directory as soon as keys, rows and ledgers stand, and lays the mail down after that: a box takes
mail again long before the last byte is there. Cut off, the worker of the running appliance goes on with it by itself,
or the same ``restore`` said again. One process at a time does it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from appliance import backup_wiring, drill_wiring, object_store_wiring
from appliance.backup_settings import BackupTargetSettings
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from mailstore import restore_laying
from mailstore.backup_listing import GenerationKind
from mailstore.errors import BeingRestoredError, NotFoundError, RefusedError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.object_store import ObjectStore
from mailstore.restore_plan import RestorePlan
from mailstore.restore_source import RestoreSource

_PLACE = "place"
_DATA = "data"

Tell = Callable[[int, int], None]


class BusyError(RefusedError):
    """Another process lays the mail down."""

    code = "restore_busy"


class _StoppedError(StorageUnavailableError):
    """The process ends."""


@dataclass(frozen=True)
class ToCome:
    """How much sealed mail is still to be brought back: objects, and the bytes in them."""

    objects: int
    bytes: int


def to_come(data: DataDirectory) -> ToCome | None:
    """What is still to come; None when nothing is."""
    plan = RestorePlan.existing(data.restore_plan)
    if plan is None:
        return None
    with closing(plan):
        return ToCome(*plan.to_come())


def names_to_come(data: DataDirectory, *, most: int) -> list[str]:
    """The first of the objects that are still to come, by name."""
    plan = RestorePlan.existing(data.restore_plan)
    if plan is None:
        return []
    with closing(plan):
        return list(islice(plan.awaited(), most))


def require_whole(data: DataDirectory, what: str) -> None:
    """Raise ``BeingRestoredError`` while mail is still brought back; ``what`` needs all of it."""
    left = to_come(data)
    if left is not None:
        raise BeingRestoredError(
            f"{what} needs all mail, and {left.objects:,} objects are still being restored",
            fix="wait until they are there: strongroom doctor says how far it is",
        )


def note_place(plan: RestorePlan, place: BackupTargetSettings) -> None:
    """Put down where the target is, so that the worker can go on."""
    plan.note(_PLACE, json.dumps(asdict(place)))


@contextmanager
def turn(data: DataDirectory) -> Iterator[None]:
    """Be the one process that lays mail down. ``BusyError`` when another one does."""
    descriptor = os.open(data.restore_turn, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                "the sealed mail is being laid down by another process already",
                fix="let it: strongroom doctor says how far it is",
            ) from None
        yield
    finally:
        os.close(descriptor)


def lay(
    data: DataDirectory, plan: RestorePlan, source: RestoreSource, tell: Tell, *, store: ObjectStore | None = None
) -> None:
    """Lay down all that is still wanted, in one's ``turn``, and be done with the plan. ``store``: into that server.

    What a kept store holds counts as come at once: ``restore`` may have been cut off before it said so.
    Raises ``TamperedError`` naming what is not what was written, ``StorageUnavailableError``: say it again.
    """
    plan.let_kept()
    generation = source.generation(GenerationKind.DATA, int(plan.fact(_DATA) or 0))
    if generation is None:
        raise NotFoundError(f"{source.url} does not hold the backup of the data that was begun with any more")
    mark_key = source.data_contents(generation).mark_key
    shelf = None if store is None else partial(_put_once, store)
    restore_laying.lay(plan, source, data.path, mark_key=mark_key, tell=tell, shelf=shelf)
    reached("restore.after_objects")
    plan.remove()
    data.restore_turn.unlink()


def go_on(appliance: Appliance, *, should_stop: Callable[[], bool]) -> bool:
    """Go on with what is left, from the target that the restore was begun with. True when nothing is left.

    False while another process does it, or when the appliance ends. Raises as ``lay``, and ``RefusedError`` where the
    plan does not say where the target is: then only ``restore`` can go on.
    """

    def told(_done: int, _of: int) -> None:
        if should_stop():
            raise _StoppedError("the process ends; what is left is brought at the next start")

    plan = RestorePlan.existing(appliance.data.restore_plan)
    if plan is None:
        return True
    with closing(plan):
        try:
            with turn(appliance.data):
                lay(appliance.data, plan, _source(appliance, plan), told, store=_server(appliance))
        except (_StoppedError, BusyError):
            return False
    return True


def _put_once(store: ObjectStore, name: str, aside: Path) -> None:
    """Cut off before that was noted, it is there already."""
    data = aside.read_bytes()
    if not (store.exists(name) and store.get(name) == data):
        store.put(name, data)


def _server(appliance: Appliance) -> ObjectStore | None:
    if not appliance.settings.object_store.url:
        return None
    return object_store_wiring.server(appliance.data, appliance.settings, appliance.ring.row_key)


def _source(appliance: Appliance, plan: RestorePlan) -> RestoreSource:
    noted = plan.fact(_PLACE)
    if noted is None:
        raise RefusedError(
            "the plan of the restore does not say where the backups are", fix="run the same restore again"
        )
    target = backup_wiring.target(appliance.data, BackupTargetSettings(**json.loads(noted)))
    return RestoreSource.of_practice(
        target, appliance.ring, drill_wiring.piece_opener(appliance), audit_public=appliance.signer.audit_public
    )
