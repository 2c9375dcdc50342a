"""An upgrade by the playbook: from the commit before to this one; and those that do not work come back by themselves.

Run by ``make test-appliance``. One guest for each kind of database; the tests build on one another and stand in their
order. The older state is installed by its own playbook; ``STRONGROOM_UPGRADE_FROM`` names another one than the commit
before.
"""

from __future__ import annotations

import json
import os
import subprocess
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
    found,
    head,
    signed_in,
    variables,
)

BEFORE = os.environ.get("STRONGROOM_UPGRADE_FROM", "HEAD~1")
TARGET = {"name": "nas", "url": "/srv/backup"}
STEP = '''"""A step that can be taken, of a release that does not work."""

from alembic import op

revision = "29990101_broken"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("CREATE TABLE of_the_broken_release (number INTEGER)")
'''
DOES_NOT_START = ("appliance/roles/worker.py", "\nlogger = ", '\nraise RuntimeError("does not work")\nlogger = ')
FINDS_NOTHING = (
    "archive/intake.py",
    "    def index(self, ",
    '    def index(self, _messages: object) -> None:\n        """Does not work."""\n\n    def index_really(self, ',
)
ADA, RITA = f"ada@{DOMAIN}", f"rita@{DOMAIN}"

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the older state."""
    return _checkout(tmp_path_factory.mktemp("before"), BEFORE)


@pytest.fixture(scope="module", params=["files", "postgresql"])
def rows(request: pytest.FixtureRequest) -> dict[str, object]:
    """Where rows and keys lie, as the playbook is told."""
    return {"strongroom_database": request.param}


@pytest.fixture(scope="module")
def machine(before: Path, rows: dict[str, object]) -> Iterator[Guest]:
    with guest.booted(f"practice-upgrade-{rows['strongroom_database']}") as booted:
        told = variables(strongroom_revision=head(before), **rows)
        guest.playbook(booted, before, program=PLAYBOOK, told=told)
        records = added(booted, RITA, "records")
        added(booted, ADA, "clinician")
        added(booted, f"ida@{DOMAIN}", "admin")  # who reads what is sent to the postmaster, the self-test too
        signed_in(booted, RITA, records["totp_secret"])
        deliver(booted, ADA, subject="Before", text="Sent before the upgrade, word canteloupe.")
        assert found(booted, "canteloupe", asked_by=RITA) == ["Before"]
        yield booted


def test_without_a_backup_of_the_last_day_nothing_is_upgraded(
    machine: Guest, before: Path, rows: dict[str, object]
) -> None:
    with pytest.raises(AssertionError, match="No backup of the data of the last day"):
        guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=variables(**rows))
    assert _release(machine) == head(before)


def test_nothing_is_upgraded_over_an_upgrade_that_was_cut_off(
    machine: Guest, before: Path, rows: dict[str, object]
) -> None:
    _back_up(machine)
    machine.run("mkdir -m 700 /var/lib/strongroom.before-upgrade")
    with pytest.raises(AssertionError, match="An upgrade was cut off"):
        guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=variables(**rows))
    machine.run("rmdir /var/lib/strongroom.before-upgrade")
    assert _release(machine) == head(before)


def test_upgrade_from_the_commit_before_keeps_the_mail(machine: Guest, rows: dict[str, object]) -> None:
    told = variables(strongroom_backup_targets=[TARGET], **rows)
    guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert _release(machine) == head()
    assert found(machine, "canteloupe", asked_by=RITA) == ["Before"]
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert changed(again.stdout) == 0, again.stdout


def test_backups_are_made_by_themselves_from_then_on(machine: Guest) -> None:
    machine.run("for i in $(seq 300); do ls /srv/backup/keys | grep -q . && exit 0; sleep 0.2; done; exit 1")


@pytest.mark.parametrize("fault", [DOES_NOT_START, FINDS_NOTHING], ids=["does not start", "finds nothing"])
def test_release_that_does_not_work_comes_back_by_itself(
    machine: Guest, rows: dict[str, object], fault: tuple[str, str, str], tmp_path: Path
) -> None:
    broken = _broken(tmp_path, fault)
    seen = found(machine, "canteloupe", asked_by=RITA)
    of_the_broken = {"strongroom_revision": head(broken), "strongroom_upgrade_tries": 1}
    told = variables(strongroom_backup_targets=[TARGET], **of_the_broken, **rows)
    with pytest.raises(AssertionError, match="the old one runs again"):
        guest.playbook(machine, broken, program=PLAYBOOK, told=told)
    assert _release(machine) == head()
    assert machine.said("ls -d /var/lib/strongroom.before-upgrade* 2>/dev/null || true") == ""
    assert "strongroom_upgrade" not in machine.said("nft list tables")
    failing = [item for item in _doctor(machine) if item["state"] == "fail"]
    assert [item for item in failing if not item["check"].startswith("dns ")] == []
    machine.run("strongroom audit verify")
    deliver(machine, ADA, subject="After", text="Sent after the way back, word canteloupe.")
    after = found(machine, "canteloupe", asked_by=RITA, at_least=len(seen) + 1)
    assert sorted(after) == sorted([*seen, "After"])


def _checkout(place: Path, name: str) -> Path:
    checkout = place / "strongroom"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(checkout)], check=True)
    subprocess.run(["git", "checkout", "-q", head(name=name)], cwd=checkout, check=True)
    return checkout


def _broken(place: Path, fault: tuple[str, str, str]) -> Path:
    """A checkout with one commit more: a step of the rows that can be taken, and a fault."""
    checkout = _checkout(place, "HEAD")
    newest = (checkout / "appliance/schema.py").read_text("utf-8").split('HEAD = "')[1].split('"')[0]
    (checkout / "appliance/migrations/versions/29990101_broken.py").write_text(STEP.format(head=newest), "utf-8")
    _replace(checkout / "appliance/schema.py", f'HEAD = "{newest}"', 'HEAD = "29990101_broken"')
    name, old, new = fault
    _replace(checkout / name, old, new)
    told = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.net"]
    subprocess.run(["git", "add", "-A"], cwd=checkout, check=True)
    subprocess.run(["git", *told, "commit", "-qm", "A release that does not work"], cwd=checkout, check=True)
    return checkout


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path} has another form"
    path.write_text(text.replace(old, new), "utf-8")


def _release(machine: Guest) -> str:
    return machine.said("readlink /opt/strongroom/current").rpartition("/")[2]


def _doctor(machine: Guest) -> list[dict[str, str]]:
    items: list[dict[str, str]] = json.loads(machine.run("strongroom doctor --json", check=False).stdout)["items"]
    return items


def _back_up(machine: Guest) -> None:
    """As a person does by hand, into a target that they wrote into the settings."""
    machine.run("install -d -o strongroom -g strongroom -m 700 /srv/stick /srv/backup")
    target = '\n[[backup.target]]\nname = "stick"\nurl = "/srv/stick"\n'
    machine.run("cat >> /var/lib/strongroom/strongroom.toml", given=target)
    machine.run("strongroom backup create --to stick")
