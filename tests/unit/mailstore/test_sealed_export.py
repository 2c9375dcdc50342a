"""An export is read by the stand-alone reader alone: a program of its own, in a folder of its own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import dictionary_training, read_sealed_message
from mailstore.deposit import Deposit
from mailstore.dictionary_training import DictionaryTraining
from mailstore.errors import DestroyedError
from mailstore.message import MessageId
from mailstore.read_sealed_message import RefusedError, main, opened
from mailstore.sealed_export import SealedExport, SealedExports
from tests.unit.mailstore.test_mail_dictionary import samples
from tests.vault_room import Vault, a_deposit, sent_by

CONTENT = b"Subject: hello\r\n\r\nworld\r\n"
FILE = os.urandom(40_000)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setattr(dictionary_training, "FIRST_AT_MESSAGES", 50)
    made = Vault(tmp_path / "data")
    yield made
    made.close()


def export(vault: Vault, message: MessageId) -> SealedExport:
    return SealedExports(vault.database, vault.message_keys(), vault.spool, vault.objects).of(message)


def with_file() -> Deposit:
    """Text as the practice writes it, which the dictionary packs, and a file that another message carries too."""
    return a_deposit(samples(1)[0].text + b"\r\n" + base64.encodebytes(FILE).replace(b"\n", b"\r\n"))


def train(vault: Vault) -> None:
    deposits = [
        sent_by(a_deposit(each.text), f"{each.sender.decode().replace(' ', '')}@elsewhere.example")
        for each in samples(60)
    ]
    vault.deposit(*deposits)
    keys = vault.message_keys()
    DictionaryTraining(
        vault.database, vault.keystore, vault.retrieval(), keys, clock=vault.clock, randomness=os.urandom
    ).run()


def read_by_a_stranger(folder: Path, exported: SealedExport) -> bytes:
    """Isolated (``-I``): no environment, no current directory; the reader's file alone was copied."""
    folder.mkdir()
    reader = folder / "reader.py"
    shutil.copyfile(read_sealed_message.__file__, reader)
    (folder / "m.sealed").write_bytes(exported.sealed)
    (folder / "m.key").write_bytes(exported.keys)
    line = [sys.executable, "-I", str(reader), str(folder / "m.sealed"), str(folder / "m.key")]
    return subprocess.run(line, check=True, capture_output=True, cwd=folder, env={}).stdout


def test_a_message_in_the_spool_is_read_without_us(vault: Vault, tmp_path: Path) -> None:
    (message,) = vault.deposit(a_deposit(CONTENT))
    exported = export(vault, message)
    assert json.loads(exported.sealed)["kind"] == "message"
    assert CONTENT not in exported.sealed
    assert read_by_a_stranger(tmp_path / "elsewhere", exported) == CONTENT == exported.content()


def test_a_message_with_a_shared_file_and_a_dictionary_is_read_without_us(vault: Vault, tmp_path: Path) -> None:
    train(vault)
    first, second = vault.deposit(with_file(), with_file())
    content = vault.retrieval().content(second)
    vault.promotion().promote_all([first, second])
    vault.release(timedelta(0))
    exported = export(vault, second)
    told = json.loads(exported.sealed)
    assert (told["kind"], len(told["parts"]), len(told["dictionaries"])) == ("recipe", 1, 1)
    assert len(json.loads(exported.keys)["keys"]) == 3
    assert read_by_a_stranger(tmp_path / "elsewhere", exported) == content


def test_a_destroyed_message_is_not_exported(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(CONTENT))
    vault.destroy([message])
    with pytest.raises(DestroyedError):
        export(vault, message)


def test_every_byte_of_an_export_counts(vault: Vault) -> None:
    """Refused, or read as it was: a name of a field that nobody asks for, a space, a digit in capitals."""
    (message,) = vault.deposit(a_deposit(CONTENT))
    exported = export(vault, message)
    for place in range(len(exported.sealed)):
        changed = bytearray(exported.sealed)
        changed[place] ^= 1 << place % 8
        assert outcome(bytes(changed), exported.keys) in {CONTENT, None}
    for place in range(len(exported.keys)):
        changed = bytearray(exported.keys)
        changed[place] ^= 1 << place % 8
        assert outcome(exported.sealed, bytes(changed)) in {CONTENT, None}
    sealed = json.loads(exported.sealed)
    raw = base64.b64decode(sealed["sealed"])
    for place in range(len(raw)):
        spoilt = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        sealed["sealed"] = base64.b64encode(spoilt).decode()
        assert outcome(json.dumps(sealed).encode(), exported.keys) is None


def outcome(sealed: bytes, keys: bytes) -> bytes | None:
    try:
        return opened(sealed, keys)
    except RefusedError:
        return None


def test_the_parts_of_two_exports_do_not_mix(vault: Vault) -> None:
    one, other = (export(vault, message) for message in vault.deposit(a_deposit(CONTENT), a_deposit(b"x: y\r\n\r\nz")))
    assert outcome(one.sealed, other.keys) is None
    renamed = other.sealed.replace(other.message.encode(), one.message.encode())
    keys = json.loads(one.keys)
    keys["keys"][one.message] = json.loads(other.keys)["keys"][other.message]
    assert outcome(renamed, json.dumps(keys).encode()) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"format": "strongroom-sealed-message-1"}', "\xff"])
def test_files_that_are_no_export_are_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    sealed, key = tmp_path / "a.sealed", tmp_path / "a.key"
    sealed.write_text(text, encoding="latin-1")
    key.write_text('{"format": "strongroom-sealed-message-keys-1", "message": "a", "keys": {}}')
    assert main([str(sealed), str(key)]) == 1
    assert main([str(key), str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err.startswith("refused: ")
