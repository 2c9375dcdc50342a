"""What a child does on rare days: clocks are confirmed, dictionaries made, rows moved or put back, releases started."""

from __future__ import annotations

import shutil
from dataclasses import replace

from alembic import command as alembic
from sqlalchemy import MetaData

from appliance import archive_wiring, front_door_wiring, migration, store_wiring, wiring
from appliance.front_door_wiring import RANDOMNESS
from appliance.roles import opening
from archive import decision_time
from mailstore import audit_trail, dictionary_records, key_custody, message_records
from mailstore.audit_entry import AuditFact
from mailstore.wall_clock import SystemClock
from tests.torture import founding
from tests.torture.scenes import PAUL, RUTH, House, actor, command, take_in, work


def confirm(house: House) -> None:
    """Two persons say that the clock is right, which stands elsewhere than all that vouches for it."""
    with house.opened() as appliance:
        for email in (RUTH, PAUL):
            decision_time.confirm(actor(appliance, email), appliance.trusted_clock)
        archive_wiring.desk(appliance).disposals.propose(actor(appliance, RUTH))


def train(house: House) -> None:
    """Another dictionary is made, mail is packed with it, and what nothing needs any more goes."""
    with house.opened() as appliance:
        with appliance.database.read() as connection:
            count = message_records.count(connection)
        keys = appliance.message_keys
        dictionary_records.add(
            appliance.database,
            keys,
            f"report of the knee, visit {count}".encode() * 9,
            messages_now=count,
            clock=appliance.clock,
            randomness=RANDOMNESS,
        )
    work(house)
    with house.opened() as appliance:
        store_wiring.dictionary_training(appliance).run()


def move(house: House) -> None:
    """Rows and keys move to PostgreSQL; said again, a move that was cut off is gone on with."""
    answer = command(house.data, "database", "move", *house.told["words"])
    house.say("moved", answer=answer)


def start(house: House) -> None:
    """What `serve` does before it opens its doors: the steps of a new release, and the claim on what is shared."""
    settings = front_door_wiring.settings_of(house.data)
    secret = wiring.secret_of(house.data, passphrase_file=None, key_file=None)
    ring = key_custody.unlock(house.data.keys, secret)
    wiring.prove(house.data, ring)
    opening.bring_up_to_date(house.data, settings, ring, now=SystemClock().now())


def grow_old(house: House) -> None:
    """The practice had its rows from the first release, on either engine, and took letters in with it."""
    with house.opened() as appliance:
        now, found = appliance.clock.now(), MetaData()
        with appliance.database.write() as connection:
            found.reflect(connection)
            found.drop_all(connection)
            alembic.upgrade(migration.configuration(connection), migration.known_steps()[-1])
            audit_trail.append(connection, [AuditFact("appliance.made", "system", "appliance")], now=now)
        founding.furnish(appliance)
        take_in(house, appliance)


def lose_newest_rows(house: House) -> None:
    """Letters come, and the rows are put back to what they were before. The letters were promised to nobody."""
    kept = house.data.path.with_name("kept.rows")
    with house.opened() as appliance:
        appliance.database.truncate_journal()
    shutil.copy(house.data.rows, kept)
    since = replace(house, told={**house.told, "kinds": ("promote",)}, say=lambda *_, **__: None)
    with house.opened() as appliance:
        take_in(since, appliance)
    work(since)
    with house.opened() as appliance:
        assert store_wiring.high_water_mark(appliance).keep()
    for path in house.data.path.glob(f"{house.data.rows.name}*"):
        path.unlink()
    kept.rename(house.data.rows)


def accept_rows(house: House) -> None:
    """Somebody who knows that the newer rows are gone goes on with the older ones."""
    with house.opened() as appliance:
        mark = store_wiring.high_water_mark(appliance)
        house.say("rows", accepted=mark.accept(actor(appliance, RUTH).account, now=appliance.clock.now()))
