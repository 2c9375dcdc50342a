"""A practice with its first run by a person, and with both scanners: the playbook stops, and goes on when it is done.

Run by ``make test-appliance``. One guest for all; the tests build on one another and stand in their order.
"""

from __future__ import annotations

import base64
import json
import secrets
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.appliance import guest, secret_watch
from tests.appliance.guest import Guest
from tests.appliance.practice_ground import DOMAIN, PASSWORD, PLAYBOOK, REPOSITORY, changed, deliver, variables

ADA = f"ada@{DOMAIN}"
EICAR = base64.b64decode(
    b"WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJELUFOVElWSVJVUy1URVNULUZJTEUhJEgrSCo="
)
"""The file that every scanner of viruses knows and that harms nobody (https://www.eicar.org/), not as it is."""

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""The text that every filter of junk knows (https://spamassassin.apache.org/gtube/)."""

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def told() -> dict[str, object]:
    scanners = {"strongroom_rspamd": True, "strongroom_clamav": True, "clamav_freshclam": False}
    return variables(strongroom_without_shares=False, **scanners)


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest.booted("practice-first") as booted:
        _one_signature(booted)
        yield booted


def test_the_playbook_stops_until_shares_were_read_back_and_then_goes_on(
    machine: Guest, told: dict[str, object], tmp_path: Path
) -> None:
    """A bucket is named meanwhile: what opens it is told to nobody, nor is what the person was shown."""
    (bucket := tmp_path / "bucket").write_text(f"key-{secrets.token_hex(8)}\n{secrets.token_hex(24)}\n", "ascii")
    far = {"name": "far", "url": "s3+https://store.example/backups", "credentials": str(bucket)}
    with secret_watch.watching() as watch:
        with pytest.raises(AssertionError, match="sudo strongroom setup") as stopped:
            guest.playbook(
                machine, REPOSITORY, program=PLAYBOOK, told={**told, "strongroom_backup_targets": [far]}, verbosity=3
            )
        assert machine.said("systemctl is-active 'strongroom*' || true") == ""
        assert machine.said("cat /var/lib/strongroom/keys/backup-far") == bucket.read_text("ascii").strip()
        words, shown = _by_a_person(machine)
        done = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, verbosity=3)
    watch.said += [str(stopped.value), done.stdout + done.stderr]
    hidden = [
        PASSWORD,
        *shown,
        *words,
        *bucket.read_text("ascii").split(),
        machine.said("cat /etc/strongroom/unlock.key"),
    ]
    assert watch.places_of(machine, hidden) == []
    answer = json.loads(machine.run("strongroom doctor --json", check=False).stdout)  # no DNS knows of this practice
    states = {item["check"]: item["state"] for item in answer["items"]}
    assert [states[check] for check in ("first run", "serve", "rspamd", "clamd")] == ["ok"] * 4, answer


def test_virus_and_junk_are_refused_and_what_is_neither_is_taken(machine: Guest) -> None:
    deliver(machine, ADA, subject="A referral", text="Dear colleague, thank you.")
    for text, name, content in (("See the file.", "invoice.com", EICAR), (GTUBE, "", b"")):
        with pytest.raises(smtplib.SMTPDataError) as refused:
            _hand_over(machine, text, name, content)
        assert refused.value.smtp_code == 550
    entries = json.loads(machine.said("strongroom audit tail -n 50 --json"))["items"]
    refusals = [entry["detail"]["why"] for entry in entries if entry["event"] == "message.refused"]
    assert sorted(refusals) == ["junk", "virus"]


def test_with_clamd_gone_mail_is_put_off_and_with_rspamd_gone_it_is_taken(machine: Guest) -> None:
    machine.run("systemctl stop rspamd clamav-daemon.socket clamav-daemon.service")
    with pytest.raises(smtplib.SMTPDataError) as put_off:
        _hand_over(machine, "While nobody looks.")
    assert put_off.value.smtp_code == 451
    machine.run("systemctl start clamav-daemon.socket clamav-daemon.service")
    _hand_over(machine, "While one of them looks.")


def test_nothing_of_a_message_is_left_by_the_scanners(machine: Guest) -> None:
    machine.run("systemctl restart rspamd")
    _hand_over(machine, "The word is persimmon.")
    machine.run("systemctl stop rspamd")
    places = "/var/lib/rspamd /var/log /var/lib/clamav /tmp /var/tmp /run/strongroom-clamav"
    assert machine.said(f"grep -rl persimmon {places} || true") == ""
    assert machine.said(f"journalctl -o cat -u rspamd -u clamav-daemon | grep -c {ADA} || true") == "0"
    machine.run("systemctl start rspamd")


def test_a_second_run_changes_nothing(machine: Guest, told: dict[str, object]) -> None:
    again = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told)
    assert changed(again.stdout) == 0, again.stdout


def _by_a_person(machine: Guest) -> tuple[list[str], list[str]]:
    """What somebody does at the machine, over a pipe: words come out, and go back as if from paper.

    The words of all pages, and what else was shown.
    """
    ada = {"email": ADA, "name": "Ada Quinn", "password": PASSWORD}
    told = _setup(machine, {"administrator": ada, "shares": {"need": 2, "of": 3}})
    assert told["missing"] == ["read_back"]
    shown = [told["administrator"][name] for name in ("totp_secret", "app_password")]
    assert pyotp.TOTP(shown[0]).now()
    words: list[str] = told["shares"]["words"]
    assert not _setup(machine, {"read_back": [words[0], words[0]]}).get("finished")
    assert _setup(machine, {"read_back": words[1:]})["finished"]
    return words, shown


def _setup(machine: Guest, answers: dict[str, Any]) -> Any:
    done = machine.run("strongroom setup --json", check=False, given=json.dumps(answers))
    return json.loads(done.stdout)


def _hand_over(machine: Guest, text: str, name: str = "", content: bytes = b"") -> None:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "bea@example.net", ADA, "From outside"
    letter.set_content(text + "\r\n")
    if name:
        letter.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    with smtplib.SMTP(machine.address, 25, timeout=60) as client:
        client.send_message(letter)


def _one_signature(machine: Guest) -> None:
    """Signatures as somebody else put them there: that of EICAR alone, and what Debian's unit looks for."""
    line = f"Eicar-Test-Signature:0:*:{EICAR[:68].hex()}"
    machine.run("mkdir -p /var/lib/clamav && touch /var/lib/clamav/main.inc /var/lib/clamav/daily.inc")
    machine.run("cat > /var/lib/clamav/eicar.ndb", given=line + "\n")
