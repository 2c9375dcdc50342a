"""Which policy a domain has about its mail servers now (MTA-STS, RFC 8461): announced in the DNS, fetched, kept.

A policy that is kept and has not run out goes on holding whatever happens to announcement and fetching: who could stop
either could otherwise undo it (section 10.2). Without one, a domain whose policy cannot be fetched has none (3.3).
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from appliance import mta_sts_policy
from appliance.mta_sts_policy import MtaStsPolicy
from appliance.name_lookup import LookupFailed, NameLookup
from appliance.policy_fetching import Fetched, PolicyFetching
from appliance.policy_records import KeptPolicy, PolicyRecords
from mailstore.wall_clock import Clock

FRESH = timedelta(days=1)
"""A policy in use is fetched anew after this time, so that it never runs out while its domain is well (3.3)."""

PAUSE = timedelta(minutes=5)
"""RFC 8461 section 3.3: after a failed fetch the next one waits."""

MOST_REMEMBERED = 1_000


class DomainPolicies:
    """Asked once for each attempt with a domain."""

    def __init__(self, names: NameLookup, fetching: PolicyFetching, records: PolicyRecords, *, clock: Clock) -> None:
        self._names = names
        self._fetching = fetching
        self._records = records
        self._clock = clock
        self._failed_at: dict[str, datetime] = {}

    async def policy_of(self, domain: str) -> MtaStsPolicy | LookupFailed | None:
        """The policy in force; None when the domain has none; ``LookupFailed`` when the DNS did not say."""
        now = self._clock.now()
        kept = await asyncio.to_thread(self._records.of, domain, now=now)
        answer = await self._names.ask(f"_mta-sts.{domain}", "TXT")
        if isinstance(answer, LookupFailed):
            return kept.policy if kept else answer
        announced = mta_sts_policy.announced_id([b"".join(record.strings) for record in answer.records])
        if announced and not _is_current(kept, announced, now) and self._may_fetch(domain, now):
            fetched = await self._fetched(domain, announced, now)
            if fetched is not None:
                return fetched
        return kept.policy if kept else None

    async def _fetched(self, domain: str, announced: str, now: datetime) -> MtaStsPolicy | None:
        fetched = await self._fetching.fetch(domain)
        if not isinstance(fetched, Fetched):
            self._note_failure(domain, now)
            return None
        await asyncio.to_thread(self._records.keep, domain, announced, fetched.text, fetched.policy, now=now)
        return fetched.policy

    def _may_fetch(self, domain: str, now: datetime) -> bool:
        failed_at = self._failed_at.get(domain)
        return failed_at is None or abs(now - failed_at) >= PAUSE

    def _note_failure(self, domain: str, now: datetime) -> None:
        if len(self._failed_at) >= MOST_REMEMBERED:
            self._failed_at.clear()
        self._failed_at[domain] = now


def _is_current(kept: KeptPolicy | None, announced: str, now: datetime) -> bool:
    return kept is not None and kept.announced == announced and now - kept.fetched_at < FRESH
