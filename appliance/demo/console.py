"""Calls the ``strongroom`` command as any other program would: arguments in, one JSON object out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstore.errors import RefusedError


@dataclass(frozen=True)
class Answer:
    """What a command gave: its exit code and its JSON object."""

    exit_code: int
    value: dict[str, Any]


@dataclass(frozen=True)
class Console:
    """The command line of one appliance, in one data directory."""

    data: Path

    def arguments(self, *words: str) -> list[str]:
        """The full command line, run by this very Python."""
        return [sys.executable, "-m", "appliance.cli", "--data", str(self.data), *words]

    def ask(self, *words: str, person: str | None = None) -> Answer:
        """Run a command with ``--json``, in the name of ``person`` where it needs one."""
        named = ("--as", person) if person else ()
        done = subprocess.run(  # noqa: S603 (our own command, arguments from this module's callers)
            self.arguments(*words, "--json", *named), capture_output=True, text=True, check=False
        )
        try:
            return Answer(done.returncode, json.loads(done.stdout))
        except ValueError as error:
            raise RefusedError(f"{words[0]}: no JSON came back: {done.stderr.strip()[-500:]}") from error

    def must(self, *words: str, person: str | None = None) -> dict[str, Any]:
        """Run a command that has to succeed, and return its JSON object."""
        answer = self.ask(*words, person=person)
        if answer.exit_code != 0:
            raise RefusedError(f"strongroom {' '.join(words)}: {answer.value.get('error', answer.value)}")
        return answer.value

    def raw(self, *words: str, person: str) -> bytes:
        """Run a command that writes bytes, such as ``message show --raw``."""
        done = subprocess.run(  # noqa: S603 (our own command)
            self.arguments(*words, "--as", person), capture_output=True, check=True
        )
        return done.stdout
