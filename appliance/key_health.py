"""What the doctor says about the keys: what opens them, whether it was ever tried, and who has copies."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.data_directory import DataDirectory
from appliance.health_finding import Seen, State
from appliance.wiring import Appliance
from mailstore import key_copies, ways_in
from mailstore.slot_key_file import Credential, KeyFile
from mailstore.unlock_slot import UnlockSlot

TRIED_FOR: Final = timedelta(days=400)
"""A way in counts as tried for a year, and a month in which somebody gets around to it."""

TRY: Final = "sudo strongroom --passphrase-file FILE key slot test (or --key-file, --shares, --token-file)"
ANOTHER: Final = "make another that is kept elsewhere: sudo strongroom key shares make --need 2 --of 3 --into DIRECTORY"


def unlock(data: DataDirectory) -> Seen:
    """What a start needs."""
    if data.unlock_key.exists():
        return (
            State.WARN,
            "the data directory opens by itself: whoever takes the disk can read the mail",
            (
                "run: sudo strongroom key slot add --new-passphrase-file FILE; then, with it: sudo strongroom"
                f" --passphrase-file FILE key slot test; and: key slot remove {_of_key_file(data)}"
            ),
        )
    if any(slot.kind == Credential.kind for slot in ways_in.listed(data.keys)):
        return State.OK, "a credential of this machine opens it: whoever takes all of it and starts it is in", ""
    return State.OK, "a secret outside the data directory opens it", ""


def slots(data: DataDirectory, *, now: datetime) -> Seen:
    """The ways in: more than one, and each tried by whoever has its secret."""
    found = ways_in.listed(data.keys)
    if len(found) == 1:
        return State.WARN, f"there is one way in, {_named(found[0])}: without it nobody reads the mail again", ANOTHER
    if untried := [slot for slot in found if not _is_tried(data, slot, now)]:
        told = f"{len(found)} ways in, of which {', '.join(map(_named, untried))} was not tried for a year, or never"
        return State.WARN, told, f"whoever has the secret of one tries it: {TRY}"
    return State.OK, f"{len(found)} ways in, each tried within a year or at every start", ""


def copies(appliance: Appliance) -> Seen:
    """Places outside this machine that hold keys, and until when a key that dies today lives on in one of them."""
    with appliance.database.read() as connection:
        found = key_copies.known(connection)
    if not found:
        return State.OFF, "no keys were ever shipped anywhere", ""
    if endless := [copy.name for copy in found if copy.is_kept_for_ever]:
        told = f"nobody is known to remove old keys from {', '.join(endless)}"
        return State.WARN, f"{told}: certificates of disposal say so", "see docs/operations/backups.md"
    last = max(copy.kept_until for copy in found)
    return State.OK, f"{len(found)} places hold copies; the newest is gone after {last:%Y-%m-%d}", ""


def _is_tried(data: DataDirectory, slot: UnlockSlot, now: datetime) -> bool:
    """A key file that lies in the directory, and a credential, are tried at every start."""
    if slot.kind == Credential.kind or (slot.kind == KeyFile.kind and data.unlock_key.exists()):
        return True
    return slot.tested_at is not None and now - slot.tested_at <= TRIED_FOR


def _of_key_file(data: DataDirectory) -> str:
    return next((slot.id for slot in ways_in.listed(data.keys) if slot.kind == KeyFile.kind), "ID")


def _named(slot: UnlockSlot) -> str:
    return f"{slot.id} ({slot.label})"
