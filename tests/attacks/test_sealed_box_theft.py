"""Threat: the whole disk of a sealed box is stolen, with mail waiting on it, or after a practice lived on it.

The thief has every file below the data directory, of PostgreSQL's server where rows and keys lie there, time, and no
secret. They try every file as a key, look through all bytes for what they know must be there, and put old segments back
to have mail come twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import door_list
from appliance.demo import plain_text_scan
from appliance.door_list import DoorCost
from appliance.wiring import Appliance
from mailstore import arrival_group, key_custody, ways_in
from mailstore.addresses import Address
from mailstore.errors import StrongroomError, WrongKeyError
from mailstore.key_hierarchy import CaptureKeyPair, KeyRing, fingerprint, unwrap_batch_key, unwrap_message_key
from mailstore.key_opener import CaptureOpener
from mailstore.message import Envelope, Origin, Peer, ReceivedMessage
from mailstore.sealed_format import KEY_BYTES
from mailstore.sealed_spool import SealedSegments, SealedSpool
from mailstore.slot_key_file import KeyFile
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
from tests import database_room, lived_practice, postgresql_room
from tests.lived_practice import ANN, CANARIES, HELD, KEPT, RUTH, archived, disposed, taken_in
from tests.running_practice import PASSWORD
from tests.vault_room import Vault

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
WORDS = ("Quillwort", "Bluethroat", "sandlance", "nightjar", "192.0.2.77", "mx.heron.example")
MESSAGE = ReceivedMessage(
    Envelope(Address("nightjar", "heron.example"), (Address("sandlance", "clinic.example"),)),
    b"Subject: Quillwort\r\n\r\n" + b"Bluethroat " * 50 + b"\r\n",
    NOW,
    Origin.SMTP,
    Peer("192.0.2.77", "mx.heron.example", "TLSv1.3"),
)


@pytest.fixture(scope="module")
def stolen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that lies below the data directory of a box with keys, rows, a door list and mail that waits."""
    home = tmp_path_factory.mktemp("practice")
    secret = home / "passphrase"
    secret.write_text("four quiet herons wade")
    data = home / "data"
    vault = Vault(data)
    vault.mailbox(address="sandlance@clinic.example")
    vault.close()
    ring = key_custody.create(data / "keys", PassphraseFile(secret, Argon2Cost(8, 1, 1)), os.urandom, now=NOW)
    door = door_list.brought_up_to_date(
        None,
        ["sandlance@clinic.example"],
        has_caretaker=True,
        lookup_key=ring.lookup_key,
        randomness=os.urandom,
        cost=DoorCost(8, 1),
    )
    (data / "door.json").write_text(door_list.to_text(door, row_key=ring.row_key), "utf-8")
    spool = SealedSpool(data / "sealed-spool", capture_public=ring.capture.public, randomness=os.urandom)
    for _ in range(3):
        spool.submit(MESSAGE).result(5)
    spool.close()
    taken = tmp_path_factory.mktemp("thief") / "disk"
    shutil.copytree(data, taken)
    return taken


def files(stolen: Path) -> list[Path]:
    return sorted(path for path in stolen.rglob("*") if path.is_file())


def test_no_file_of_the_box_unlocks_it(stolen: Path) -> None:
    for path in files(stolen):
        for secret in (KeyFile(path), PassphraseFile(path)):
            with pytest.raises(StrongroomError):
                key_custody.unlock(stolen / "keys", secret)


def test_nothing_readable_lies_in_any_file_in_any_form(stolen: Path) -> None:
    assert plain_text_scan.findings(stolen, WORDS) == []


def test_no_32_bytes_of_any_file_are_the_key_to_what_waits(stolen: Path) -> None:
    """Every stretch of small files, and the whole of every segment, as the private half of the capture pair."""
    segment = next((stolen / "sealed-spool").glob("*.segment")).read_bytes()
    head = arrival_group.read_head(segment[16:])
    tried = 0
    for path in files(stolen):
        data = path.read_bytes()[:65_536]
        for start in range(0, len(data) - KEY_BYTES, KEY_BYTES if len(data) > 4096 else 8):
            pair = CaptureKeyPair.of(data[start : start + KEY_BYTES])
            assert fingerprint(pair.public) != head.sealed_for
            tried += 1
    assert tried > 500


def test_thief_with_a_key_of_their_own_opens_no_group(stolen: Path) -> None:
    reading = SealedSegments(stolen / "sealed-spool", CaptureOpener(CaptureKeyPair.of(bytes(range(32)))))
    for name in reading.names():
        for place, head in reading.places(name):
            with pytest.raises(WrongKeyError):
                reading.group(place, head)


def test_disk_tells_neither_how_many_messages_wait_nor_how_long_each_is(stolen: Path) -> None:
    """Three short messages and one of four kilobytes leave groups of one size."""
    segment = next((stolen / "sealed-spool").glob("*.segment")).read_bytes()
    longer = ReceivedMessage(MESSAGE.envelope, b"x" * 3000, NOW, Origin.SMTP, MESSAGE.peer)
    public = CaptureKeyPair.of(bytes(range(32))).public
    standing = arrival_group.Standing("s" * 26, 0)
    sizes = {
        len(arrival_group.sealed_group(some, standing=standing, capture_public=public, randomness=os.urandom))
        for some in ([MESSAGE], [MESSAGE] * 3, [longer])
    }
    assert sizes == {arrival_group.read_head(segment[16:]).total_bytes}


