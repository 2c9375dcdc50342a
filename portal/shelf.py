"""Which page of which folder a list shows, as the address says it, so that every link leads back to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from mailstore.mailboxes import Folder

SHOWN: Final = frozenset({Folder.INBOX, Folder.JUNK})
"""What sent mail lies in is a page of its own."""


@dataclass(frozen=True)
class Shelf:
    """A folder, and the place in it where the page begins: below ``before``, 0 for the newest."""

    folder: Folder
    before: int

    @classmethod
    def named(cls, word: str, before: int) -> Shelf:
        """The one that an address names; the inbox for whatever is not known."""
        return cls(Folder(word) if word in {each.value for each in SHOWN} else Folder.INBOX, before)

    @property
    def is_junk(self) -> bool:
        """True for what a scanner took for junk."""
        return self.folder is Folder.JUNK

    @property
    def query(self) -> str:
        """What an address carries to come back here; empty for the newest of the inbox."""
        return _query(self.folder, self.before)

    @property
    def newest(self) -> str:
        """The first page of the same folder."""
        return f"/inbox{_query(self.folder, 0)}"

    def older(self, before: int) -> str:
        """The page that goes on from here."""
        return f"/inbox{_query(self.folder, before)}"


def _query(folder: Folder, before: int) -> str:
    told = {"folder": folder.value if folder is not Folder.INBOX else "", "before": before or ""}
    said = urlencode({name: value for name, value in told.items() if value})
    return f"?{said}" if said else ""
