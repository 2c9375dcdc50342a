"""Writes to those who look after the appliance: into their mailboxes here, and to addresses elsewhere by the usual way.

What is written holds nothing of mail: names of checks, ids, times, and what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from appliance.alert_decision import Alert
from appliance.front_door_wiring import RANDOMNESS
from appliance.health_finding import Finding
from mailstore import message_composition
from mailstore.actor import SYSTEM
from mailstore.addresses import Address
from mailstore.message import ID_BYTES, Envelope, Origin, ReceivedMessage
from mailstore.message_composition import ComposedMessage
from mailstore.wall_clock import Clock
from portal.front_door import FrontDoor, Refused

logger = logging.getLogger(__name__)

MOST_IN_SUBJECT: Final = 3
"""Lines that a subject names; the text names all."""


@dataclass(frozen=True)
class Readers:
    """Who hears of it: ``here`` in a mailbox of this machine, ``elsewhere`` over other servers."""

    here: tuple[Address, ...]
    elsewhere: tuple[Address, ...]


@dataclass(frozen=True)
class AlertMail:
    """Sends in the name of the appliance. The two kinds of readers get a message each: neither waits for the other."""

    front_door: FrontDoor
    readers: Callable[[], Readers]
    postmaster: Address
    host_name: str
    clock: Clock

    def send(self, subject: str, text: str) -> bool:
        """True once it is durable for one kind of readers at least. Raises ``StorageUnavailableError``."""
        readers = self.readers()
        sent = [self._sent(to, subject, text) for to in (readers.here, readers.elsewhere) if to]
        return any(sent)

    def _sent(self, to: tuple[Address, ...], subject: str, text: str) -> bool:
        now = self.clock.now()
        message = ComposedMessage(
            from_name="Strongroom",
            from_address=self.postmaster,
            to=to,
            subject=subject,
            text=text,
            automatic=True,
        )
        name = message_composition.new_message_id(RANDOMNESS(ID_BYTES), self.host_name)
        content = message_composition.compose(message, now=now, message_id=name)
        answer = self.front_door.accept(ReceivedMessage(Envelope(None, to), content, now, Origin.SYSTEM), SYSTEM)
        if isinstance(answer, Refused):
            logger.error("nobody reads what the appliance writes", extra={"code": answer.code})
        return not isinstance(answer, Refused)


def subject_of(alert: Alert) -> str:
    """What stands in a list of messages."""
    if alert.turned:
        first, *more = (finding.check for finding in alert.turned)
        return f"Strongroom needs you: {first}{f' and {len(more)} more' if more else ''}"
    if alert.still:
        return f"Strongroom still needs you: {len(alert.still)} {'thing' if len(alert.still) == 1 else 'things'}"
    told = ", ".join(alert.well[:MOST_IN_SUBJECT])
    return f"Strongroom is well again: {told}{' and more' if len(alert.well) > MOST_IN_SUBJECT else ''}"


def text_of(alert: Alert, *, page: str) -> str:
    """The whole of it, as plain text. ``page``: where the same stands with all other lines."""
    parts = [
        *_part("To be mended now:", alert.turned),
        *_part("Still to be mended:", alert.still),
        *(["Well again:", "", *(f"  {name}" for name in alert.well), ""] if alert.well else []),
        f"All of it, as it is now: {page}, or on the machine: strongroom doctor",
    ]
    return "\n".join(parts) + "\n"


def _part(heading: str, findings: Iterable[Finding]) -> list[str]:
    lines = [line for each in findings for line in _told(each)]
    return [heading, "", *lines] if lines else []


def _told(finding: Finding) -> list[str]:
    fix = [f"  What to do: {finding.fix}"] if finding.fix else []
    return [f"  {finding.check}: {finding.message}", *fix, ""]
