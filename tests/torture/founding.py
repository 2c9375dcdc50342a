"""Makes the practice that every cycle begins with: its people, a schedule in force, and a way to the outside."""

from __future__ import annotations

import re

from appliance import archive_wiring, portal_wiring
from appliance.wiring import Appliance
from mailstore.actor import SYSTEM, Role
from tests.running_practice import DOMAIN, LIGHT_HASHES, PASSWORD
from tests.torture.letter import ANN
from tests.torture.scenes import PAUL, RUTH, House, actor, command, schedule

ROUTE = """
[[outbound.route]]
domain = "{domain}"
mx_name = "{mx_name}"
address = "127.0.0.1"
port = {port}
ca_file = "{ca_file}"
"""
QUICK = {"cooling_off_hours": 0, "dwell_hours": 0, "silence_seconds": 1}
"""Settings by which nobody has to wait in a rehearsal."""


def found(house: House) -> None:
    """A practice in which nothing waits longer than it must."""
    words = ["--practice", "Lakeside Clinic", "--domain", DOMAIN, "--loopback", str(house.told["base"])]
    made = command(house.data, "init", *words, *house.told["words"])
    assert made["data"], made
    text = house.data.settings.read_text("utf-8")
    for slow, light in LIGHT_HASHES.items():
        text = text.replace(slow, light)
    for name, value in QUICK.items():
        text, times = re.subn(rf"{name} = \d+", f"{name} = {value}", text)
        assert times == 1, name
    house.data.settings.write_text(text + ROUTE.format(**house.told["route"]), "utf-8")
    with house.opened() as appliance:
        furnish(appliance)


def furnish(appliance: Appliance) -> None:
    """Its people, and a schedule in force."""
    people = portal_wiring.people(appliance)
    for email, role in {ANN: Role.CLINICIAN, RUTH: Role.RECORDS, PAUL: Role.APPROVER}.items():
        people.add_staff(SYSTEM, email, f"The {role}", role, PASSWORD)
    schedules = archive_wiring.desk(appliance).schedules
    proposed = schedules.propose(actor(appliance, RUTH), schedule("passing"))
    schedules.approve(actor(appliance, PAUL), proposed)
