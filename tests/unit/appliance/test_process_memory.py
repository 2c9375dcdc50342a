"""Memory that a process has freed goes back to the machine."""

from __future__ import annotations

import gc
import subprocess
import sys

from appliance import process_memory

PEAK = """
import os
from appliance import process_memory

def resident():
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

process_memory.give_back()
blocks = [bytes(60_000) for _ in range(2_400)]
kept = blocks[::50]
blocks.clear()
before = resident()
process_memory.return_freed()
print(before, resident())
"""


def test_what_was_freed_between_blocks_in_use_is_handed_back() -> None:
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 100
    assert after < before - 80


def test_what_was_loaded_is_not_looked_at_for_garbage_again() -> None:
    walked = len(gc.get_objects())
    process_memory.keep_loaded()
    try:
        assert len(gc.get_objects()) < walked / 10
    finally:
        gc.unfreeze()
