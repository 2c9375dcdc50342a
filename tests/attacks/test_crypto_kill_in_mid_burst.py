"""Kill -9 in mid-burst: what was promised opens, once and whole; the rest is absent or whole; nothing is in clear."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import message_records
from tests.vault_room import Vault

CANARY = b"Holunderbluetensirup"

CHILD = """
import os, sys, threading
from pathlib import Path
from tests.vault_room import Vault, a_deposit
vault = Vault(Path(sys.argv[1]))
depositor = vault.depositor(segment_bytes=200_000)
promotion = vault.promotion()
def send(name):
    for number in range(10_000):
        message = depositor.deposit(a_deposit(b"%s %d %d " % (sys.argv[2].encode(), name, number) + os.urandom(3000)))
        os.write(1, message.encode() + b"\\n")
        if number % 5 == 0:
            promotion.promote(message)
            vault.release()
for name in range(6):
    threading.Thread(target=send, args=(name,), daemon=True).start()
threading.Event().wait()
"""


def killed_in_mid_burst(directory: Path, after_seconds: float) -> list[str]:
    """The promises that a burst made before it was killed."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), CANARY.decode()], env=environment, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(after_seconds)
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    return (first + rest).decode().split()


@pytest.mark.parametrize("seed", range(4))
def test_every_promise_survives_a_kill_in_mid_burst(tmp_path: Path, seed: int) -> None:
    chooser = random.Random(seed)  # noqa: S311 -- repeatable moments, not secrets
    promised: list[str] = []
    for _ in range(2):
        promised += killed_in_mid_burst(tmp_path / "data", chooser.uniform(0.05, 0.5))
    vault = Vault(tmp_path / "data")
    vault.clock.advance(timedelta(hours=2))
    vault.tidy()
    with vault.database.read() as connection:
        present = message_records.all_ids(connection)
    assert set(promised) <= set(present)
    assert len(promised) == len(set(promised))
    contents = [vault.retrieval().content(message) for message in present]
    assert all(content.startswith(CANARY) and len(content) > 3000 for content in contents)
    assert len({content.split(b" ", 3)[3] for content in contents}) == len(contents)
    assert list(vault.keystore.messages_keyed_before(vault.clock.now())) == sorted(present)
    vault.promotion().promote_all(present)
    vault.tidy()
    assert {vault.stored(message).object_name for message in present} == set(vault.objects.names())
    assert not vault.files_hold(CANARY)
