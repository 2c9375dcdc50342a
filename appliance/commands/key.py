"""``strongroom key``: who can open the practice, and new keys in the place of old ones."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance import command_access, front_door_wiring, share_pages, wiring
from appliance.command_call import Call, Outcome, facts, listed
from appliance.key_change import KeyChange, Rotation
from appliance.share_pages import SharePage
from mailstore import key_copies, key_rotation, slot_shares, ways_in
from mailstore.errors import RefusedError
from mailstore.sealed_format import KEY_BYTES
from mailstore.slot_key_file import Credential, KeyFile
from mailstore.slot_passphrase import PassphraseFile
from mailstore.slot_secret import SlotSecret
from mailstore.slot_shares import SharesFile
from mailstore.slot_token import TokenFile
from mailstore.unlock_slot import UnlockSlot


def slot_list(call: Call) -> Outcome:
    """Every way in. No secret is needed: what is told here stands in the clear beside the keys."""
    slots = ways_in.listed(call.data.keys)
    return listed([_told(slot) for slot in slots], ("id", "kind", "label", "created_at", "tested_at"))


def slot_add(call: Call) -> Outcome:
    """Let one more secret open the practice."""
    added = _new_secret(call)
    slot = _change(call).added(added, label=call.arguments.label, now=call.clock.now())
    return _outcome(_told(slot))


def slot_remove(call: Call) -> Outcome:
    """Take a way in away, and renew the keys that it opened."""
    change, slot = _change(call), call.arguments.id
    rotation = change.rotated(_tell, without=slot, now=call.clock.now())
    return _outcome({"removed": slot, **_rotated(rotation)}, _advice(rotation))


def slot_test(call: Call) -> Outcome:
    """Open everything with the secret on the line, and note that it worked."""
    return _outcome(_told(_change(call).tested(now=call.clock.now())))


def copies(call: Call) -> Outcome:
    """Every place that keys were shipped to: what a certificate of disposal says of copies comes from here."""
    with command_access.opened(call) as appliance, appliance.database.read() as connection:
        items = [asdict(copy) for copy in key_copies.known(connection)]
    columns = ("name", "shipped_at", "kept_until", "reached_at")
    return listed(items, columns, empty="No keys were ever shipped anywhere: there is no backup of them.")


def rotate(call: Call) -> Outcome:
    """Renew the root key and the pair that mail is sealed to, or finish a rotation that was cut off."""
    asked = {
        "data_recovery": call.arguments.with_data_recovery,
        "index_key": call.arguments.with_index,
        "certificate_seed": call.arguments.with_certificates,
    }
    renewed = (*key_rotation.RENEWED, *(name for name, is_asked in asked.items() if is_asked))
    rotation = _change(call).rotated(_tell, renewed=renewed, now=call.clock.now())
    return _outcome(_rotated(rotation), _advice(rotation))


def shares_make(call: Call) -> Outcome:
    """Split a new secret among several people, print a page for each, and let enough of them together open it all."""
    arguments, now, change = call.arguments, call.clock.now(), _change(call)
    directory = Path(arguments.into).absolute()
    if directory.resolve().is_relative_to(call.data.path.resolve()):
        raise RefusedError("shares do not belong into the data directory", fix="name a directory on another disk")
    shares = slot_shares.split(os.urandom(KEY_BYTES), need=arguments.need, of=arguments.of)
    practice = front_door_wiring.settings_of(call.data).practice.name
    pages = [
        SharePage(practice, words, number, of=arguments.of, need=arguments.need, made_at=now)
        for number, words in enumerate(shares, start=1)
    ]
    files = share_pages.written(directory, pages)
    label = f"{arguments.need} of {arguments.of}, set {slot_shares.set_of(shares[0])}"
    slot = change.added(SharesFile(directory), label=label, now=now)
    advice = "\n\nPrint each page, give each to another person, then erase the directory: it opens the practice."
    return _outcome({**_told(slot), "directory": str(directory), "files": [str(path) for path in files]}, advice)


def _change(call: Call) -> KeyChange:
    place = wiring.secret_place(
        call.data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    if place is None:
        raise RefusedError(f"{call.data.path} does not unlock by itself", fix="give a secret that opens it now")
    return KeyChange.of(call.data, place)


def _new_secret(call: Call) -> SlotSecret:
    """The one that was named. ``RefusedError`` for none or several."""
    arguments = call.arguments
    given: list[SlotSecret] = []
    if arguments.new_passphrase_file:
        given.append(PassphraseFile(Path(arguments.new_passphrase_file)))
    if arguments.new_key_file:
        given.append(KeyFile(Path(arguments.new_key_file)))
    if arguments.new_credential:
        given.append(Credential(Path(arguments.new_credential)))
    if arguments.new_token_file:
        given.append(TokenFile(Path(arguments.new_token_file), arguments.token, arguments.token_key))
    if len(given) != 1:
        raise RefusedError("one new secret is added at a time", fix="see: strongroom key slot add --help")
    return given[0]


def _told(slot: UnlockSlot) -> dict[str, Any]:
    return {
        "id": slot.id,
        "kind": slot.kind,
        "label": slot.label,
        "created_at": slot.created_at,
        "tested_at": slot.tested_at,
    }


def _rotated(rotation: Rotation) -> dict[str, Any]:
    return {
        "rewrapped": rotation.rewrapped,
        "left": rotation.left,
        "unopened": list(rotation.unopened),
        "retired": rotation.retired,
        "resumed": rotation.is_resumed,
    }


def _advice(rotation: Rotation) -> str:
    if rotation.left:
        return "\n\nSome batches are still sealed to an older pair: say strongroom key rotate again, or look at check."
    return ""


def _outcome(fields: dict[str, Any], advice: str = "") -> Outcome:
    return Outcome(fields, facts(fields) + advice)


def _tell(done: int, total: int) -> None:
    sys.stderr.write(f"sealed anew: {done} of {total} batches of keys\n")
