"""Which sealed mail a restore needs: all that the rows name, but that of the dead; and where it is to come from.

Mostly from the backup. Where the object store is a server that outlived the box, and is kept, what lies there stays
where it is and only what is missing comes from the backup. That store is looked at and nothing is written to it: it may
have another appliance at work on it, until a person takes it over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from appliance.restore_choice import Choice
from archive import ledger_replay
from mailstore import message_records, part_records, restore_laying
from mailstore.backup_pack import Marks
from mailstore.database import Database
from mailstore.message import MessageId, StoredObject
from mailstore.object_store import ObjectStore
from mailstore.restore_plan import RestorePlan

WANTED = "objects wanted"
MISSING = "missing"


def put_down(plan: RestorePlan, choice: Choice, database: Database, kept: ObjectStore | None) -> None:
    """Put down in the plan what is needed. ``kept``: the store that is kept. ``ObjectStoreDownError``: it is away."""
    if plan.is_done(WANTED):
        return
    contents = choice.contents
    there = frozenset(kept.names()) if kept is not None else frozenset()
    needed = _needed(database, ledger_replay.dead_by(database, choice.ledger))
    gone = {name for name, why in contents.absent if why == "destroyed"}
    absent = _noted(plan, needed, there) if there else needed
    wanted = restore_laying.wanted_of_objects(absent, Marks(contents.mark_key))
    lost = sorted(each.name for each in plan.want(wanted) if each.name not in gone)
    plan.note(MISSING, " ".join(lost))
    plan.note(WANTED)


def _noted(plan: RestorePlan, needed: Iterable[StoredObject], there: Collection[str]) -> Iterator[StoredObject]:
    """Note what lies in the kept store; the rest is to come."""
    for each in needed:
        if each.name in there:
            plan.keep(each.name)
        else:
            yield each


def _needed(database: Database, dead: Collection[MessageId]) -> Iterator[StoredObject]:
    """Every object that the rows need for what is alive; of shared parts all, for nobody has counted them yet."""
    with database.read() as connection:
        for message in message_records.all_messages(connection):
            if message.object is not None and message.id not in dead:
                yield message.object
        for part in part_records.all_parts(connection):
            yield part.object
