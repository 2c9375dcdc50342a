"""Threat: the whole disk of a sealed box is stolen, with mail waiting on it.

The thief has every file below the data directory, time, and no secret. They try every file as a key, look through all
bytes for what they know must be there, and put old segments back to have mail come twice.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import door_list
from appliance.demo import plain_text_scan
from appliance.door_list import DoorCost
from mailstore import arrival_group, key_custody
from mailstore.addresses import Address
from mailstore.errors import StrongroomError, WrongKeyError
from mailstore.key_hierarchy import CaptureKeyPair, fingerprint
from mailstore.key_opener import CaptureOpener
from mailstore.message import Envelope, Origin, Peer, ReceivedMessage
from mailstore.sealed_format import KEY_BYTES
from mailstore.sealed_spool import SealedSegments, SealedSpool
from mailstore.slot_key_file import KeyFile
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
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
