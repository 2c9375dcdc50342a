"""``run/alerts.json``: what was told of which line of the doctor, so that a restart tells nothing twice.

A file and no table, because it is needed most when the row database is what is wrong. It is under a seal of the row
key; one that is lost or was changed means that all that is red is told once more.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from appliance.alert_decision import WatchedLine
from mailstore import durable_file
from mailstore.errors import StorageUnavailableError
from mailstore.instants import instant_of, microseconds

logger = logging.getLogger(__name__)

FORMAT: Final = "strongroom/alerts/v1"
LONGEST: Final = 1 << 20

Lines = Mapping[str, WatchedLine]


@dataclass(frozen=True)
class AlertState:
    """The file of one data directory."""

    path: Path
    row_key: bytes = field(repr=False)

    def read(self) -> dict[str, Lines]:
        """What is known, by round of looks and name of the line. Nothing when there is no file of ours."""
        try:
            told = self._opened(self.path.read_bytes()[:LONGEST])
            return {
                str(word): {str(name): _line(each) for name, each in lines.items()}
                for word, lines in told["rounds"].items()
            }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageUnavailableError(f"{self.path.name} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            logger.warning("what was told of alarms is lost")
            return {}

    def write(self, rounds: Mapping[str, Lines]) -> None:
        """Remember it. Raises ``StorageUnavailableError``."""
        told = {
            "format": FORMAT,
            "rounds": {word: {name: _json(line) for name, line in lines.items()} for word, lines in rounds.items()},
        }
        try:
            durable_file.make_directory(self.path.parent)
            durable_file.replace(self.path, json.dumps({**told, "seal": self._seal(told)}, sort_keys=True).encode())
        except OSError as error:
            raise StorageUnavailableError(f"{self.path.name} cannot be written: {error.strerror}") from error

    def _opened(self, content: bytes) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(content)
        seal = told.pop("seal")
        if told["format"] != FORMAT or not hmac.compare_digest(seal, self._seal(told)):
            raise ValueError(FORMAT)
        return told

    def _seal(self, told: Mapping[str, Any]) -> str:
        return hmac.digest(self.row_key, json.dumps(told, sort_keys=True).encode(), "sha256").hex()


def _json(line: WatchedLine) -> dict[str, Any]:
    return {
        "is_red": line.is_red,
        "looks": line.looks,
        "is_told": line.is_told,
        "told_at": None if line.told_at is None else microseconds(line.told_at),
        "turns": line.turns,
        "turns_since": microseconds(line.turns_since),
        "red_looks": line.red_looks,
    }


def _line(told: Mapping[str, Any]) -> WatchedLine:
    told_at: datetime | None = None if told["told_at"] is None else instant_of(told["told_at"])
    return WatchedLine(
        bool(told["is_red"]),
        int(told["looks"]),
        bool(told["is_told"]),
        told_at,
        int(told["turns"]),
        instant_of(told["turns_since"]),
        int(told.get("red_looks", 0)),
    )
