"""A practice that nothing on its machine opens: a start of the machine, mail meanwhile, a person who unseals.

Run by ``make test-appliance``. One guest for all; the tests build on one another and stand in their order.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.appliance import guest, secret_watch
from tests.appliance.guest import Guest
from tests.appliance.practice_ground import (
    DOMAIN,
    PLAYBOOK,
    REPOSITORY,
    added,
    browser_page,
    changed,
    deliver,
    found,
    shows,
    sign_in,
    signed_in,
    variables,
)
from tests.appliance.secret_watch import SecretWatch

PASSPHRASE = "four quiet herons wade"
SUBJECT = "While nobody was there"
TEXT = "The fever is down to 37.9."
ADA, RITA = f"ada@{DOMAIN}", f"rita@{DOMAIN}"
TAKES_CONNECTIONS = "for i in $(seq 300); do ss -ltn | grep -q :25 && exit 0; sleep 0.1; done; exit 1"
STATUS = "strongroom key agent status --json"

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Sealed:
    """The machine, what the playbook was told and said, and all command lines meanwhile."""

    machine: Guest
    told: dict[str, object]
    key: str
    said: str
    watch: SecretWatch


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    key, path = secrets.token_hex(32), tmp_path_factory.mktemp("keys") / "unlock.key"
    path.write_text(key + "\n", "ascii")
    told = variables(strongroom_start="sealed", strongroom_key_file=str(path))
    with guest.booted("practice-sealed") as machine:
        with secret_watch.watching() as watch:
            done = guest.playbook(machine, REPOSITORY, program=PLAYBOOK, told=told, verbosity=3)
        yield Sealed(machine, told, key, done.stdout + done.stderr, watch)


@pytest.fixture(scope="module")
def clinician(sealed: Sealed) -> str:
    """Ada's authenticator secret. Rita, who keeps records, is signed in to the command; a passphrase opens as well."""
    made = added(sealed.machine, ADA, "clinician")
    records = added(sealed.machine, RITA, "records")
    signed_in(sealed.machine, RITA, records["totp_secret"])
    with_key, with_words = (
        _in_memory(sealed.machine, "key", sealed.key),
        _in_memory(sealed.machine, "words", PASSPHRASE),
    )
    sealed.machine.run(f"strongroom key slot add --key-file {with_key} --new-passphrase-file {with_words}")
    sealed.machine.run(f"rm {with_key} {with_words}")
    return str(made["totp_secret"])


def test_the_key_is_on_no_disk_no_command_line_and_in_no_output(sealed: Sealed) -> None:
    assert not sealed.watch.saw(sealed.key)
    assert len(sealed.watch.lines) > 100  # it did look
    assert sealed.key not in sealed.said
    assert sealed.key not in sealed.machine.said("journalctl --no-pager")  # its files may be packed
    looked = "grep -rlsF --devices=skip -f - /etc /opt/strongroom /root /run /tmp /var || true"
    assert sealed.machine.run(looked, given=sealed.key + "\n").stdout == ""


def test_after_a_start_of_the_machine_mail_is_taken_and_nobody_reads(sealed: Sealed, clinician: str) -> None:
    del clinician
    sealed.machine.reboot()
    sealed.machine.run(TAKES_CONNECTIONS)
    assert json.loads(sealed.machine.said(STATUS))["sealed"] is True
    deliver(sealed.machine, ADA, subject=SUBJECT, text=TEXT)
    refused = sealed.machine.run(f"strongroom archive search fever --as {RITA}", check=False)
    assert "temporarily unavailable" in refused.stderr.lower()
    with browser_page(sealed.machine) as page:
        answer = page.goto("/sign-in")
        assert answer is not None
        assert answer.status == 503


def test_what_came_meanwhile_is_there_once_a_person_has_unsealed(sealed: Sealed, clinician: str) -> None:
    words = _in_memory(sealed.machine, "words", PASSPHRASE)
    opened = json.loads(sealed.machine.said(f"strongroom unseal --passphrase-file {words} --json"))
    sealed.machine.run(f"rm {words}")
    assert (opened["was_sealed"], opened["taken_in"], opened["is_drained"]) == (True, 1, True)
    with browser_page(sealed.machine) as page:
        sign_in(page, ADA, clinician)
        page.get_by_role("link", name=SUBJECT).first.click()
        assert shows(page, TEXT)
    assert found(sealed.machine, "fever", asked_by=RITA) == [SUBJECT]


def test_a_second_run_opens_a_sealed_practice_and_changes_nothing(sealed: Sealed, tmp_path: Path) -> None:
    """The certificate is handed over from here this time, its key with it: neither is said."""
    handed = {"strongroom_tls_certificate": "server.pem", "strongroom_tls_key": "server.key"}
    for name in handed.values():
        (tmp_path / name).write_text(sealed.machine.run(f"cat /var/lib/strongroom/tls/{name}").stdout, "ascii")
    sealed.machine.run("strongroom seal")
    told = {**sealed.told, **{variable: str(tmp_path / name) for variable, name in handed.items()}}
    again = guest.playbook(sealed.machine, REPOSITORY, program=PLAYBOOK, told=told, verbosity=3)
    assert changed(again.stdout) == 0, again.stdout
    assert json.loads(sealed.machine.said(STATUS))["sealed"] is False
    assert (tmp_path / "server.key").read_text("ascii").splitlines()[1] not in again.stdout + again.stderr
    looked = guest.playbook(sealed.machine, REPOSITORY, program=PLAYBOOK, told=told, check=True)
    assert changed(looked.stdout) == 0, looked.stdout


def _in_memory(machine: Guest, name: str, secret: str) -> str:
    """A file for a moment that is on no disk."""
    path = f"/run/{secrets.token_hex(8)}.{name}"
    machine.run(f"umask 077; cat > {path}; chown strongroom {path}", given=secret + "\n")
    return path
