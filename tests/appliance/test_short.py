"""A bare Debian becomes a running practice by the playbook alone: installed, mail over TLS, read, found, unchanged.

Run by ``make test-appliance-short``. One guest for all; the tests build on one another and stand in their order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyotp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Page, sync_playwright

from tests.appliance import guest
from tests.appliance.guest import Guest

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = [str(Path(sys.executable).with_name("ansible-playbook"))]
DOMAIN = "clinic.example"
CHROMIUM = "/usr/bin/chromium"
PASSWORD = "juniper street 14, second floor"
WORST_EXPOSURE = 2.0
SUBJECT = "Blood pressure diary"

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return {
        "strongroom_practice": "Juniper Street Clinic",
        "strongroom_domain": DOMAIN,
        "strongroom_revision": commit.stdout.strip(),
    }


@pytest.fixture(scope="module")
def machine(told: dict[str, object]) -> Iterator[Guest]:
    with guest.booted("strongroom") as booted:
        guest.playbook(booted, REPOSITORY, program=PLAYBOOK, told=told)
        yield booted


def test_the_practice_runs_and_the_doctor_fails_nothing(machine: Guest) -> None:
    answer = json.loads(machine.said("strongroom doctor --json"))
    assert {item["check"] for item in answer["items"]} >= {"serve", "port smtp", "port portal", "unlock"}
    assert [item for item in answer["items"] if item["state"] == "fail"] == []


def test_no_unit_of_ours_is_more_exposed_than_it_must_be(machine: Guest) -> None:
    units = machine.said("systemctl list-units --plain --no-legend 'strongroom*.service' | cut -d' ' -f1").split()
    assert "strongroom.service" in units
    for unit in units:
        said = machine.said(f"systemd-analyze security {unit} | tail -1")
        exposure = re.search(r"level for \S+: ([\d.]+)", said)
        assert exposure is not None, said
        assert float(exposure.group(1)) <= WORST_EXPOSURE, said


def test_only_the_ports_of_mail_and_pages_come_through_the_firewall(machine: Guest) -> None:
    machine.run("systemd-run --unit=stranger --quiet python3 -m http.server 8099")
    try:
        machine.run("for i in $(seq 50); do ss -ltn | grep -q :8099 && exit 0; sleep 0.1; done; exit 1")
        assert [port for port in (22, 25, 80, 443, 465, 587, 8099) if _answers(machine.address, port)] == [
            *(22, 25, 443, 465, 587),
        ]
    finally:
        machine.run("systemctl stop stranger")


def test_mail_over_tls_is_read_in_a_browser_and_found_in_the_archive(machine: Guest) -> None:
    clinician = _added(machine, f"ada@{DOMAIN}", "clinician")
    records = _added(machine, f"rita@{DOMAIN}", "records")
    _deliver(machine, f"ada@{DOMAIN}")
    with _browser_page(machine) as page:
        _sign_in(page, f"ada@{DOMAIN}", clinician["totp_secret"])
        page.get_by_role("link", name=SUBJECT).first.click()
        assert _shows(page, "128 over 84")
    code = pyotp.TOTP(records["totp_secret"]).now()
    machine.run(f"strongroom sign-in rita@{DOMAIN} --password-file /run/password --totp {code}")
    assert _found(machine, "diary") == [SUBJECT]


def test_looking_and_a_second_run_change_nothing(machine: Guest, told: dict[str, object]) -> None:
    looked = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, check=True)
    assert _changed(looked.stdout) == 0, looked.stdout
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert _changed(again.stdout) == 0, again.stdout


def test_after_a_start_of_the_machine_mail_comes_in_again(machine: Guest) -> None:
    machine.reboot()
    machine.run("for i in $(seq 300); do ss -ltn | grep -q :25 && exit 0; sleep 0.1; done; exit 1")
    _deliver(machine, f"ada@{DOMAIN}")
    assert machine.said("systemctl is-active strongroom nftables").split() == ["active", "active"]


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1.5).close()
    except OSError:
        return False
    return True


def _added(machine: Guest, email: str, role: str) -> Any:
    machine.run(f"umask 077; printf '%s' '{PASSWORD}' > /run/password; chown strongroom /run/password")
    words = f"strongroom user add {email} --name Somebody --role {role} --password-file /run/password --json"
    return json.loads(machine.said(words))


def _trusting(machine: Guest) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=machine.said("cat /var/lib/strongroom/tls/ca.pem"))


def _deliver(machine: Guest, recipient: str) -> None:
    """As another server does: STARTTLS, with the name that the MX record would say."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "bea@example.net", recipient, SUBJECT
    letter["Message-ID"] = f"<{time.monotonic_ns()}@example.net>"
    letter.set_content("This morning it was 128 over 84.\r\n")
    context = _trusting(machine)
    with smtplib.SMTP(machine.address, 25, timeout=30) as client:
        client._host = f"mx.{DOMAIN}"  # type: ignore[attr-defined] # the name that the certificate must be good for
        client.starttls(context=context)
        client.send_message(letter)


@contextmanager
def _browser_page(machine: Guest) -> Iterator[Page]:
    """A page of a real browser on this machine, which finds the portal by its name and trusts its certificate."""
    name = f"portal.{DOMAIN}"
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate((machine.address, 443)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    arguments = [
        *("--no-sandbox", "--disable-dev-shm-usage", f"--ignore-certificate-errors-spki-list={trusted}"),
        f"--host-resolver-rules=MAP {name} {machine.address}",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser.new_context(base_url=f"https://{name}").new_page()
        finally:
            browser.close()


def _sign_in(page: Page, email: str, totp_secret: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("One-time code").fill(pyotp.TOTP(totp_secret).now())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def _shows(page: Page, text: str) -> bool:
    """Whether the text comes to stand on the page or in a frame of it."""
    end = time.monotonic() + 15
    while not any(text in frame.content() for frame in page.frames):
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(200)
    return True


def _found(machine: Guest, query: str) -> list[str]:
    """Subjects of what the archive finds, once the worker has got there."""
    end = time.monotonic() + 60
    while True:
        answer = json.loads(machine.said(f"strongroom archive search {query} --json"))
        found = [item["subject"] for item in answer["items"]]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def _changed(output: str) -> int:
    recap = re.search(r"changed=(\d+)", output.rpartition("PLAY RECAP")[2])
    assert recap is not None, output
    return int(recap.group(1))
