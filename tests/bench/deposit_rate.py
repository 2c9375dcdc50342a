"""What taking a message in costs: ``python -m tests.bench.deposit_rate [messages] [window]``; prints JSON."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from mailstore.deposit import Deposit, Depositor
from mailstore.message import MessageId
from tests.vault_room import Vault, a_deposit

_WORDS = [f"{a}{b}{c}" for a in ("pre", "con", "sta", "mor", "bel") for b in ("ti", "ra", "lu") for c in ("on", "al")]


def _mail(chooser: random.Random, size_bytes: int = 7600) -> bytes:
    body = " ".join(chooser.choices(_WORDS, k=size_bytes // 7)).encode()
    return b"Subject: rate\r\n\r\n" + body


def _send(depositor: Depositor, deposits: list[Deposit], window: int) -> None:
    """One thread that seals, with up to ``window`` messages whose answer is awaited: what the SMTP role does."""
    waiting: deque[Future[MessageId]] = deque()
    for deposit in deposits:
        if len(waiting) >= window:
            waiting.popleft().result()
        waiting.append(depositor.submit(deposit))
    for future in waiting:
        future.result()


def measure(messages: int, window: int) -> dict[str, float]:
    """CPU and wall time of ``messages`` deposits, of which up to ``window`` are under way at a time."""
    chooser = random.Random(1)  # noqa: S311 -- made-up mail, the same in every run
    mails = [_mail(chooser) for _ in range(messages)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIRECTORY")) as folder:
        vault = Vault(Path(folder))
        mailbox = vault.mailbox()
        deposits = [a_deposit(content, mailbox=mailbox) for content in mails]
        depositor = vault.depositor()
        wall, cpu = time.perf_counter(), time.process_time()
        _send(depositor, deposits, window)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        depositor.close()
        vault.close()
    return {
        "messages": messages,
        "window": window,
        "messages_per_second": round(messages / wall, 1),
        "cpu_ms_per_message": round(1000 * cpu / messages, 3),
    }


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.stdout.write(json.dumps(measure(*(arguments or (3000, 32)))) + "\n")
