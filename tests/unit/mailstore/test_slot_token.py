from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pkcs11
import pytest

from mailstore import key_custody, ways_in
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, StrongroomError, WrongKeyError
from mailstore.slot_key_file import create_key_file
from mailstore.slot_token import TokenFile

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LIBRARY = str(Path("/usr/lib/softhsm/libsofthsm2.so").resolve())
PIN = "1234-pin"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SoftHSM reads where its tokens lie when it is loaded, once a process."""
    place = tmp_path_factory.mktemp("token")
    (place / "tokens").mkdir()
    configuration = place / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {place / 'tokens'}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    line = ["softhsm2-util", "--init-token", "--free", "--label", "practice", "--pin", PIN, "--so-pin", "so-secret"]
    subprocess.run(line, check=True, capture_output=True)
    with _session() as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="rsa")
        session.generate_key(pkcs11.KeyType.AES, 256, store=True, label="aes")
    yield place
    if before is None:
        del os.environ["SOFTHSM2_CONF"]


def _session() -> Any:
    return pkcs11.lib(LIBRARY).get_token(token_label="practice").open(user_pin=PIN, rw=True)


def token_file(place: Path, key: str, *, pin: str = PIN, library: str = LIBRARY) -> TokenFile:
    path = place / f"{key}.token"
    path.write_text(f"{library}\n{pin}\n")
    return TokenFile(path, token="practice", key=key)


@pytest.mark.parametrize("key", ["rsa", "aes"])
def test_a_key_that_never_leaves_its_token_opens_the_ring(tmp_path: Path, token: Path, key: str) -> None:
    keys, first = tmp_path / "keys", create_key_file(tmp_path / "first.key", os.urandom)
    ring = key_custody.create(keys, first, os.urandom, now=NOW)
    slot = ways_in.add(keys, first, token_file(token, key), os.urandom, now=NOW)
    assert {name: slot.noted[name] for name in ("token", "key")} == {"token": "practice", "key": key}
    assert key_custody.unlock(keys, TokenFile(token / f"{key}.token")) == ring
    assert PIN.encode() not in b"".join(path.read_bytes() for path in keys.iterdir())


@pytest.mark.parametrize("key", ["rsa", "aes"])
def test_every_byte_of_what_the_token_wrapped_counts(token: Path, key: str) -> None:
    secret = token_file(token, key)
    noted = dict(secret.noted(os.urandom))
    expected, wrapped = secret.slot_key(noted), str(noted["wrapped"])
    for place in range(len(wrapped)):
        noted["wrapped"] = wrapped[:place] + ("A" if wrapped[place] != "A" else "B") + wrapped[place + 1 :]
        with pytest.raises(StrongroomError):
            assert secret.slot_key(noted) != expected
    for name, value in (("token", "another"), ("key", "another")):
        with pytest.raises(NotFoundError):
            secret.slot_key({**noted, name: value, "wrapped": wrapped})


def test_a_wrong_pin_is_refused(token: Path) -> None:
    noted = token_file(token, "rsa").noted(os.urandom)
    with pytest.raises(WrongKeyError, match="PIN"):
        token_file(token, "rsa", pin="wrong-pin").slot_key(noted)
    assert token_file(token, "rsa").slot_key(noted)


def test_a_library_that_others_can_change_is_not_loaded(token: Path) -> None:
    noted = token_file(token, "rsa").noted(os.urandom)
    theirs = token / "library.so"
    theirs.write_bytes(b"\x7fELF")
    theirs.chmod(0o666)
    with pytest.raises(RefusedError, match="changed by others"):
        token_file(token, "rsa", library=str(theirs)).slot_key(noted)
    with pytest.raises(StorageUnavailableError):
        token_file(token, "rsa", library="/nowhere/library.so").slot_key(noted)
    (token / "rsa.token").write_text(f"{LIBRARY}\n")
    with pytest.raises(RefusedError, match="two lines"):
        TokenFile(token / "rsa.token").slot_key(noted)
