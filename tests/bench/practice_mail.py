"""The practice mail that all measurements share, made once for a machine by ``practice_mail_corpus.py``."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MESSAGES = 5_000
"""Different messages; a longer run takes them again. Fewer would not hold the rare words of the fixed queries."""

SEED = 7
GENERATOR = Path(__file__).with_name("practice_mail_corpus.py")


def folder(messages: int = MESSAGES) -> Path:
    """Where the mail lies: ``maildir/``, ``queries.json``, ``stats.json``."""
    made = Path(tempfile.gettempdir()) / f"strongroom-practice-mail-{messages}"
    if not (made / "stats.json").exists():
        subprocess.run(
            [sys.executable, str(GENERATOR), str(made), str(messages), str(SEED)], check=True, capture_output=True
        )
    return made


def files(messages: int = MESSAGES) -> list[Path]:
    """One message each, oldest first."""
    return sorted((folder(messages) / "maildir" / "cur").iterdir())


def mails() -> Iterator[bytes]:
    """The messages as they travel, again and again."""
    for path in itertools.cycle(files()):
        yield path.read_bytes().replace(b"\n", b"\r\n")
