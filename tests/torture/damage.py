"""What `strongroom check --repair` is for: harm of every kind that it mends, done to a data directory on files."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from appliance import archive_wiring
from appliance.wiring import Appliance
from mailstore import message_records
from mailstore.message import MessageId, StoredMessage
from tests.torture.scenes import House, command

TWO_HOURS = 7_200


def damage(house: House) -> None:
    """Harm copies, follow-up work, the index, coverage of holds, and make left-overs old enough to be swept."""
    with house.opened() as appliance:
        promoted = [stored for stored in _stored(appliance) if stored.object_name is not None and stored.segment]
        first, second, third, *_ = promoted
        document = archive_wiring.documents(appliance).read(second).document
        appliance.objects.delete(str(first.object_name))
        _spoil(appliance.data.objects / str(second.object_name), 40)
        _spoil(appliance.data.spool / str(third.segment), third.offset + 40)
        index, [dead, *_] = archive_wiring.index(appliance), _disposed(appliance)
        index.add([replace(document, id=dead)])
        index.remove([second.id])
        for path in appliance.data.spool.iterdir():
            os.utime(path, (path.stat().st_mtime - TWO_HOURS,) * 2)
    _altered(house.data.rows, "DELETE FROM outbox")
    _altered(house.data.rows, "DELETE FROM hold_messages")
    _altered(house.data.keystore, "UPDATE batches SET made_at = made_at - ?", TWO_HOURS * 1_000_000)
    _altered(house.data.keystore, "DELETE FROM destroyed")


def damage_index(house: House) -> None:
    """Harm the index as a whole."""
    largest = max(house.data.index.iterdir(), key=lambda path: path.stat().st_size)
    _spoil(largest, largest.stat().st_size // 2)


def check(house: House) -> None:
    """What an operator runs after an accident."""
    house.say("checked", answer=command(house.data, "check", "--repair"))


def _stored(appliance: Appliance) -> list[StoredMessage]:
    with appliance.database.read() as connection:
        return list(message_records.all_messages(connection))


def _disposed(appliance: Appliance) -> list[MessageId]:
    with appliance.database.read() as connection:
        return sorted(message_records.disposed_ids(connection))


def _spoil(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _altered(path: Path, statement: str, *values: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(statement, values)
