"""The lamps under each recipient before a message is sent: how it would reach them, and why.

A domain's servers are asked as the relay would ask them, up to the proof and no further; the answer is believed
for a short while. What is shown is a preview: the route is decided when the message goes out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from appliance import encryption_policy
from appliance.delivery_plan import Located, Place, RecipientFacts, TlsEvidence, Unreachable
from appliance.directory import Directory
from appliance.mx_lookup import NoMail
from appliance.receiving_servers import Reached, ReceivingServers
from appliance.smtp_outbound import ProvenChannel
from mailstore.addresses import Address, BadAddressError, canonical_domain
from mailstore.errors import StrongroomError
from mailstore.message import Route
from portal.front_door import PreviewedRoute

MAX_DOMAINS = 20
"""Domains that are asked for one preview; the lamps of the others stay undecided."""

MOST_REMEMBERED = 1_000

Finding = TlsEvidence | Unreachable | NoMail


@dataclass(frozen=True)
class PreviewRules:
    """``answer_seconds`` is what a person may have to wait; ``believed_seconds`` how long an answer holds."""

    answer_seconds: float = 4.0
    believed_seconds: float = 60.0
    portal_after: timedelta = timedelta(minutes=60)


class ServerRoutePreview:
    """Fills the portal's ``RoutePreview``. May be asked from any thread that runs no event loop."""

    def __init__(
        self,
        directory: Directory,
        servers: ReceivingServers,
        *,
        rules: PreviewRules,
        has_portal_account: Callable[[Address], bool],
    ) -> None:
        self._directory = directory
        self._servers = servers
        self._rules = rules
        self._has_portal_account = has_portal_account
        self._believed: dict[str, tuple[float, Finding]] = {}
        self._lock = threading.Lock()

    def preview(self, addresses: Sequence[Address]) -> tuple[PreviewedRoute, ...]:
        """One route for each address, in the order given, within ``answer_seconds``."""
        located = [self._directory.locate(address) for address in addresses]
        domains = dict.fromkeys(_domain(each.address) for each in located if each.place is Place.OUTSIDE)
        findings = self._findings([domain for domain in domains if domain][:MAX_DOMAINS])
        return tuple(self._previewed(each, findings) for each in located)

    def _previewed(self, located: Located, findings: dict[str, Finding]) -> PreviewedRoute:
        finding = findings.get(_domain(located.address)) if located.place is Place.OUTSIDE else None
        if finding is None:
            is_possible = located.place is not Place.UNKNOWN_HERE
            return PreviewedRoute(located.address, *encryption_policy.preview(located), is_possible=is_possible)
        if isinstance(finding, NoMail):
            reasons = (f"Cannot be sent: {finding.reply}",)
            return PreviewedRoute(located.address, Route.UNDECIDED, reasons, is_possible=False)
        facts = RecipientFacts(
            has_portal_account=self._has_portal_account(located.address),
            waiting=timedelta(0),
            portal_after=self._rules.portal_after,
        )
        decision = encryption_policy.after_probe(finding, facts)
        return PreviewedRoute(located.address, decision.route, decision.reasons)

    def _findings(self, domains: Sequence[str]) -> dict[str, Finding]:
        now = time.monotonic()
        with self._lock:
            known = {
                domain: self._believed[domain][1]
                for domain in domains
                if domain in self._believed and self._believed[domain][0] > now
            }
        unknown = [domain for domain in domains if domain not in known]
        asked = asyncio.run(self._asked(unknown)) if unknown else {}
        with self._lock:
            if len(self._believed) + len(asked) > MOST_REMEMBERED:
                self._believed.clear()
            until = now + self._rules.believed_seconds
            self._believed |= {domain: (until, finding) for domain, finding in asked.items()}
        return known | asked

    async def _asked(self, domains: Sequence[str]) -> dict[str, Finding]:
        found = await asyncio.gather(*(self._ask(domain) for domain in domains))
        return dict(zip(domains, found, strict=True))

    async def _ask(self, domain: str) -> Finding:
        try:
            async with asyncio.timeout(self._rules.answer_seconds):
                return await _finding(await self._servers.reach(domain))
        except TimeoutError:
            return Unreachable("it did not answer in time")
        except StrongroomError as error:
            return Unreachable(error.message)


async def _finding(reached: Reached) -> Finding:
    if isinstance(reached, ProvenChannel):
        await reached.close()
        return reached.evidence
    return reached


def _domain(address: Address) -> str:
    try:
        return canonical_domain(address.domain)
    except BadAddressError:
        return ""
