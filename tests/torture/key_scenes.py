"""What a child does to the keys of the practice: they are renewed, and ways in come and go."""

from __future__ import annotations

from tests.torture.scenes import House, command

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
