"""What every test of the appliance needs: the playbook's variables, people, mail from outside, and a browser here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import smtplib
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
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Page, sync_playwright

from tests.appliance.guest import Guest

REPOSITORY = Path(__file__).resolve().parents[2]
PLAYBOOK = [str(Path(sys.executable).with_name("ansible-playbook"))]
DOMAIN = "clinic.example"
CHROMIUM = "/usr/bin/chromium-headless-shell"
PASSWORD = "juniper street 14, second floor"


def head(repository: Path = REPOSITORY, name: str = "HEAD") -> str:
    """The commit that a name stands for: others may commit meanwhile."""
    words = ["git", "rev-parse", f"{name}^{{commit}}"]
    return subprocess.run(words, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()


def variables(**more: object) -> dict[str, object]:
    """What the playbook is told of the practice, and of the commit to install."""
    return {
        "strongroom_practice": "Juniper Street Clinic",
        "strongroom_domain": DOMAIN,
        "strongroom_revision": head(),
        "strongroom_without_shares": True,
        "strongroom_resolver": False,  # what the guest may ask is this machine's resolver, which proves nothing
        **more,
    }


def changed(output: str) -> int:
    """How many tasks of a run changed anything."""
    recap = re.search(r"changed=(\d+)", output.rpartition("PLAY RECAP")[2])
    assert recap is not None, output
    return int(recap.group(1))


def added(machine: Guest, email: str, role: str) -> Any:
    """Somebody who works there, with the password that everybody here has."""
    machine.run("umask 077; cat > /run/password; chown strongroom /run/password", given=PASSWORD)
    words = f"strongroom user add {email} --name Somebody --role {role} --password-file /run/password --json"
    return json.loads(machine.said(words))


def signed_in(machine: Guest, email: str, totp_secret: str) -> None:
    """Let the command act in somebody's name."""
    code = pyotp.TOTP(totp_secret).now()
    machine.run(f"strongroom sign-in {email} --password-file /run/password --totp {code}")


def deliver(machine: Guest, recipient: str, *, subject: str, text: str) -> None:
    """As another server does: STARTTLS, with the name that the MX record would say."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "bea@example.net", recipient, subject
    letter["Message-ID"] = f"<{time.monotonic_ns()}@example.net>"
    letter.set_content(text + "\r\n")
    context = ssl.create_default_context(cadata=machine.said("cat /var/lib/strongroom/tls/ca.pem"))
    with smtplib.SMTP(machine.address, 25, timeout=30) as client:
        client._host = f"mx.{DOMAIN}"  # type: ignore[attr-defined] # the name that the certificate must be good for
        client.starttls(context=context)
        client.send_message(letter)


def doctors_line(machine: Guest, name: str) -> dict[str, str]:
    """What the doctor says about one thing."""
    answer = json.loads(machine.run("strongroom doctor --quick --json", check=False).stdout)
    found: dict[str, str] = next(item for item in answer["items"] if item["check"] == name)
    return found


def found(machine: Guest, query: str, *, asked_by: str, at_least: int = 1) -> list[str]:
    """Subjects of what the archive finds for somebody who is signed in, once the worker has got there."""
    end = time.monotonic() + 90
    while True:
        answer = json.loads(machine.said(f"strongroom archive search {query} --as {asked_by} --json"))
        subjects = [str(item["subject"]) for item in answer["items"]]
        if len(subjects) >= at_least or time.monotonic() > end:
            return subjects
        time.sleep(0.5)


@contextmanager
def browser_page(machine: Guest) -> Iterator[Page]:
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


def sign_in(page: Page, email: str, totp_secret: str) -> None:
    """Password and one-time code, as a person types them."""
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("One-time code").fill(pyotp.TOTP(totp_secret).now())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def shows(page: Page, text: str) -> bool:
    """Whether the text comes to stand on the page or in a frame of it."""
    end = time.monotonic() + 15
    while not any(text in frame.content() for frame in page.frames):
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(200)
    return True
