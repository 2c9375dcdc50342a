"""What a child does to keep copies: backups of data and keys go into a directory beside the practice, and are read."""

from __future__ import annotations

from tests.torture.scenes import House, command


def back_up(house: House) -> None:
    """Data, then keys; said again, a backup that was cut off is gone on with."""
    target = house.data.path.with_name(f"{house.data.path.name}-backups")
    target.mkdir(exist_ok=True)
    house.say("backed_up", answer=command(house.data, "backup", "create", "--to", str(target)))


def prove_backup(house: House) -> None:
    """One more backup, and every byte of all of them read: nothing is missing, changed or left behind."""
    back_up(house)
    target = house.data.path.with_name(f"{house.data.path.name}-backups")
    found = command(house.data, "backup", "verify", "--from", str(target))
    assert found["problems"] == [], found
    assert found["generations"], found
    left = [path.name for path in (house.data.backup / "work").iterdir()]
    assert left == [], left
