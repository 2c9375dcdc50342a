"""Sees every command line and environment of this machine and of the guests on it, and looks for secrets among them.

What the playbook said and what the guest wrote down are looked through as well: no secret belongs there either.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.appliance.guest import Guest

LOOK_SECONDS = 0.05
"""A module of the playbook runs for longer than this, and what it starts mostly too."""

LEAST_LINES = 100
"""So many command lines at least there are while a playbook runs: with fewer the watch did not look."""


class SecretWatch:
    """All that was seen. Processes of a guest are processes of this machine.

    ``lines``: command lines. ``environments``: each with the name of the program that had it. ``said``: what else must
    not hold a secret, such as the output of a playbook.
    """

    def __init__(self) -> None:
        self.lines: set[bytes] = set()
        self.environments: set[tuple[bytes, bytes]] = set()
        self.said: list[str] = []
        self._known: dict[str, bytes] = {}

    def look(self) -> None:
        """Take in what runs now."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
                if self._known.get(process.name) != line:  # another process, or another program in it
                    program = (process / "comm").read_bytes().strip()
                    self.environments.add((program, (process / "environ").read_bytes()))
                    self.lines.add(line)
                    self._known[process.name] = line
            except OSError:  # it has ended
                continue

    def saw(self, secret: str) -> bool:
        """Whether a command line held it, as it is or in a spelling that programs hand on."""
        return any(spelling in line for spelling in _spellings(secret.encode()) for line in self.lines)

    def given_to(self, secret: str) -> set[str]:
        """The programs that had it in their environment."""
        spellings = _spellings(secret.encode())
        return {name.decode() for name, told in self.environments if any(each in told for each in spellings)}

    def places_of(self, machine: Guest, secrets: Sequence[str], *, may_be_given_to: Sequence[str] = ()) -> list[str]:
        """Where any of them came to be seen: nowhere, if all is well. The secrets themselves are not told.

        ``may_be_given_to``: programs that are told by their environment.
        """
        assert len(self.lines) > LEAST_LINES, "it did not look"
        logs = machine.run(
            "journalctl --no-pager; cat /var/lib/strongroom/log/*.log /var/log/*.log", check=False
        ).stdout
        facts = machine.run("cat /etc/ansible/facts.d/* ~/.ansible/* 2>/dev/null", check=False).stdout
        found: list[str] = []
        for number, secret in enumerate(secrets):
            assert len(secret) > 7, "too short to be looked for"
            found += [f"secret {number} on a command line"] if self.saw(secret) else []
            found += [f"secret {number} given to {name}" for name in self.given_to(secret) - set(may_be_given_to)]
            found += [f"secret {number} said"] if any(secret in each for each in self.said) else []
            found += [f"secret {number} in a log"] if secret in logs else []
            found += [f"secret {number} in a fact"] if secret in facts else []
        return found


def _spellings(secret: bytes) -> tuple[bytes, ...]:
    """As it is, in a URL, in hexadecimal, and in base64 wherever it begins in a group of three bytes."""
    shifted = (base64.b64encode(bytes(before) + secret)[4 if before else 0 : -4] for before in range(3))
    return (secret, quote(secret, safe="").encode(), secret.hex().encode(), *shifted)


@contextmanager
def watching() -> Iterator[SecretWatch]:
    """A watch that looks until the end of the block."""
    watch, ended = SecretWatch(), threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            watch.look()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield watch
    finally:
        ended.set()
        looking.join()
