"""What a child does to the keys of the practice: they are renewed, and ways in come and go."""

from __future__ import annotations

import hashlib
import shutil

from tests.torture.scenes import House, command, done

SPARE = "spare"


def rotate(house: House) -> None:
    """New keys; said again, a rotation that was cut off is finished."""
    house.say("rotated", answer=command(house.data, "key", "rotate"))


def slot(house: House) -> None:
    """A way in is added and tried. Those that there are of an earlier time go; said again, so does what was cut off."""
    path = house.data.path.with_name("spare.key")
    path.write_text("5" * 64 + "\n")
    for item in command(house.data, "key", "slot", "list")["items"]:
        if item["label"] == SPARE:
            house.say("removed", answer=command(house.data, "key", "slot", "remove", item["id"]))
    added = command(house.data, "key", "slot", "add", "--new-key-file", str(path), "--label", SPARE)
    house.say("added", answer=added)
    house.say("tested", answer=command(house.data, "key", "slot", "test", "--key-file", str(path)))


def change_key_file(house: House) -> None:
    """Another key file takes the place of the one in the directory, which opens nothing any more and goes by itself.

    Said again, a change that was cut off is finished. The new file follows from the old one, so that two who do the
    same at the same time have the same.
    """
    inside, new = house.data.unlock_key, house.data.path.with_name("new.key")
    if not new.exists():
        new.write_bytes(hashlib.sha256(inside.read_bytes()).hexdigest().encode())
    fresh = new.read_bytes()
    label = hashlib.sha256(fresh).hexdigest()[:8]
    slots = {item["label"]: item["id"] for item in done(command(house.data, "key", "slot", "list"))["items"]}
    if slots.pop(label, None) is None:
        done(command(house.data, "key", "slot", "add", "--new-key-file", str(new), "--label", label))
    changes: list[tuple[str, ...]] = [("slot", "remove", slot) for slot in slots.values()]
    for words in changes or [("rotate",)]:
        house.say("renewed", answer=done(command(house.data, "key", *words, "--key-file", str(new))))
    left = inside.read_bytes() if inside.exists() else b""
    assert left in {b"", fresh}, "a key file that opens nothing stayed"
    shutil.copy(new, inside)
