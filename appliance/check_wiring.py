"""Puts together what checks and repairs need, from an open appliance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from appliance import archive_wiring, schema
from appliance.front_door_wiring import RANDOMNESS
from appliance.wiring import Appliance
from archive import disposal_records
from archive.archive_check import ArchiveStores
from archive.archive_repair import ArchiveRepair
from archive.disposal_records import ItemState
from archive.index_care import RebuildMark
from mailstore.consistency_check import Stores
from mailstore.consistency_problem import Finding
from mailstore.consistency_repair import Repair
from mailstore.dictionary_records import MailDictionaries
from mailstore.message import MessageId
from mailstore.part_records import PartLinks
from mailstore.scrub import Scrub

ACCEPTED_EVENTS = ("message.accepted",)
"""The audit events that say a message became ours."""

_BEGUN = frozenset({ItemState.DESTROYING, ItemState.DESTROYED})


def stores(appliance: Appliance) -> Stores:
    """Rows, keys, objects and the audit log, to be held against each other."""
    links = PartLinks(appliance.ring.archive_key, RANDOMNESS)
    return Stores(
        database=appliance.database,
        keystore=appliance.keystore,
        spool_directory=appliance.data.spool,
        objects=appliance.objects,
        audit_public_key=appliance.signer.audit_public,
        checkpoints_path=appliance.data.checkpoints,
        prove_key=appliance.retrieval.prove_key,
        metadatas=schema.METADATAS[1:],
        is_dying=lambda message: _is_dying(appliance, message),
        prove_dictionary=lambda number: _prove_dictionary(appliance, number),
        miscounted_parts=links.problems,
        users_of_part=links.users,
    )


def archive_stores(appliance: Appliance) -> ArchiveStores:
    """The archive, its index, its holds and its disposals."""
    desk = archive_wiring.desk(appliance)
    return ArchiveStores(
        database=appliance.database,
        opened=lambda: archive_wiring.index(appliance),
        rebuild_mark=RebuildMark(appliance.data.rebuild_mark),
        due_records=desk.due_records,
        guarding=desk.guarding,
    )


def repairs(appliance: Appliance, *, is_alone: bool) -> tuple[Callable[[Finding], bool], ...]:
    """What mends findings. ``is_alone``: no other process works on this directory meanwhile."""
    store = Repair(stores(appliance), appliance.clock, is_alone)
    archive = ArchiveRepair(
        stores=archive_stores(appliance),
        holds=archive_wiring.desk(appliance).holds,
        care=archive_wiring.index_care(appliance, archive_wiring.intake(appliance)),
        clock=appliance.clock,
    )
    return store.mended, archive.mended


def scrub(appliance: Appliance) -> Scrub:
    """What reads every sealed byte in the background."""
    held = stores(appliance)
    repair = Repair(held, appliance.clock, is_alone=False)
    return Scrub(held, repair.mended, clock=appliance.clock, period=scrub_period(appliance))


def scrub_period(appliance: Appliance) -> timedelta:
    """In which time every byte has to be read."""
    return timedelta(days=appliance.settings.check.scrub_days)


def _prove_dictionary(appliance: Appliance, number: int) -> None:
    """Opened anew: one that was opened before would not show that its key is gone."""
    MailDictionaries(appliance.database, appliance.message_keys).by_number(number)


def _is_dying(appliance: Appliance, message: MessageId) -> bool:
    with appliance.database.read() as connection:
        about = disposal_records.items_about(connection, message)
    return any(item.state in _BEGUN for _, item in about)
