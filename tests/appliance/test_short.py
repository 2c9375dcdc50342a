"""A bare Debian becomes a running practice by the playbook alone: installed, mail over TLS, read, found, unchanged.

Run by ``make test-appliance-short`` on Debian 12, by ``make test-appliance`` on Debian 13 as well. One guest for all;
the tests build on one another and stand in their order.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.appliance import guest, secret_watch
from tests.appliance.guest import Guest
from tests.appliance.practice_ground import (
    DOMAIN,
    PASSWORD,
    PLAYBOOK,
    REPOSITORY,
    added,
    browser_page,
    changed,
    deliver,
    doctors_line,
    found,
    shows,
    sign_in,
    signed_in,
    variables,
)
from tests.appliance.secret_watch import SecretWatch

WORST_EXPOSURE = 2.0
BACK_SECONDS = 60.0
PARTS = ("key-agent", "worker", "smtp", "mail")
SUBJECT = "Blood pressure diary"
TEXT = "This morning it was 128 over 84."
ADA, RITA = f"ada@{DOMAIN}", f"rita@{DOMAIN}"

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    return variables()


@dataclass(frozen=True)
class Watched:
    """A machine, all that was seen since before the playbook, and secrets that people were given meanwhile."""

    machine: Guest
    watch: SecretWatch
    people: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def watched(told: dict[str, object], request: pytest.FixtureRequest) -> Iterator[Watched]:
    with guest.booted("practice", release=request.param) as booted, secret_watch.watching() as watch:
        done = guest.playbook(booted, REPOSITORY, program=PLAYBOOK, told=told, verbosity=3)
        watch.said.append(done.stdout + done.stderr)
        yield Watched(booted, watch)


@pytest.fixture
def machine(watched: Watched) -> Guest:
    return watched.machine


def test_the_practice_runs_and_the_doctor_fails_nothing_but_the_dns_that_is_not_there(machine: Guest) -> None:
    answer = json.loads(machine.run("strongroom doctor --json", check=False).stdout)
    assert {item["check"] for item in answer["items"]} >= {"serve", "port smtp", "port portal", "unlock"}
    failing = [item for item in answer["items"] if item["state"] == "fail"]
    assert [item for item in failing if not item["check"].startswith("dns ")] == []


def test_no_unit_of_ours_is_more_exposed_than_it_must_be(machine: Guest) -> None:
    units = machine.said("systemctl list-units --plain --no-legend 'strongroom*.service' | cut -d' ' -f1").split()
    assert set(units) >= {f"strongroom-{part}.service" for part in PARTS}
    for unit in units:
        said = machine.said(f"systemd-analyze security {unit} | tail -1")
        exposure = re.search(r"level for \S+: ([\d.]+)", said)
        assert exposure is not None, said
        assert float(exposure.group(1)) <= WORST_EXPOSURE, said


def test_nobody_asks_the_key_agent_in_the_name_of_another_part(machine: Guest) -> None:
    tried = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    doors = ("smtp", "mail", "worker", "command")
    for group in doors:
        words = f"runuser -u strongroom -g strongroom -G strongroom-{group} -- python3 -c '{tried}' /run/strongroom"
        came_in = [door for door in doors if machine.run(f"{words}/{door}.sock", check=False).returncode == 0]
        assert came_in == [group]


def test_whoever_connects_while_parts_are_started_again_is_answered(machine: Guest) -> None:
    greeted = 'import smtplib; print(smtplib.SMTP("127.0.0.1", 25, timeout=120).noop()[0])'
    machine.run("systemctl restart --no-block strongroom-key-agent strongroom-smtp")
    for _ in range(5):
        assert machine.said(f"python3 -c '{greeted}'") == "250"
    machine.run("systemctl is-active -q strongroom-smtp || systemctl start strongroom-smtp")


def test_only_the_ports_of_mail_and_pages_come_through_the_firewall(machine: Guest) -> None:
    machine.run("systemd-run --unit=stranger --quiet python3 -m http.server 8099")
    try:
        machine.run("for i in $(seq 50); do ss -ltn | grep -q :8099 && exit 0; sleep 0.1; done; exit 1")
        assert [port for port in (22, 25, 80, 443, 465, 587, 8099) if _answers(machine.address, port)] == [
            *(22, 25, 443, 465, 587),
        ]
    finally:
        machine.run("systemctl stop stranger")


def test_the_journal_the_clock_and_the_updates_are_as_set(machine: Guest) -> None:
    said = machine.said("journalctl --no-pager -o cat -u systemd-journald | grep 'System Journal' | tail -1")
    assert re.search(r"max 500(\.0)?M,", said), said
    assert machine.said("systemctl is-enabled systemd-timesyncd apt-daily-upgrade.timer").split() == ["enabled"] * 2
    tried = machine.said("unattended-upgrade --dry-run --debug")
    allowed = next(line for line in tried.splitlines() if line.startswith("Allowed origins are"))
    assert "label=Debian-Security" in allowed


BROKEN = {
    "serve": "systemctl stop strongroom.target",
    "port smtp": "systemctl stop strongroom-smtp.socket strongroom-smtp.service",
    "port portal": "systemctl stop strongroom-portal.socket strongroom-mail.service",
    "worker": "systemctl stop strongroom-worker && touch -d '2 hours ago' {data}/run/alerts.json {data}/run/serve.pid",
    "file modes": "chmod o+r {data}/strongroom.toml",
    "security updates": "apt-mark hold $(dpkg-query --show -f '${{binary:Package}} ') > /dev/null;"
    " touch -d '9 days ago' /var/lib/apt/periodic/unattended-upgrades-stamp",
}
"""How each line of the doctor is made to complain. A guest that renews its own systemd does not shut down any more."""


@pytest.mark.parametrize("line", BROKEN)
def test_typing_what_stands_below_a_line_of_the_doctor_brings_it_back(machine: Guest, line: str) -> None:
    machine.run("mkdir -p /var/lib/apt/periodic; touch /var/lib/apt/periodic/unattended-upgrades-stamp")
    machine.run(BROKEN[line].format(data="/var/lib/strongroom"))
    complaint = doctors_line(machine, line)
    assert complaint["state"] in {"fail", "warn"}, complaint
    typed = re.search(r"(?:run|anew): ([^;,]+)", complaint["fix"])
    assert typed is not None, complaint
    machine.run(typed.group(1))
    deadline = time.monotonic() + BACK_SECONDS
    while (now := doctors_line(machine, line))["state"] != "ok":
        assert time.monotonic() < deadline, (complaint, now)


def test_mail_over_tls_is_read_in_a_browser_and_found_in_the_archive(watched: Watched) -> None:
    machine = watched.machine
    clinician = added(machine, ADA, "clinician")
    records = added(machine, RITA, "records")
    watched.people.extend([clinician, records])
    deliver(machine, ADA, subject=SUBJECT, text=TEXT)
    with browser_page(machine) as page:
        sign_in(page, ADA, clinician["totp_secret"])
        page.get_by_role("link", name=SUBJECT).first.click()
        assert shows(page, TEXT)
    signed_in(machine, RITA, records["totp_secret"])
    assert found(machine, "diary", asked_by=RITA) == [SUBJECT]


def test_looking_and_a_second_run_change_nothing(machine: Guest, told: dict[str, object]) -> None:
    looked = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, check=True)
    assert changed(looked.stdout) == 0, looked.stdout
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert changed(again.stdout) == 0, again.stdout


def test_no_secret_came_onto_a_command_line_into_an_environment_a_fact_a_log_or_what_the_playbook_said(
    watched: Watched,
) -> None:
    machine = watched.machine
    secrets = [PASSWORD, machine.said("cat /etc/strongroom/unlock.key")]
    secrets += [line for line in machine.said("cat /var/lib/strongroom/tls/server.key").splitlines() if "-" not in line]
    secrets += [person[name] for person in watched.people for name in ("totp_secret", "app_password") if person[name]]
    assert len(secrets) > 6
    assert watched.watch.places_of(machine, secrets) == []


def test_after_a_start_of_the_machine_mail_comes_in_again(machine: Guest) -> None:
    machine.reboot()
    machine.run("for i in $(seq 300); do ss -ltn | grep -q :25 && exit 0; sleep 0.1; done; exit 1")
    deliver(machine, ADA, subject=SUBJECT, text=TEXT)
    parts = " ".join(f"strongroom-{part}" for part in PARTS)
    machine.run(f"for i in $(seq 300); do systemctl is-active -q {parts} && exit 0; sleep 0.2; done; exit 1")
    assert machine.said("systemctl is-active strongroom.target nftables").split() == ["active", "active"]


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1.5).close()
    except OSError:
        return False
    return True
