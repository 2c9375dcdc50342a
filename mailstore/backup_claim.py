"""Whose a target of backups is: one small file in it names the practice, so that two never share one."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import Final

from mailstore.backup_listing import TARGET, canonical
from mailstore.backup_target import BackupTarget
from mailstore.errors import NotFoundError, RefusedError, TamperedError
from mailstore.sealed_format import Randomness

FORMAT: Final = "strongroom/backup-target/v1"
_PRACTICE_LABEL: Final = b"strongroom/backup-practice/v1"
_ID_BYTES: Final = 16


@dataclass(frozen=True)
class TargetRecord:
    """What ``target.json`` says."""

    practice: str
    target: str

    def to_bytes(self) -> bytes:
        """As it is written."""
        return canonical({"format": FORMAT, "practice": self.practice, "target": self.target}) + b"\n"


def practice_of(row_key: bytes) -> str:
    """What a practice calls itself in its backups: the same for as long as its keys are, and says nothing of them."""
    return hmac.digest(row_key, _PRACTICE_LABEL, "sha256")[:_ID_BYTES].hex()


def claimed(target: BackupTarget, practice: str, *, randomness: Randomness) -> TargetRecord:
    """The target as this practice's own, made so when it is nobody's yet.

    ``RefusedError`` when it is another practice's, or holds what is no backup and no record of one.
    """
    record = found(target)
    if record is None:
        if next(iter(target.held("")), None) is not None:
            raise RefusedError(
                f"{target.url} holds files of a backup, and no {TARGET} that says whose",
                fix="restore target.json if it was lost, or name an empty target",
            )
        record = _made(target, TargetRecord(practice, randomness(_ID_BYTES).hex()))
    require(record, practice, url=target.url)
    return record


def found(target: BackupTarget) -> TargetRecord | None:
    """Whose it says it is; None when nobody has claimed it. ``TamperedError`` for a record that is none."""
    try:
        data = target.get(TARGET)
    except NotFoundError:
        return None
    record = _understood(data)
    if record is None:
        raise TamperedError(f"{TARGET} in {target.url} is not what was written")
    return record


def require(record: TargetRecord, practice: str, *, url: str) -> None:
    """``RefusedError`` when a target belongs to another practice."""
    if record.practice != practice:
        raise RefusedError(f"{url} holds the backups of another practice", fix="name another target, or ?prefix=")


def _made(target: BackupTarget, record: TargetRecord) -> TargetRecord:
    """The record, or the one of whoever was quicker: backups of data and of keys begin at one moment."""
    try:
        target.put(TARGET, record.to_bytes())
    except RefusedError:
        return found(target) or record
    return record


def _understood(data: bytes) -> TargetRecord | None:
    try:
        told = json.loads(data)
        record = TargetRecord(str(told["practice"]), str(told["target"]))
    except (ValueError, LookupError, TypeError):
        return None
    return record if record.to_bytes() == data else None
