"""What cannot be found by words, message by message, with the reasons: for those who must know what a search misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archive import archive_records, unread_records
from archive.archive_listing import ArchiveListing, ListedMessage
from archive.extracted_text import REASONS
from archive.two_persons import KEEPERS, require_role
from mailstore.actor import Actor
from mailstore.database import Database

ABOUT = "unread"
MOST_LISTED = 500


@dataclass(frozen=True)
class UnreadMessage:
    """One message. ``problem``: why all of it is missing, or nothing; ``parts``: how many for which reason."""

    message: ListedMessage
    problem: str
    parts: Sequence[tuple[str, int]]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in words, one for each kind."""
        if self.problem:
            return (f"the message is {self.problem}: its sealed bytes are not what was written",)
        return tuple(
            f"{'one part' if count == 1 else f'{count} parts, each'} {_said(why)}" for why, count in self.parts
        )


class UnreadMail:
    """Lists what a search cannot see, with one audit entry a list."""

    def __init__(self, *, database: Database, listing: ArchiveListing) -> None:
        self._database = database
        self._listing = listing

    def newest(self, actor: Actor, *, limit: int = MOST_LISTED) -> list[UnreadMessage]:
        """The newest messages that the index has not, or not with all their parts."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            entries = archive_records.partly_unread(connection, limit)
            reasons = unread_records.of(connection, [entry.message for entry in entries])
        listed = self._listing.of(actor, [entry.message for entry in entries], about=ABOUT)
        return [
            UnreadMessage(
                listed[entry.message], entry.problem or "", reasons.get(entry.message, [("", entry.unread_parts)])
            )
            for entry in entries
            if entry.message in listed
        ]


def _said(reason: str) -> str:
    """Of what was captured by an older release nobody noted why."""
    return REASONS.get(reason, "could not be read; why was not noted when it came")
