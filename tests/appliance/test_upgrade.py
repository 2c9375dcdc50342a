"""An upgrade by the playbook: from the commit before to this one; and one that does not work comes back by itself.

Run by ``make test-appliance``. One guest for all; the tests build on one another and stand in their order.
"""

from __future__ import annotations

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
    deliver,
    found,
    head,
    signed_in,
    variables,
)

BEFORE = "HEAD~1"
STEP = '''"""A step that can be taken, of a release that does not work."""

from alembic import op

revision = "29990101_broken"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("CREATE TABLE of_the_broken_release (number INTEGER)")
'''
ADA, RITA = f"ada@{DOMAIN}", f"rita@{DOMAIN}"

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest.booted("practice-upgrade") as booted:
        told = variables(strongroom_revision=head(name=BEFORE))
        guest.playbook(booted, REPOSITORY, program=PLAYBOOK, told=told)
        records = added(booted, RITA, "records")
        added(booted, ADA, "clinician")
        signed_in(booted, RITA, records["totp_secret"])
        deliver(booted, ADA, subject="Before", text="Sent before the upgrade, word canteloupe.")
        assert found(booted, "canteloupe", asked_by=RITA) == ["Before"]
        yield booted


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with one commit more: a step of the rows that can be taken, and a worker that does not start."""
    place = tmp_path_factory.mktemp("broken") / "strongroom"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(place)], check=True)
    schema = place / "appliance/schema.py"
    newest = schema.read_text("utf-8").split('HEAD = "')[1].split('"')[0]
    (place / "appliance/migrations/versions/29990101_broken.py").write_text(STEP.format(head=newest), "utf-8")
    schema.write_text(schema.read_text("utf-8").replace(f'HEAD = "{newest}"', 'HEAD = "29990101_broken"'), "utf-8")
    worker = place / "appliance/roles/worker.py"
    worker.write_text(worker.read_text("utf-8") + '\nraise RuntimeError("this release does not work")\n', "utf-8")
    told = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.net"]
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    subprocess.run(["git", *told, "commit", "-qm", "A release that does not work"], cwd=place, check=True)
    return place


def test_without_a_backup_of_the_last_day_nothing_is_upgraded(machine: Guest) -> None:
    with pytest.raises(AssertionError, match="No backup of the data of the last day"):
        guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=variables())
    assert machine.said("readlink /opt/strongroom/current").endswith(head(name=BEFORE))


def test_upgrade_from_the_commit_before_keeps_the_mail(machine: Guest) -> None:
    _backed_up(machine)
    guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=variables())
    assert machine.said("readlink /opt/strongroom/current").endswith(head())
    assert found(machine, "canteloupe", asked_by=RITA) == ["Before"]


def test_release_that_does_not_work_comes_back_by_itself(machine: Guest, broken: Path) -> None:
    with pytest.raises(AssertionError, match="the old one runs again"):
        guest.playbook(machine, broken, program=PLAYBOOK, told=variables(strongroom_revision=head(broken)))
    assert machine.said("readlink /opt/strongroom/current").endswith(head())
    deliver(machine, ADA, subject="After", text="Sent after the way back, word canteloupe.")
    assert sorted(found(machine, "canteloupe", asked_by=RITA, at_least=2)) == ["After", "Before"]
    assert "strongroom_upgrade" not in machine.said("nft list tables")


def _backed_up(machine: Guest) -> None:
    machine.run("install -d -o strongroom -g strongroom -m 700 /srv/backup")
    machine.run("strongroom backup create --to /srv/backup")
