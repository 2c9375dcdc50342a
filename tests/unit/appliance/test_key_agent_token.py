"""A token unseals the key agent as it runs: hardened, without a network, asked by a role and by a command."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pkcs11
import pytest

from appliance.key_agent_policy import Asker
from mailstore import key_custody, ways_in
from mailstore.errors import SealedError, StrongroomError
from mailstore.slot_key_file import create_key_file
from mailstore.slot_token import TokenFile
from tests import key_agent_room
from tests.key_agent_room import NOW

LIBRARY = str(Path("/usr/lib/softhsm/libsofthsm2.so").resolve())
PIN = "1234-pin"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenFile:
    """A token of its own, spoken to by other processes alone: SoftHSM reads where its tokens lie once a process."""
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    line = ["softhsm2-util", "--init-token", "--free", "--label", "practice", "--pin", PIN, "--so-pin", "so-secret"]
    subprocess.run(line, check=True, capture_output=True)
    path = tmp_path / "token"
    path.write_text(f"{LIBRARY}\n{PIN}\n")
    in_a_new_process(make_key)
    return TokenFile(path, token="practice", key="rsa")


def make_key() -> None:
    session: Any = pkcs11.lib(LIBRARY).get_token(token_label="practice").open(user_pin=PIN, rw=True)
    with session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="rsa")


def in_a_new_process(work: Callable[[], object]) -> None:
    """A fork would not do: where another test of this process spoke to SoftHSM, the fork sees that test's tokens."""
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0, "its error stands above"


def test_token_opens_a_running_agent_and_another_pin_does_not(tmp_path: Path, token: TokenFile) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    key_file = create_key_file(directory / "unlock.key", os.urandom)
    keys = directory / "keys"
    key_custody.create(keys, key_file, os.urandom, now=NOW)
    in_a_new_process(partial(ways_in.add, keys, key_file, token, os.urandom, now=NOW))
    assert [slot.kind for slot in ways_in.listed(keys)] == ["key_file", "token"]
    secret = token.path.read_bytes()
    with key_agent_room.running(directory, opens=False) as room:
        asker, worker = room.client(Asker.SEALED_MAIL), room.client(Asker.WORKER)
        with pytest.raises(SealedError):
            worker.working_keys()
        with pytest.raises(StrongroomError):
            asker.unseal("token", secret.replace(PIN.encode(), b"4321-pin"))
        assert asker.status()["sealed"]
        key_agent_room.until(lambda: "wait_seconds" not in tried(asker, secret))
        assert not asker.status()["sealed"]
        assert worker.working_keys().row_key == room.ring.row_key
        [opened] = worker.opened([room.wrapped("a" * 26)])
        assert opened == b"a" * 32


def tried(asker: Any, secret: bytes) -> dict[str, Any]:
    """After a wrong secret the next one has to wait a moment."""
    try:
        told: dict[str, Any] = asker.unseal("token", secret)
    except StrongroomError as error:
        return {"wait_seconds": error.message}
    return told
