"""The program leaves a machine; its data stays as long as it is told to, and goes only when two persons ended it.

Part of ``make test-appliance``. One guest for all; the tests build on one another and stand in their order.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance import guest
from tests.appliance.guest import Guest
from tests.appliance.practice_ground import (
    DOMAIN,
    PLAYBOOK,
    REPOSITORY,
    added,
    changed,
    deliver,
    signed_in,
    variables,
)

NAME = "Juniper Street Clinic"
RUTH, PAUL, ADA = f"ruth@{DOMAIN}", f"paul@{DOMAIN}", f"ada@{DOMAIN}"

ENDED = """
from pathlib import Path
from appliance import archive_wiring, decommission_run, front_door_wiring
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from archive.decommission import Decommission
from mailstore.wall_clock import SystemClock

data = DataDirectory(Path("/var/lib/strongroom"))
with Appliance.opened(data, key_file=Path("/etc/strongroom/unlock.key")) as appliance:
    ending = archive_wiring.decommission(appliance)
    plan = ending.plan()
    ending._require_cooled_off = lambda connection, ends: None
    from mailstore.actor import Actor, Role
    begun = ending.begin(Actor(plan.proposed_by, Role.RECORDS), plan.id, holds=[])
    standing = decommission_run.order(appliance, begun, holds=())
settings = front_door_wiring.settings_of(data)
decommission_run.DecommissionRun(data, settings, standing, SystemClock(), print).finish()
"""
"""As ``decommission run`` does once the week has passed: no clock of a guest can be set."""

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    certificates = str(tmp_path_factory.mktemp("certificates"))
    return variables(uninstall_practice=NAME, uninstall_data="keep", uninstall_certificates=certificates)


@pytest.fixture(scope="module")
def machine(told: dict[str, object]) -> Iterator[Guest]:
    with guest.booted("leaving") as booted:
        guest.playbook(booted, REPOSITORY, program=PLAYBOOK, told=told)
        yield booted


def uninstalled(machine: Guest, told: dict[str, object]) -> str:
    """What the playbook says that takes it off."""
    return guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, play="uninstall.yml").stdout


def refused(machine: Guest, told: dict[str, object]) -> str:
    """Why it is refused."""
    with pytest.raises(AssertionError) as why:
        uninstalled(machine, told)
    return str(why.value)


def test_nothing_is_taken_off_by_a_wrong_name_nor_data_of_a_practice_that_lives(
    machine: Guest, told: dict[str, object]
) -> None:
    assert "Type the practice" in refused(machine, {**told, "uninstall_practice": "Juniper"})
    assert "not decommissioned" in refused(machine, {**told, "uninstall_data": "destroy"})
    assert machine.said("systemctl is-active strongroom.target") == "active"


def test_the_program_goes_and_comes_back_while_the_data_stays(machine: Guest, told: dict[str, object]) -> None:
    for email, role in ((ADA, "clinician"), (RUTH, "records"), (PAUL, "approver")):
        told[email] = added(machine, email, role)["totp_secret"]
    deliver(machine, ADA, subject="Kept", text="It stays.")
    before = machine.said("sha256sum /var/lib/strongroom/keys/slots.json /etc/strongroom/unlock.key")
    secrets = {email: told.pop(email) for email in (ADA, RUTH, PAUL)}
    uninstalled(machine, told)
    assert machine.said("ls /etc/systemd/system | grep strongroom || true") == ""
    assert machine.said("nft list ruleset | grep strongroom || true") == ""
    assert machine.said("ls -d /opt/strongroom /usr/local/sbin/strongroom 2>/dev/null || true") == ""
    assert machine.said("sha256sum /var/lib/strongroom/keys/slots.json /etc/strongroom/unlock.key") == before
    again = uninstalled(machine, told)
    assert changed(again) == 0, again
    guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert machine.said("systemctl is-active strongroom.target") == "active"
    signed_in(machine, RUTH, str(secrets[RUTH]))
    signed_in(machine, PAUL, str(secrets[PAUL]))


def test_an_end_waits_for_its_cooling_off(machine: Guest) -> None:
    proposed = json.loads(machine.said(f"strongroom --as {RUTH} decommission propose --json"))
    machine.run(f"strongroom --as {PAUL} decommission approve {proposed['id']}")
    machine.run("systemctl stop strongroom.target 'strongroom-*'")
    run = f"strongroom --as {RUTH} --key-file /etc/strongroom/unlock.key decommission run {proposed['id']}"
    waits = machine.run(f"{run} --practice '{NAME}'", check=False)
    assert "may begin from" in waits.stderr + waits.stdout, "a week is for second thoughts"


def test_data_goes_once_two_persons_ended_the_practice_and_the_certificate_is_here(
    machine: Guest, told: dict[str, object]
) -> None:
    as_service = "runuser -u strongroom -g strongroom -G strongroom-keys --"
    machine.run(f"{as_service} /opt/strongroom/current/.venv/bin/python -", given=ENDED)
    told["uninstall_data"] = "destroy"
    uninstalled(machine, told)
    places = "/var/lib/strongroom /etc/strongroom /opt/strongroom"
    assert machine.said(f"ls -d {places} 2>/dev/null || true") == ""
    assert machine.said("getent passwd strongroom || true") == ""
    again = uninstalled(machine, told)
    assert changed(again) == 0, again
    fetched = Path(str(told["uninstall_certificates"])) / machine.name
    (certificate,) = fetched.glob("decommission-*.json")
    verifier = REPOSITORY / "archive" / "verify_decommission.py"
    words = [sys.executable, "-I", str(verifier), str(certificate), "--public-key", str(fetched / "disposal.pem")]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b"valid\n"
