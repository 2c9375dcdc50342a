"""Segments of the sealed spool that were set aside, for something in them does not open: looked at, tried again, ended.

What opens of such a segment was taken in already. What does not may open with a key that comes back (an older ring, a
disk that is read once more), so that it is kept until a person says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.wiring import Appliance
from mailstore import audit_trail, spool
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact
from mailstore.errors import NotFoundError, TamperedError, WrongKeyError
from mailstore.instants import instant_of
from mailstore.sealed_spool import DAMAGED, SealedSegments

AGAIN = "sealed_spool.again"
RELEASED = "sealed_spool.released"
OBJECT = "sealed_spool"
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class DamagedSegment:
    """One segment: of ``groups`` that it holds, ``opens`` open now, with ``messages`` in them."""

    name: str
    bytes: int
    written_at: datetime
    groups: int
    opens: int
    messages: int


class DamagedMail:
    """The folder of segments that were set aside, of an open appliance."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._folder = appliance.data.sealed_spool / DAMAGED
        self._segments = SealedSegments(self._folder, appliance.opener)

    def all(self) -> list[DamagedSegment]:
        """Every one, by name."""
        return [self._looked_at(name) for name in spool.segments(self._folder)]

    def again(self) -> int:
        """Put all back among those that wait: the next opening takes in what opens then. Answers how many."""
        names = spool.segments(self._folder)
        self._note(AGAIN, names)
        for name in names:
            self._segments.put_back(name)
        return len(names)

    def release(self, name: str) -> None:
        """Overwrite and remove one, for good: what did not open is given up. Raises ``NotFoundError``."""
        if name not in spool.segments(self._folder):
            raise NotFoundError(f"no segment {name} was set aside", fix="see: strongroom sealed-mail list")
        self._note(RELEASED, [name])
        self._segments.erase(name)

    def _looked_at(self, name: str) -> DamagedSegment:
        status = (self._folder / name).stat()
        places = self._segments.places(name)
        opens = messages = 0
        for place, head in places:
            try:
                group = self._segments.group(place, head)
                messages += len(self._segments.messages(group))
            except (TamperedError, WrongKeyError):
                continue
            opens += 1
        written_at = instant_of(int(status.st_mtime * _MICROSECONDS))
        return DamagedSegment(name, status.st_size, written_at, len(places), opens, messages)

    def _note(self, event: str, names: list[str]) -> None:
        """Before it is done: what is in the record may not have come about, and never the other way round."""
        facts = [AuditFact(event, SYSTEM.account, OBJECT, {"segment": name}) for name in names]
        with self._appliance.database.write() as connection:
            audit_trail.append(connection, facts, now=self._appliance.clock.now())
