from __future__ import annotations

import base64
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailstore import key_custody, key_file_form, ways_in
from mailstore.errors import NotFoundError, RefusedError, TamperedError, WrongKeyError
from mailstore.key_custody import unlock
from mailstore.key_hierarchy import CaptureKeyPair, KeyRing
from mailstore.slot_key_file import KeyFile, create_key_file
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
from mailstore.slot_secret import SlotSecret

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


def passphrase(folder: Path, text: str = "correct horse\n", name: str = "pass") -> PassphraseFile:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return PassphraseFile(path, CHEAP)


def create(keys: Path, secret: SlotSecret) -> KeyRing:
    return key_custody.create(keys, secret, os.urandom, now=NOW)


def add_slot(keys: Path, secret: SlotSecret, added: SlotSecret) -> None:
    ways_in.add(keys, secret, added, os.urandom, now=NOW)


def rewrite(path: Path, stored: object) -> None:
    path.write_bytes(key_file_form.canonical(stored))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def ring(tmp_path: Path, keys: Path) -> KeyRing:
    return create(keys, passphrase(tmp_path))


def test_the_ring_opens_with_its_passphrase(tmp_path: Path, keys: Path, ring: KeyRing) -> None:
    assert unlock(keys, passphrase(tmp_path)) == ring
    assert unlock(keys, passphrase(tmp_path, "correct horse\r\n")) == ring
    assert len(set(ring.members().values())) == 10


def test_composed_and_decomposed_letters_are_the_same_passphrase(tmp_path: Path, keys: Path) -> None:
    ring = create(keys, passphrase(tmp_path, "Stra\u00dfe f\u00fcr \u00c5se"))
    assert unlock(keys, passphrase(tmp_path, "Stra\u00dfe fu\u0308r A\u030ase")) == ring


@pytest.mark.usefixtures("ring")
def test_wrong_passphrase_is_refused(tmp_path: Path, keys: Path) -> None:
    for text in ("Correct horse", "correct horse ", "correct"):
        with pytest.raises(WrongKeyError):
            unlock(keys, passphrase(tmp_path, text))
    with pytest.raises(RefusedError):
        unlock(keys, passphrase(tmp_path, "\n"))


def test_the_ring_opens_with_its_key_file_only(tmp_path: Path, keys: Path) -> None:
    secret = create_key_file(tmp_path / "unlock.key", os.urandom)
    ring = create(keys, secret)
    assert unlock(keys, secret) == ring
    with pytest.raises(WrongKeyError):
        unlock(keys, create_key_file(tmp_path / "other.key", os.urandom))
    with pytest.raises(WrongKeyError):
        unlock(keys, passphrase(tmp_path))
    (tmp_path / "unlock.key").write_text("00ff")
    with pytest.raises(WrongKeyError):
        unlock(keys, secret)


def test_a_second_slot_opens_the_same_ring(tmp_path: Path, keys: Path, ring: KeyRing) -> None:
    spare = create_key_file(tmp_path / "spare.key", os.urandom)
    with pytest.raises(WrongKeyError):
        add_slot(keys, passphrase(tmp_path, "wrong", "wrong"), spare)
    add_slot(keys, passphrase(tmp_path), spare)
    assert unlock(keys, spare) == ring
    assert unlock(keys, passphrase(tmp_path)) == ring


def test_keys_are_never_made_twice(tmp_path: Path, keys: Path, ring: KeyRing) -> None:
    (keys / "slots.json").unlink()
    with pytest.raises(RefusedError):
        create(keys, passphrase(tmp_path))
    assert (keys / "capture.pub").read_text() == key_file_form.text(ring.capture.public) + "\n"
    with pytest.raises(RefusedError):
        create_key_file(passphrase(tmp_path).path, os.urandom)


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("name", ["slots.json", "keyring.json", "capture.pub"])
def test_missing_key_file_never_makes_a_new_key(tmp_path: Path, keys: Path, name: str) -> None:
    (keys / name).unlink()
    with pytest.raises(NotFoundError, match=name):
        unlock(keys, passphrase(tmp_path))
    assert not (keys / name).exists()


def test_only_we_can_read_the_files(tmp_path: Path, keys: Path, ring: KeyRing) -> None:
    add_slot(keys, passphrase(tmp_path), create_key_file(tmp_path / "spare.key", os.urandom))
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "spare.key").stat().st_mode) == 0o600
    stored = b"".join(path.read_bytes() for path in keys.iterdir())
    assert not any(member in stored or member.hex().encode() in stored for member in ring.members().values())


@pytest.mark.usefixtures("ring")
def test_substituted_capture_key_is_refused(tmp_path: Path, keys: Path) -> None:
    stranger = CaptureKeyPair.of(os.urandom(32)).public
    (keys / "capture.pub").write_text(key_file_form.text(stranger) + "\n", encoding="ascii")
    with pytest.raises(TamperedError, match=r"capture\.pub"):
        unlock(keys, passphrase(tmp_path))
    (keys / "capture.pub").write_text("AAAA\n", encoding="ascii")
    with pytest.raises(TamperedError, match=r"capture\.pub"):
        unlock(keys, passphrase(tmp_path))


@pytest.mark.usefixtures("ring")
def test_changed_or_swapped_member_is_named(tmp_path: Path, keys: Path) -> None:
    path = keys / "keyring.json"
    stored = json.loads(path.read_text())
    members = stored["members"]
    members["row_key"], members["audit_seed"] = members["audit_seed"], members["row_key"]
    rewrite(path, stored)
    with pytest.raises(TamperedError, match="row_key"):
        unlock(keys, passphrase(tmp_path))
    del members["row_key"]
    rewrite(path, stored)
    with pytest.raises(TamperedError, match=r"keyring\.json"):
        unlock(keys, passphrase(tmp_path))


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize(
    "change",
    [{"memory_kib": 2**40}, {"memory_kib": "much"}, {"passes": 10**6}, {"lanes": 0}, {"salt": "!"}, {"kind": None}],
)
def test_changed_slot_is_refused_without_exhausting_the_machine(
    tmp_path: Path, keys: Path, change: dict[str, object]
) -> None:
    path = keys / "slots.json"
    stored = json.loads(path.read_text())
    stored["slots"][0].update(change)
    rewrite(path, stored)
    with pytest.raises((TamperedError, WrongKeyError)):
        unlock(keys, passphrase(tmp_path))


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2, "slots": []}', '{"version": 1, "slots": 3}'])
def test_unreadable_slots_are_refused(tmp_path: Path, keys: Path, text: str) -> None:
    (keys / "slots.json").write_text(text)
    with pytest.raises(TamperedError, match=r"slots\.json"):
        unlock(keys, passphrase(tmp_path))


def test_the_default_cost_is_what_was_promised() -> None:
    cost = PassphraseFile(Path("x")).cost
    assert cost.memory_kib >= 256 * 1024
    assert cost.passes >= 3
    assert KeyFile(Path("x")).path == Path("x")


@pytest.mark.usefixtures("ring")
def test_bits_of_base64_that_a_decoder_would_ignore_are_changes_too(keys: Path) -> None:
    text = (keys / "capture.pub").read_text("ascii").strip()
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = text[:-2] + signs[signs.index(text[-2]) ^ 1] + text[-1]
    assert base64.b64decode(twin) == base64.b64decode(text)
    (keys / "capture.pub").write_text(twin + "\n", "ascii")
    with pytest.raises(TamperedError, match=r"capture\.pub"):
        key_custody.capture_public(keys)
