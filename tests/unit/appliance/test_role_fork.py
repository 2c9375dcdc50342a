"""A role forked off its parent: what it keeps, what it lets go of, and how its end is told."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from appliance.role_fork import ForkedRole


def told(descriptor: int) -> bytes:
    """What a child wrote into the pipe until it ended."""
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def asleep() -> int:
    time.sleep(60)
    return 0


def test_exit_code_and_signal_are_told_as_for_any_program() -> None:
    assert ForkedRole.start(lambda: 7, keep=[]).wait(60) == 7
    sleeping = ForkedRole.start(asleep, keep=[])
    with pytest.raises(subprocess.TimeoutExpired):
        sleeping.wait(0.05)
    assert sleeping.poll() is None
    sleeping.kill()
    assert sleeping.wait(60) == -signal.SIGKILL
    sleeping.terminate()


def test_child_never_returns_into_what_its_parent_was_doing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    try:
        role = ForkedRole.start(lambda: 1 // 0, keep=[])
    finally:
        with trace.open("ab") as stream:
            stream.write(b"%d\n" % os.getpid())
    assert role.wait(60) == 1
    assert trace.read_bytes() == b"%d\n" % os.getpid()


def test_lock_of_the_parent_does_not_live_on_in_the_child(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        reading, writing = os.pipe()
        role = ForkedRole.start(asleep, keep=[writing])
        os.close(writing)
    try:
        with (tmp_path / "lock").open("wb") as again:
            for _ in range(1_200):
                try:
                    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)
            else:
                raise AssertionError("the child holds the lock")
    finally:
        role.kill()
        role.wait(60)
        os.close(reading)


def test_child_keeps_what_it_was_told_to_and_nothing_else() -> None:
    reading, writing = os.pipe()
    secret_reading, secret_writing = os.pipe()

    def life() -> int:
        where = {number: Path(f"/proc/self/fd/{number}").readlink() for number in (0, 1, secret_writing)}
        os.write(writing, repr({str(path) for path in where.values()}).encode())
        return 0

    role = ForkedRole.start(life, keep=[writing])
    os.close(writing)
    assert told(reading) == b"{'/dev/null'}"
    assert role.wait(60) == 0
    os.close(secret_reading)
    os.close(secret_writing)