def test_door_list_answers_guesses_one_at_a_time_and_lists_nobody(stolen: Path) -> None:
    """What is conceded: a guess can be tested, at the price of one digest each."""
    text = (stolen / "door.json").read_text("utf-8")
    door = door_list.unverified(text)
    assert door.holds(door.digest_of("sandlance@clinic.example"))
    assert not door.holds(door.digest_of("nobody@clinic.example"))
    assert len(door.entries) == door_list.LEAST_ENTRIES
    assert "clinic" not in text
    default = DoorCost()
    assert default.memory_kib * default.passes >= 64 * 1024


@dataclass
class Disk:
    """A practice that lived: mail in the spool and in the store, an index, records, sign-ins, a disposal, a rotation.

    It opens with a passphrase that lies on no disk of it. ``secrets`` is what the thief would need.
    """

    places: tuple[Path, ...]
    secrets: dict[str, bytes]

    def files(self) -> Iterator[Path]:
        for place in self.places:
            yield from (path for path in sorted(place.rglob("*")) if path.is_file())


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    home = tmp_path_factory.mktemp("lived")
    practice = lived_practice.founded(home)
    with practice.opened() as appliance:
        practice.doomed = [taken_in(appliance, lived_practice.DOOMED) for _ in range(2)]
        practice.kept, held = taken_in(appliance, KEPT), taken_in(appliance, HELD)
        archived(appliance, [*practice.doomed, practice.kept, held])
        disposed(practice, appliance)
        practice.spooled = taken_in(appliance, KEPT)
        archived(appliance, [practice.spooled], is_promoted=False)
    secrets = sealed_with_a_passphrase(practice, home / "passphrase")
    servers = (disk_of_the_server(home / "server"),) if database_room.IS_POSTGRESQL else ()
    return Disk((practice.path, *servers), secrets)


def disk_of_the_server(into: Path) -> Path:
    """All files of PostgreSQL, its journal too, as they lie on the disk; some come and go meanwhile."""
    server = postgresql_room.shared()
    with server.administering() as connection:
        connection.execute("CHECKPOINT")
    subprocess.run(["cp", "-a", str(server.data), str(into)], check=False, capture_output=True)
    return into


def sealed_with_a_passphrase(practice: lived_practice.LivedPractice, passphrase: Path) -> dict[str, bytes]:
    """The key file of trying out gives way to a passphrase, which renews keys; every secret that opens anything now."""
    passphrase.write_text("four quiet herons wade")
    (inside,) = ways_in.listed(practice.data.keys)
    own = KeyFile(practice.data.unlock_key)
    secret = PassphraseFile(passphrase, Argon2Cost(8, 1, 1))
    secrets = named("before", key_custody.unlock(practice.data.keys, own)) | {"key file": own.path.read_bytes()[:64]}
    ways_in.add(practice.data.keys, own, secret, os.urandom, now=NOW)
    practice.told("--passphrase-file", str(passphrase), "key", "slot", "remove", inside.id)
    ring = key_custody.unlock(practice.data.keys, secret)
    _, _, root = key_custody.opened_slots((practice.data.keys / "slots.json").read_bytes(), secret)
    secrets |= named("now", ring) | {"root": root, "passphrase": passphrase.read_bytes(), "password": PASSWORD.encode()}
    with Appliance.opened(practice.data, passphrase_file=passphrase) as appliance:
        for message in (practice.kept, practice.spooled):
            row = appliance.keystore.wrapped_key(message)
            capture = ring.capture_for(row.sealed_for)
            batch = unwrap_batch_key(row.wrapped_batch_key, capture=capture, batch=row.batch, sealed_for=row.sealed_for)
            key = unwrap_message_key(row.wrapped_message_key, batch_key=batch, batch=row.batch, message=message)
            secrets |= {f"batch of {message}": batch, f"key of {message}": key}
    return secrets | {f"authenticator of {email}": factor.encode() for email, factor in practice.secrets.items()}


def named(when: str, ring: KeyRing) -> dict[str, bytes]:
    return {f"{name} {when}": member for name, member in ring.members().items()}


def test_disk_of_a_practice_that_lived_holds_no_word_of_anybody(disk: Disk) -> None:
    words = (*CANARIES, "quokka", "litigated", "potassium", "lab.example", ANN, RUTH, "four quiet herons")
    assert plain_text_scan.findings(disk.places[0], words) == []
    forms = [word.encode(coding) for word in words for coding in ("utf-8", "utf-16-le")]
    for path in disk.files():
        content = path.read_bytes()
        assert [form for form in forms if form in content] == [], path


def test_disk_of_a_practice_that_lived_holds_no_secret_in_any_form(disk: Disk) -> None:
    """Members of the ring, before a rotation and after it, the root key, keys of batches and messages, and factors."""
    count = 0
    for path in disk.files():
        content = path.read_bytes()
        count += 1
        for name, secret in disk.secrets.items():
            for form in (secret, secret.hex().encode(), b64encode(secret).rstrip(b"=")):
                assert form not in content, (name, path)
    assert count > 20


def test_no_file_of_a_practice_that_lived_unlocks_it(disk: Disk) -> None:
    keys = disk.places[0] / "keys"
    for path in disk.files():
        for secret in (KeyFile(path), PassphraseFile(path)):
            with pytest.raises(StrongroomError):
                key_custody.unlock(keys, secret)
