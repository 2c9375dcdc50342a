"""The front door of the pages: files that people attach there are looked at for viruses before they are taken.

Mail that comes by SMTP was judged while its sender waited; here the page waits, and says what stands against sending.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from threading import BoundedSemaphore
from typing import Final

from appliance.mail_scanning import MailScanning
from appliance.scan_verdict import VIRUS, PutOff
from mailstore.actor import Actor
from mailstore.message import ReceivedMessage, Scan
from portal.front_door import Accepted, FrontDoor, Refused

INFECTED: Final = Refused(
    VIRUS, "One of the files carries a virus, so nothing was sent. Take it out, or have the device looked at."
)
NOT_LOOKED_AT: Final = Refused(
    "not_scanned",
    "Files cannot be checked for viruses at the moment, so nothing was sent. Try again in a few minutes,"
    " or send the text without files.",
)
WITH_FILES: Final = b"Content-Type: multipart/mixed"
"""In the head of a message that ``message_composition`` wrote with files, and of no other."""


def before(door: FrontDoor, scanning: MailScanning | None) -> FrontDoor:
    """The door behind the scanners; the door itself where there are none."""
    return door if scanning is None else ScannedFrontDoor(door, scanning)


@dataclass
class ScannedFrontDoor:
    """A front door behind the scanners. May be asked from any thread; each asks on a loop of its own."""

    door: FrontDoor
    scanning: MailScanning
    _turns: BoundedSemaphore = field(init=False)

    def __post_init__(self) -> None:
        """As many at once as the settings say, over all threads."""
        self._turns = BoundedSemaphore(self.scanning.at_once)

    def accept(self, received: ReceivedMessage, actor: Actor | None) -> Accepted | Refused:
        """As ``FrontDoor``; files are looked at first. Text that a page wrote for somebody needs no look."""
        if WITH_FILES not in received.content.partition(b"\r\n\r\n")[0]:
            return self.door.accept(received, actor)
        judged = self._judged(received)
        if isinstance(judged, Refused):
            return INFECTED if judged.code == VIRUS else judged
        if isinstance(judged, PutOff):
            return NOT_LOOKED_AT
        return self.door.accept(replace(received, scan=judged), actor)

    def _judged(self, received: ReceivedMessage) -> Scan | Refused | PutOff:
        if not self._turns.acquire(timeout=self.scanning.seconds):
            return PutOff()
        try:
            return asyncio.run(replace(self.scanning).judged(received))
        finally:
            self._turns.release()
