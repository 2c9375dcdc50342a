"""What backups cost: bytes a second of a first one, and what an incremental one sends. Run it on a quiet machine.

``python -m tests.bench.backup_cost [MESSAGES]`` prints one line for each generation into a directory on this disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mailstore.backup_making import Made
from tests.backup_room import Backups
from tests.vault_room import Vault, a_deposit

BODY_BYTES = 7_600
GROUP = 500


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Path(folder) / "vault")
        backups = Backups(vault, Path(folder) / "backup")
        deposit(vault, count)
        size = sum(path.stat().st_size for path in (Path(folder) / "vault").rglob("*") if path.is_file())
        print(f"{count:,} messages, {size / 1e6:.0f} MB below the data directory")
        tell("data, the first", backups.data)
        tell("data, nothing changed", backups.data)
        tell("keys, the base", backups.keys)
        tell("keys, nothing changed", backups.keys)
        for added in (count // 100, count // 10):
            deposit(vault, added)
            tell(f"data, {added:,} messages more", backups.data)
            tell(f"keys, {added:,} messages more", backups.keys)
        vault.close()


def deposit(vault: Vault, count: int) -> None:
    for start in range(0, count, GROUP):
        some = min(GROUP, count - start)
        content = (b"Subject: x\r\n\r\n" + os.urandom(BODY_BYTES * 3 // 4).hex().encode() for _ in range(some))
        messages = vault.deposit(*(a_deposit(each) for each in content))
        vault.promotion(repacks=False).promote_all(messages)


def tell(what: str, make: Callable[[], Made | None]) -> None:
    began, worked = time.monotonic(), time.process_time()
    made = make()
    seconds, processor = time.monotonic() - began, time.process_time() - worked
    sent = 0 if made is None else made.sent_bytes
    pieces = 0 if made is None else made.sent_pieces
    whole = 0 if made is None else made.generation.listing.size_bytes
    rate = sent / seconds / 1e6
    print(
        f"{what}: {seconds:.2f} s ({processor:.2f} s of processor), {pieces} pieces, {sent / 1e6:.2f} MB sent"
        f" ({rate:.0f} MB/s) of {whole / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
