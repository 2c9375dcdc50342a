"""How a data directory came to be: its day and whether it was made with ``--loopback``, sealed with the row key.

A practice ground on 127.0.0.1 may do what a real practice must not (a cooling-off of nothing, cheap hashes).
So the fact is written once, at birth, and cannot be edited in without the keys.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailstore.errors import RefusedError, TamperedError

_FORMAT = "strongroom/birth/v1"


@dataclass(frozen=True)
class BirthRecord:
    """``loopback_base`` is the number that ports were counted from, or None for a real practice."""

    made_at: str
    loopback_base: int | None

    @classmethod
    def of(cls, *, now: datetime, loopback_base: int | None) -> BirthRecord:
        """The record of a directory made now."""
        return cls(now.isoformat(timespec="seconds").replace("+00:00", "Z"), loopback_base)

    @property
    def is_loopback(self) -> bool:
        """True for a practice ground that nobody outside this machine can reach."""
        return self.loopback_base is not None

    def seal(self, row_key: bytes) -> str:
        """HMAC-SHA256 in hexadecimal over the canonical record."""
        told = json.dumps([_FORMAT, self.made_at, self.loopback_base], separators=(",", ":"))
        return hmac.digest(row_key, told.encode(), "sha256").hex()


def to_text(record: BirthRecord, *, row_key: bytes) -> str:
    """The record as the file says it."""
    told = {"format": _FORMAT, "made_at": record.made_at, "loopback_base": record.loopback_base}
    return json.dumps({**told, "seal": record.seal(row_key)}, indent=2) + "\n"


def unverified(path: Path) -> BirthRecord:
    """The record as written, for reading the settings before the keys are there. ``verify`` must follow."""
    record, _seal = _read(path)
    return record


def verify(path: Path, *, row_key: bytes) -> BirthRecord:
    """The record, proved to be what ``init`` wrote. ``TamperedError`` otherwise."""
    record, seal = _read(path)
    if not hmac.compare_digest(seal, record.seal(row_key)):
        raise TamperedError(f"{path} is not what init wrote", fix="restore birth.json from a backup")
    return record


def _read(path: Path) -> tuple[BirthRecord, str]:
    try:
        told = json.loads(path.read_text("utf-8"))
        record = BirthRecord(told["made_at"], told["loopback_base"])
        seal = told["seal"]
    except FileNotFoundError as error:
        raise RefusedError(
            f"{path.parent} is not a data directory",
            fix="name the data directory with --data, or make one with: strongroom init",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TamperedError(f"{path} cannot be read", fix="restore birth.json from a backup") from error
    if not (
        told.keys() == {"format", "made_at", "loopback_base", "seal"}
        and told["format"] == _FORMAT
        and isinstance(record.made_at, str)
        and isinstance(seal, str)
        and (record.loopback_base is None or type(record.loopback_base) is int)
    ):
        raise TamperedError(f"{path} is not what init wrote", fix="restore birth.json from a backup")
    return record, seal
