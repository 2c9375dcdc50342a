"""What a child does on rare days: a clock is confirmed, a dictionary is made, rows and keys move to a server."""

from __future__ import annotations

from appliance import archive_wiring, store_wiring
from appliance.front_door_wiring import RANDOMNESS
from archive import decision_time
from mailstore import dictionary_records, message_records
from mailstore.message_keys import MessageKeys
from tests.torture.scenes import PAUL, RUTH, House, actor, command, work


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
        keys = MessageKeys(appliance.keystore, appliance.ring.capture)
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
