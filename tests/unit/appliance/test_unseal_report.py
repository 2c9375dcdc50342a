"""What is told of tries once somebody can be told: in the audit log, and to whoever reads the postmaster's mail."""

from __future__ import annotations

from pathlib import Path

from appliance.alert_mail import AlertMail, Readers
from appliance.unseal_report import OPENED, REFUSED, SEALED, SUBJECT, UnsealReport
from appliance.unseal_tries import UnsealTries
from mailstore import audit_trail
from mailstore.actor import Actor
from mailstore.addresses import Address
from mailstore.message import MessageId, ReceivedMessage
from portal.front_door import Accepted
from tests.vault_room import Vault

POSTMASTER = Address("postmaster", "clinic.example")


class Letterbox:
    """A front door that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[ReceivedMessage] = []

    def accept(self, received: ReceivedMessage, actor: Actor | None = None) -> Accepted:
        del actor
        self.taken.append(received)
        return Accepted(MessageId("a" * 26))


def mail_to(letters: Letterbox, vault: Vault) -> AlertMail:
    return AlertMail(letters, lambda: Readers((POSTMASTER,), ()), POSTMASTER, "mx.clinic.example", vault.clock)


def test_everything_is_told_once(tmp_path: Path) -> None:
    vault, letters = Vault(tmp_path / "vault"), Letterbox()
    tries = UnsealTries(tmp_path / "tries.json", vault.clock)
    report = UnsealReport(tries, vault.database, mail_to(letters, vault), vault.clock)
    report.tell()
    tries.note_sealing("command")
    tries.begin("sealed-mail")
    tries.begin("sealed-mail")
    tries.was_right("sealed-mail", was_sealed=True)
    report.tell()
    report.tell()
    with vault.database.read() as connection:
        told = {each.event: each.detail for each in audit_trail.tail(connection, 100)}
        assert audit_trail.size(connection) == len(told)
    vault.close()
    assert told.keys() == {REFUSED, OPENED, SEALED}
    assert (told[REFUSED]["tries"], told[REFUSED]["by"], told[SEALED]["by"]) == (1, "page", "command")
    (letter,) = letters.taken
    assert SUBJECT.encode() in letter.content
    assert letter.envelope.recipients == (POSTMASTER,)


def test_right_ones_alone_write_to_nobody(tmp_path: Path) -> None:
    vault, letters = Vault(tmp_path / "vault"), Letterbox()
    tries = UnsealTries(tmp_path / "tries.json", vault.clock)
    tries.begin("command")
    tries.was_right("command", was_sealed=False)
    UnsealReport(tries, vault.database, mail_to(letters, vault), vault.clock).tell()
    with vault.database.read() as connection:
        assert audit_trail.size(connection) == 0
    vault.close()
    assert letters.taken == []
    assert tries.told() == {}
