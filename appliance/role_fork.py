"""A role forked off its parent, which never has a key: what all of them load is loaded once.

A role that has fallen is started as a fresh program instead (``docs/decisions/process-model.md``).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

STDERR = 2
OPEN_DESCRIPTORS = Path("/proc/self/fd")


class ForkedRole:
    """A child process, with the handles that ``subprocess.Popen`` has."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    @classmethod
    def start(cls, live: Callable[[], int], *, keep: Collection[int]) -> ForkedRole:
        """Fork. The child keeps these descriptors and stderr, lives, and ends with the exit code that life gives."""
        pid = os.fork()
        if pid == 0:
            _be_the_child(live, keep)
        return cls(pid)

    def poll(self) -> int | None:
        """The exit code; None while it runs. Negative is the number of the signal that ended it."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float) -> int:
        """The exit code, waited for. Raises ``subprocess.TimeoutExpired``, seconds as everywhere."""
        if (code := self.poll()) is not None:
            return code
        descriptor = os.pidfd_open(self.pid)
        try:
            select.select([descriptor], [], [], timeout)
        finally:
            os.close(descriptor)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("role", timeout)
        return code

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _be_the_child(live: Callable[[], int], keep: Collection[int]) -> NoReturn:
    """Never return into what the parent was doing: no exit handler and no ``finally`` of the parent's may run here."""
    code = 1
    try:
        _let_go_of_descriptors({STDERR, *keep})
        code = live()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - a child that cannot live says why, as any program does, and ends
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _let_go_of_descriptors(keep: Collection[int]) -> None:
    """Let go of what is the parent's: locks, other sockets, other pipes, what it writes to.

    Each number is turned to /dev/null rather than closed: objects of the parent still know it, and would close under
    us whatever got the same number later.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in [int(path.name) for path in OPEN_DESCRIPTORS.iterdir()]:
        if number not in {nothing, *keep}:
            os.dup2(nothing, number, inheritable=False)
