from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import portal.tables
from appliance.delivery_plan import Place
from appliance.directory import Directory
from mailstore import mailboxes
from mailstore.actor import Role
from mailstore.addresses import Address, parse_mailbox
from mailstore.key_hierarchy import address_index
from portal import account_records
from portal.account_records import AccountRecords, Person, Secrets
from tests.smtp_room import ALICE_ACCOUNT, FrontDoorRoom
from tests.vault_room import RING, Vault


class Practice:
    """Accounts with mailboxes, and the directory over them."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        vault.database.create_all(portal.tables.METADATA)
        self._accounts = AccountRecords(
            vault.database, account_key=RING.account_key, lookup_key=RING.lookup_key, randomness=os.urandom
        )
        self.directory = Directory(
            vault.database,
            lookup_key=RING.lookup_key,
            domains=["clinic.example"],
            caretaker=account_records.caretaker,
            fresh_seconds=0,
        )

    def joined_by(self, email: str, role: Role) -> str:
        """Somebody new with a mailbox of their own; answers its name."""
        self._vault.clock.advance(timedelta(minutes=1))
        index = address_index(RING.lookup_key, parse_mailbox(email))
        with self._vault.database.write() as connection:
            account = self._accounts.add(
                connection,
                person=Person("Somebody", email),
                role=role,
                secrets=Secrets("hash", "secret"),
                now=self._vault.clock.now(),
            )
            return mailboxes.create(connection, account.id, index).id


@pytest.fixture
def practice(tmp_path: Path) -> Iterator[Practice]:
    vault = Vault(tmp_path / "vault")
    yield Practice(vault)
    vault.close()


@pytest.mark.parametrize("local", ["postmaster", "PostMaster", "abuse", "notices", "notices+a1-0-b2"])
def test_mail_to_the_practice_as_such_goes_to_the_first_administrator(practice: Practice, local: str) -> None:
    address = Address(local, "clinic.example")
    assert practice.directory.locate(address).place is Place.UNKNOWN_HERE
    first = practice.joined_by("first@clinic.example", Role.CLINICIAN)
    assert practice.directory.locate(address).mailbox == first
    admin = practice.joined_by("boss@clinic.example", Role.ADMIN)
    practice.joined_by("second.boss@clinic.example", Role.ADMIN)
    assert practice.directory.locate(address).mailbox == admin


def test_somebody_whose_own_address_is_postmaster_gets_that_mail(practice: Practice) -> None:
    practice.joined_by("boss@clinic.example", Role.ADMIN)
    own = practice.joined_by("postmaster@clinic.example", Role.FRONTDESK)
    assert practice.directory.locate(Address("postmaster", "clinic.example")).mailbox == own


def test_a_patient_never_becomes_postmaster_and_other_names_stay_unknown(practice: Practice) -> None:
    practice.joined_by("patient@elsewhere.example", Role.PATIENT)
    asked = practice.directory
    assert asked.locate(Address("postmaster", "clinic.example")).place is Place.UNKNOWN_HERE
    practice.joined_by("boss@clinic.example", Role.ADMIN)
    for text in ("nobody@clinic.example", "abuse+x@clinic.example", "postmaster2@clinic.example"):
        assert asked.locate(parse_mailbox(text)).place is Place.UNKNOWN_HERE
    assert asked.locate(parse_mailbox("postmaster@elsewhere.example")).place is Place.OUTSIDE


@pytest.mark.parametrize("path", ["postmaster", "PostMaster@clinic.example", "abuse@clinic.example"])
def test_other_servers_reach_the_postmaster(tmp_path: Path, path: str) -> None:
    with FrontDoorRoom(tmp_path / "door", caretaker=lambda _connection: ALICE_ACCOUNT) as door:
        with door.client() as client:
            client.ehlo("peer.example")
            client.mail("sender@elsewhere.example")
            assert client.docmd("RCPT", f"TO:<{path}>")[0] == 250
            assert client.data(b"Subject: to whom it may concern\r\n\r\nhi\r\n")[0] == 250
        assert len(door.inbox()) == 1
