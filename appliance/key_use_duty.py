"""Carries what the key agent accounts for into the audit log: each alarm soon, and every hour who got how many keys.

The end of the agent's own account goes with it, so that nobody shortens that account unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.wall_clock import Clock

TOLD_EVERY: Final = timedelta(hours=1)
USED: Final = "key_agent.used"
ALARM: Final = "key_agent.alarm"
_OBJECT: Final = "key-agent"


class KeyUseDuty:
    """Looks when it is run. ``status`` asks the agent (``KeyAgentClient.status``)."""

    def __init__(self, database: Database, status: Callable[[], Mapping[str, Any]], *, clock: Clock) -> None:
        self._database = database
        self._status = status
        self._clock = clock
        self._alarms_told = 0
        self._opened_told: Mapping[str, int] = {}
        self._signed_told = 0
        self._told_at: datetime = clock.now()

    def run(self) -> None:
        """Write down what is new. Raises as the audit log does."""
        use, now = self._status()["use"], self._clock.now()
        facts = [_alarm(each) for each in use["alarms"] if each["number"] > self._alarms_told]
        is_due = now - self._told_at >= TOLD_EVERY
        if is_due and dict(use["opened"]) != dict(self._opened_told):
            facts.append(_used(use, self._opened_told, self._signed_told))
        if facts:
            with self._database.write() as connection:
                audit_trail.append(connection, facts, now=now)
        self._alarms_told = max([self._alarms_told, *(each["number"] for each in use["alarms"])])
        if is_due:
            self._opened_told, self._told_at = dict(use["opened"]), now
            self._signed_told = sum(use["signed"].values())


def _alarm(raised: Mapping[str, Any]) -> AuditFact:
    return AuditFact(ALARM, "system", _OBJECT, {"alarm": str(raised["alarm"]), "asker": str(raised["asker"])})


def _used(use: Mapping[str, Any], before: Mapping[str, int], signed_before: int) -> AuditFact:
    """Keys by asker and signatures since the last time, and where the agent's account stands."""
    keys = {asker.replace("-", "_"): count - before.get(asker, 0) for asker, count in use["opened"].items()}
    signed = sum(use["signed"].values()) - signed_before
    signatures = {"signed": signed} if signed else {}
    return AuditFact(USED, "system", _OBJECT, {**keys, **signatures, "line": use["lines"], "head": use["head"]})
