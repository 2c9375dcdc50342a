"""Has a message looked at by rspamd and clamd while its sender waits: bounded in time, and in how many at once.

The time begins when the message waits for its turn, so a crowd before the scanners is a scanner that gives no answer.
Nothing is kept of what was looked at; of a refusal the audit log gets the kind, the size and the name of the virus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar

from appliance.clamd_client import ClamdClient, VirusAnswer
from appliance.rspamd_client import RspamdClient
from appliance.scan_verdict import Junk, PutOff, ScanPolicy, Virus, WhenDown, decided
from appliance.scanning_settings import ScanningSettings
from mailstore.audit_entry import AuditFact
from mailstore.message import Origin, ReceivedMessage, Scan
from portal.front_door import Refused

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
FAULTS: Final = (OSError, EOFError, ValueError)


class RefusalRecord(Protocol):
    """Puts a refusal into the record, where there is one to put it into."""

    def __call__(self, fact: AuditFact) -> None:
        """Write it down; blocks until it is written."""
        ...


@dataclass(frozen=True)
class MailScanning:
    """The scanners of one process. ``rspamd`` and ``clamd`` are None where the settings name none.

    What our own people send is looked at for viruses alone: junk is judged by where it comes from.
    """

    rspamd: RspamdClient | None
    clamd: ClamdClient | None
    policy: ScanPolicy
    seconds: float
    at_once: int
    record: RefusalRecord | None = field(default=None)

    @cached_property
    def _turns(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.at_once)

    async def judged(self, received: ReceivedMessage) -> Scan | Refused | PutOff:
        """What becomes of a message that was received whole."""
        junk, virus = await asyncio.gather(self._junk(received), self._virus(received))
        found = decided(junk, virus.said, self.policy)
        if isinstance(found, Refused | PutOff):
            logger.info("message not taken", extra={"reason": found.code, "size_bytes": len(received.content)})
        if isinstance(found, Refused) and self.record is not None:
            await asyncio.to_thread(self.record, _fact(found, received, virus))
        return found

    async def _junk(self, received: ReceivedMessage) -> Junk:
        if self.rspamd is None or received.origin is not Origin.SMTP:
            return Junk.OFF
        rspamd = self.rspamd
        return await self._bounded(lambda: rspamd.ask(received), Junk.SILENT, "rspamd")

    async def _virus(self, received: ReceivedMessage) -> VirusAnswer:
        if self.clamd is None:
            return VirusAnswer(Virus.OFF)
        clamd = self.clamd
        return await self._bounded(lambda: clamd.ask(received.content), VirusAnswer(Virus.SILENT), "clamd")

    async def _bounded(self, ask: Callable[[], Coroutine[Any, Any, Answer]], without: Answer, name: str) -> Answer:
        try:
            async with asyncio.timeout(self.seconds), self._turns:
                return await ask()
        except FAULTS as error:
            logger.warning("scanner gave no answer", extra={"scanner": name, "error": type(error).__name__})
            return without


def of_settings(settings: ScanningSettings, record: RefusalRecord | None = None) -> MailScanning | None:
    """The scanners that the settings name; None when they name none."""
    if not settings.rspamd and not settings.clamd:
        return None
    return MailScanning(
        rspamd=RspamdClient(settings.rspamd) if settings.rspamd else None,
        clamd=ClamdClient(settings.clamd) if settings.clamd else None,
        policy=ScanPolicy(
            WhenDown(settings.rspamd_when_down), WhenDown(settings.clamd_when_down), settings.rejects_junk
        ),
        seconds=settings.seconds,
        at_once=settings.at_once,
        record=record,
    )


def _fact(refused: Refused, received: ReceivedMessage, virus: VirusAnswer) -> AuditFact:
    detail: dict[str, str | int] = {
        "why": refused.code,
        "origin": received.origin.value,
        "size_bytes": len(received.content),
        "recipients": len(received.envelope.recipients),
    }
    if virus.name:
        detail["virus"] = virus.name
    return AuditFact("message.refused", "system", "", detail)
