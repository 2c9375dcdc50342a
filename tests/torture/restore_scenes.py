"""What a child does when the box is gone: everything is put back from the newest backups and a key kept elsewhere."""

from __future__ import annotations

import shutil

from tests.torture.scenes import House, command, done


def restore(house: House) -> None:
    """Back up, lose the directory, and put it back; said again, a restore that was cut off is gone on with.

    Told of a ``generation``, that older one of the data is restored: what was disposed of since stays dead even so.
    """
    data = house.data.path
    lost, target = data.with_name(f"{data.name}-lost"), data.with_name(f"{data.name}-backups")
    older = house.told.get("generation")
    if not lost.exists():
        target.mkdir(exist_ok=True)
        only = ("--only", "keys") if older else ()
        done(command(house.data, "backup", "create", "--with-waiting", "--to", str(target), *only))
        data.rename(lost)
    if not house.data.settings.exists() or house.data.restore_plan.exists():
        words: tuple[str, ...] = ("restore", "--from", str(target), "--key-file", str(lost / "keys" / "unlock.key"))
        words += ("--generation", str(older)) if older else ()
        house.say("restored", answer=done(command(house.data, *words)))
    key = lost / "keys" / "unlock.key"
    if key.exists():  # it is gone where an earlier removal was cut off
        shutil.copy(key, house.data.unlock_key)
    shutil.rmtree(lost)
