"""A practice on PostgreSQL and MinIO, both set up by the playbook on the machine.

Run by ``make test-appliance``. One guest for all; the tests build on one another and stand in their order. The MinIO
that was built for the tests is handed over; ``STRONGROOM_BUILD_MINIO=1`` has it built in the guest, as for a practice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from tests.appliance import guest, secret_watch
from tests.appliance.guest import Guest
from tests.appliance.practice_ground import (
    DOMAIN,
    PLAYBOOK,
    REPOSITORY,
    added,
    changed,
    deliver,
    doctors_line,
    found,
    signed_in,
    variables,
)
from tests.appliance.secret_watch import SecretWatch
from tests.build_minio import MINIO

BACK_SECONDS = 120.0
STORE = "current"
"""What the kernel calls MinIO, by the name of its program's link."""
ADA, RITA = f"ada@{DOMAIN}", f"rita@{DOMAIN}"

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800), pytest.mark.usefixtures("watch")]


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    binary = "" if os.environ.get("STRONGROOM_BUILD_MINIO") else str(MINIO)
    return variables(strongroom_object_store="minio", object_store_binary=binary, strongroom_database="postgresql")


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest.booted("practice-stores") as booted:
        yield booted


@pytest.fixture(scope="module")
def watch(machine: Guest, told: dict[str, object]) -> SecretWatch:
    """All command lines while the playbook made the practice."""
    with secret_watch.watching() as watch:
        done = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, verbosity=3)
    watch.said.append(done.stdout + done.stderr)
    added(machine, f"ida@{DOMAIN}", "admin")
    return watch


def test_secrets_of_the_store_are_in_their_files_and_nowhere_else(machine: Guest, watch: SecretWatch) -> None:
    root = machine.said("cat /etc/strongroom/object-store.environment").split()
    secrets = [word.partition("=")[2] for word in root if word.startswith("MINIO_ROOT_")]
    secrets += machine.said("cat /etc/strongroom/object-store.credentials").split()[1:]
    secrets += [machine.said("cat /etc/strongroom/unlock.key")]
    assert len(secrets) == 4
    assert watch.places_of(machine, secrets, may_be_given_to=["minio", STORE]) == []
    assert watch.given_to(secrets[-1]) == set()


def test_databases_are_reached_without_a_password(machine: Guest) -> None:
    """What is not there is on no command line."""
    settings = machine.said(
        "grep -E '^(url|password_file) = .*postgresql|^password_file' /var/lib/strongroom/strongroom.toml"
    )
    assert "postgresql:///strongroom_rows?host=/var/run/postgresql" in unquote(settings)
    assert 'password_file = "/' not in settings
    asked = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'strongroom'"
    assert machine.run("runuser -u postgres -- psql -XAt", given=asked).stdout.strip() == "t"


def test_one_message_goes_the_whole_path(machine: Guest) -> None:
    assert json.loads(machine.said("strongroom self-test --json"))["passed"]


def test_mail_over_tls_is_found_in_the_archive(machine: Guest) -> None:
    added(machine, ADA, "clinician")
    records = added(machine, RITA, "records")
    signed_in(machine, RITA, records["totp_secret"])
    deliver(machine, ADA, subject="Stored elsewhere", text="The word is canteloupe.")
    assert found(machine, "canteloupe", asked_by=RITA) == ["Stored elsewhere"]


def test_the_store_enforces_what_it_claims(machine: Guest) -> None:
    status = json.loads(machine.said("strongroom store status --json"))
    assert status["store"] == "ok"
    assert {"versions", "retention", "legal_hold", "lock_only_grows"} <= set(status["enforces"])


def test_rows_and_keys_lie_in_databases_of_their_own(machine: Guest) -> None:
    asked = "runuser -u postgres -- psql -XAtc 'SELECT count(*) FROM {}' {}"
    assert int(machine.said(asked.format("messages", "strongroom_rows"))) == 2
    assert int(machine.said(asked.format("message_keys", "strongroom_keys"))) >= 1
    assert machine.said("ls /var/lib/strongroom/*.sqlite3 2>/dev/null || true") == ""


def test_the_appliance_may_use_its_bucket_and_nothing_else(machine: Guest) -> None:
    """With the appliance's own key: its bucket is there, making another one and lifting a lock is not allowed."""
    asked = (
        "import sys; from minio import Minio; from minio.error import S3Error\n"
        "key, secret = open('/etc/strongroom/object-store.credentials').read().split()\n"
        "client = Minio(endpoint='127.0.0.1:9000', access_key=key, secret_key=secret, secure=False)\n"
        "assert any(True for _ in client.list_objects(bucket_name='strongroom', recursive=True))\n"
        "try:\n    client.make_bucket(bucket_name='another')\n"
        "except S3Error as error:\n    print(error.code)\n"
    )
    assert machine.run("/opt/strongroom/current/.venv/bin/python -", given=asked).stdout.strip() == "AccessDenied"


def test_the_store_answers_this_machine_alone(machine: Guest) -> None:
    listening = set(machine.said("ss -Hltn 'sport = :9000' | awk '{print $4}'").split())
    assert listening
    assert listening <= {"127.0.0.1:9000", "[::1]:9000"}


def test_the_store_tells_this_machine_how_it_fares(machine: Guest) -> None:
    fetched = machine.said(
        "python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())' "
        "http://127.0.0.1:9000/minio/v2/metrics/cluster"
    )
    assert "minio_cluster_capacity_usable_free_bytes" in fetched
    assert "strongroom" not in fetched.replace('bucket="strongroom"', "")


def test_a_store_that_is_away_is_named_and_nothing_is_lost(machine: Guest) -> None:
    machine.run("systemctl stop strongroom-store")
    deliver(machine, ADA, subject="While the store was away", text="The word is persimmon.")
    assert doctors_line(machine, "object store")["state"] == "warn"
    machine.run("systemctl start strongroom-store")
    deadline = time.monotonic() + BACK_SECONDS
    while (line := doctors_line(machine, "object store"))["state"] != "ok":
        assert time.monotonic() < deadline, line
    assert found(machine, "persimmon", asked_by=RITA) == ["While the store was away"]


def test_a_second_run_changes_nothing(machine: Guest, told: dict[str, object]) -> None:
    looked = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, check=True)
    assert changed(looked.stdout) == 0, looked.stdout
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert changed(again.stdout) == 0, again.stdout
