"""What the system swaps memory out to, and whether it could be read there after a power cut (proc(5), swaps)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SWAPS: Final = Path("/proc/swaps")
_BLOCKS: Final = Path("/sys/block")
_ENCRYPTED: Final = "CRYPT-"
"""How device mapper names what dm-crypt made."""


def unencrypted(swaps: Path = _SWAPS, blocks: Path = _BLOCKS) -> list[str]:
    """Every swap that keeps what it is given as it is. ``OSError`` when the system does not say."""
    places = [line.split()[0] for line in swaps.read_text("utf-8").splitlines()[1:]]
    return [place for place in places if not _is_encrypted(Path(place), blocks)]


def _is_encrypted(place: Path, blocks: Path) -> bool:
    """Memory that is packed into memory (zram) is on no disk."""
    name = place.resolve().name
    if name.startswith("zram"):
        return True
    told = blocks / name / "dm" / "uuid"
    return told.is_file() and told.read_text("ascii").startswith(_ENCRYPTED)
