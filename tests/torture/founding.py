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


def found(house: House) -> None:
    """A practice whose disposals cool off at once."""
    made = command(
        house.data, "init", "--practice", "Lakeside Clinic", "--domain", DOMAIN, "--loopback", str(house.told["base"])
    )
    assert made["data"], made
    text = house.data.settings.read_text("utf-8")
    for slow, light in LIGHT_HASHES.items():
        text = text.replace(slow, light)
    text = re.sub(r"cooling_off_hours = \d+", "cooling_off_hours = 0", text)
    house.data.settings.write_text(text + ROUTE.format(**house.told["route"]), "utf-8")
    with house.opened() as appliance:
        _peopled(appliance)
        schedules = archive_wiring.desk(appliance).schedules
        proposed = schedules.propose(actor(appliance, RUTH), schedule("passing"))
        schedules.approve(actor(appliance, PAUL), proposed)


def _peopled(appliance: Appliance) -> None:
    people = portal_wiring.people(appliance)
    for email, role in {ANN: Role.CLINICIAN, RUTH: Role.RECORDS, PAUL: Role.APPROVER}.items():
        people.add_staff(SYSTEM, email, f"The {role}", role, PASSWORD)
