"""Tells what happened at the closed door once it is open: in the audit log, and to the administrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from appliance.alert_mail import AlertMail
from appliance.unseal_tries import Tries, UnsealTries
from mailstore import audit_trail
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.wall_clock import Clock

REFUSED: Final = "appliance.unseal_refused"
OPENED: Final = "appliance.unsealed"
SEALED: Final = "appliance.sealed"
SUBJECT: Final = "Wrong secrets were tried at unsealing"
_PLACES: Final[Mapping[str, str]] = {"sealed-mail": "page", "command": "command"}


@dataclass(frozen=True)
class UnsealReport:
    """What is told, and by which ways. A crash in between tells it twice, never not at all."""

    tries: UnsealTries
    database: Database
    mail: AlertMail
    clock: Clock

    def tell(self) -> None:
        """Tell of all tries since the last time. Raises ``StorageUnavailableError``."""
        told = self.tries.told()
        if not told:
            return
        if any(each.wrong > 0 for each in told.values()):
            self.mail.send(SUBJECT, _text(told))
        facts = [fact for channel, each in told.items() for fact in _facts(channel, each)]
        with self.database.write() as connection:
            audit_trail.append(connection, facts, now=self.clock.now())
        self.tries.forget()


def place_of(channel: str) -> str:
    """Where the tries of a channel were made, in a word for the log: ``page`` or ``command``."""
    return _PLACES.get(channel, "unknown")


def _facts(channel: str, tries: Tries) -> list[AuditFact]:
    facts = []
    by: Detail = {"by": place_of(channel)}
    if tries.wrong > 0:
        times = {"first": _word(tries.first_at), "last": _word(tries.last_at)}
        facts.append(AuditFact(REFUSED, SYSTEM.account, detail={**by, "tries": tries.wrong, **times}))
    happened = [(SEALED, tries.sealed_at), (OPENED, tries.opened_at)]
    facts += [AuditFact(event, SYSTEM.account, detail={**by, "at": _word(at)}) for event, at in happened if at]
    return facts


def _word(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(told: Mapping[str, Tries]) -> str:
    lines = [
        f"{tries.wrong} at the {place_of(channel)}, the first at {_word(tries.first_at)}, the last at "
        f"{_word(tries.last_at)}"
        for channel, tries in told.items()
        if tries.wrong > 0
    ]
    return "\n".join(
        [
            "While the machine was sealed, somebody tried secrets that did not open it:",
            "",
            *lines,
            "",
            "If that was nobody of the practice, somebody is near the machine or in its network. Ask who was there at",
            "those times. docs/operations/sealed-start.md says what to do.",
            "",
        ]
    )
