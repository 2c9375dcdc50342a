"""What an upgrade set aside beside the data directory: a copy of rows and keys that no disposal reaches.

An upgrade erases it when it is done (``strongroom-set-aside drop``). One that was cut off leaves it there.
"""

from __future__ import annotations

from pathlib import Path

from mailstore.errors import RefusedError

FIX = (
    "see docs/operations/upgrade.md; when this release works: sudo strongroom-set-aside drop files (or postgresql,"
    " where the playbook made the databases)"
)
_ENDINGS = (".before-upgrade", ".before-upgrade.unfinished")


class SetAsideError(RefusedError):
    """Keys would outlive their destruction in a copy that lies beside."""

    code = "set_aside"


def copies_of(data: Path) -> list[Path]:
    """What lies there, whole or half erased."""
    beside = (data.with_name(data.name + ending) for ending in _ENDINGS)
    return [path for path in beside if path.exists()]


def require_none(data: Path) -> None:
    """Raises ``SetAsideError`` while any is there: nothing may be certified as destroyed until then."""
    for path in copies_of(data):
        raise SetAsideError(f"an upgrade was cut off, and {path} holds a copy of all keys", fix=FIX)
