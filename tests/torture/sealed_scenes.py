"""What a child does in a sealed practice and when it is opened: letters come without a key, and are taken in later."""

from __future__ import annotations

import os

from appliance import drain_wiring
from appliance.roles import worker as worker_role
from appliance.wiring import Appliance
from mailstore import key_custody
from mailstore.addresses import parse_mailbox
from mailstore.errors import StrongroomError
from mailstore.message import Envelope, Origin, ReceivedMessage
from mailstore.sealed_spool import SealedSpool
from mailstore.wall_clock import SystemClock
from tests.torture.letter import Letter
from tests.torture.scenes import TOGETHER, House


def accept_sealed(house: House) -> None:
    """Take letters in with the public half of the capture pair alone, and tell each that was promised."""
    letters = [Letter(**each) for each in house.told["letters"]]
    public = key_custody.capture_public(house.data.keys)
    spool = SealedSpool(house.data.sealed_spool, capture_public=public, randomness=os.urandom)
    clock = SystemClock()
    for start in range(0, len(letters), TOGETHER):
        begun = [
            (
                each,
                spool.submit(
                    ReceivedMessage(
                        Envelope(parse_mailbox(each.sender), (parse_mailbox(each.recipient),)),
                        each.content,
                        clock.now(),
                        Origin.SMTP,
                    )
                ),
            )
            for each in letters[start : start + TOGETHER]
        ]
        for letter, future in begun:
            try:
                future.result()
            except StrongroomError as error:
                house.say("put_off", name=letter.name, code=error.code)
            else:
                house.say("accepted", name=letter.name, id="")
    spool.close()


def drain(house: House) -> None:
    """What the worker does first when the practice was opened, its door list lost besides."""
    with house.opened() as appliance:
        house.data.door_list.unlink(missing_ok=True)
        worker_role.list_the_door(appliance)
        drained(appliance)


def drained(appliance: Appliance) -> None:
    """Take in all that waits."""
    with appliance.front_door() as front:
        drain_wiring.drain(appliance, front, should_stop=bool).run()
