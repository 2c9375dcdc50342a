"""A run of the playbook that is killed leaves nothing behind that the next run does not make good.

Run by ``make test-appliance``. One guest for all; the tests build on one another and stand in their order. A run ends
by SIGKILL as soon as a certain file lies on the guest's disk, which is read from here.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.appliance import guest
from tests.appliance.guest import Guest
from tests.appliance.practice_ground import DOMAIN, PLAYBOOK, REPOSITORY, added, changed, deliver, variables

ADA = f"ada@{DOMAIN}"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""The text that every filter of junk knows (https://spamassassin.apache.org/gtube/)."""
FIRST_CUTS = (
    ("opt/strongroom/releases/*/.venv/bin/pip", ""),  # packages are about to be installed
    ("var/lib/strongroom/*", ""),  # the practice is being made
    ("etc/systemd/system/strongroom-worker.service", ""),  # half of the units are there
)
"""Where the first installation is killed, one cut after the other: a file, and what stands in it."""

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Change:
    """Variables that are changed, the last file that a run writes because of them, and how each is seen in force."""

    told: dict[str, object]
    path: str
    text: str
    seen_by: tuple[str, ...]


JUNK_IS_REFUSED = "seen from outside: junk is refused"
WORKER = "$(systemctl show --value --property=MainPID strongroom-worker)"
CHANGES = {
    "unit": Change(
        {"strongroom_backup_targets": [{"name": "nas", "url": "/srv/backup"}]},
        "etc/systemd/system/strongroom-backup.service.d/machine.conf",
        "/srv/backup",
        (
            "systemctl show --property=ReadWritePaths strongroom-worker | grep /srv/backup",
            f"grep /srv/backup /proc/{WORKER}/mountinfo",
        ),
    ),
    "firewall and journal": Change(
        {"machine_staff_networks": ["192.0.2.0/24"], "machine_journal_max": "400M"},
        "etc/systemd/journald.conf.d/strongroom.conf",
        "400M",
        (
            "nft list ruleset | grep 192.0.2.0/24",
            "journalctl --no-pager -o cat -u systemd-journald | grep 'System Journal' | tail -1 | grep 'max 400'",
        ),
    ),
    "setting": Change(
        {"strongroom_rspamd": True},
        "var/lib/strongroom/strongroom.toml",
        'rspamd = "http://127.0.0.1:11333"',
        (JUNK_IS_REFUSED,),
    ),
}


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    """What the playbook is told; changes stay for the tests after them."""
    return variables()


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest.booted("practice-cut-off") as booted:
        yield booted


def test_first_installation_that_is_killed_time_and_again_goes_through_and_mail_is_taken(
    machine: Guest, told: dict[str, object]
) -> None:
    for path, text in FIRST_CUTS:
        _cut_off(machine, told, path, text)
        assert machine.said("systemctl is-active strongroom.target || true") == "inactive"
    guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    added(machine, ADA, "clinician")
    deliver(machine, ADA, subject="After three cuts", text="Taken.")
    machine.run("install -d -o strongroom -g strongroom -m 700 /srv/backup")


@pytest.mark.parametrize("name", CHANGES)
def test_change_that_a_killed_run_only_wrote_is_brought_into_force_by_the_next(
    machine: Guest, told: dict[str, object], name: str
) -> None:
    change = CHANGES[name]
    told.update(change.told)
    _cut_off(machine, told, change.path, change.text)
    assert [seen for seen in change.seen_by if _is_seen(machine, seen)] == []
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert [seen for seen in change.seen_by if not _is_seen(machine, seen)] == [], again.stdout


def test_run_after_all_that_changes_nothing(machine: Guest, told: dict[str, object]) -> None:
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert changed(again.stdout) == 0, again.stdout


def _cut_off(machine: Guest, told: dict[str, object], path: str, text: str) -> None:
    """A run that is killed when the text stands in a file that matches the path."""

    def written() -> bool:
        return any(text in _read(found) for found in machine.root.glob(path))

    assert not written()
    guest.playbook_killed_when(written, machine, REPOSITORY, program=PLAYBOOK, told=told)


def _read(path: Path) -> str:
    """What is there of it at this moment: it may go, or be written."""
    try:
        return "" if path.is_dir() else path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _is_seen(machine: Guest, seen: str) -> bool:
    """Whether a line of shell in the guest finds it, or the door does what it is to do."""
    return _refuses_junk(machine) if seen == JUNK_IS_REFUSED else machine.run(seen, check=False).returncode == 0


def _refuses_junk(machine: Guest) -> bool:
    try:
        deliver(machine, ADA, subject="A bargain", text=GTUBE)
    except smtplib.SMTPDataError as error:
        return error.smtp_code == 550
    return False
