"""One message on its way to the servers of its outside recipients.

For each domain: find a server that proves itself, decide (``encryption_policy``), send or turn to the portal,
and record it (``delivery_progress``, which also says what a crash can cost). Nothing is ever sent in clear, and a
message that once went over verified TLS never goes over less: without a proof there is no channel to send on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from appliance import encryption_policy, recipient_outcome, relayed_message
from appliance.delivery_plan import RecipientFacts, RouteDecision, TlsEvidence, Unreachable
from appliance.delivery_progress import TO_DO, DeliveryProgress, Work
from appliance.dkim_signing import DkimSigning
from appliance.domain_turns import DomainTurns
from appliance.mx_lookup import NoMail
from appliance.outgoing_mail import Outgoing, OutgoingMail
from appliance.receiving_servers import ReceivingServers
from appliance.recipient_outcome import Outcome, RefusedForGood, Stage, ToPortal, TryAgain
from appliance.relayed_message import MAX_RECIPIENTS, RelayedMessage, Transmission
from appliance.smtp_outbound import ProvenChannel
from mailstore import failpoint
from mailstore.addresses import Address
from mailstore.message import Route
from mailstore.outbox import OutboxItem
from mailstore.wall_clock import Clock


@dataclass(frozen=True)
class RelayRules:
    """``attempt_seconds`` bounds one attempt with one domain and must stay below the lease of an outbox item."""

    attempt_seconds: float = 1200.0
    portal_after: timedelta = timedelta(minutes=60)


@dataclass
class _Attempt:
    """One attempt with one domain; ``intended`` are the copies whose answer is not known yet."""

    outgoing: Outgoing
    domain: str
    works: tuple[Work, ...]
    intended: list[Work] = field(default_factory=list)


class Relay:
    """Delivers outbox items of kind ``deliver``."""

    def __init__(
        self,
        mail: OutgoingMail,
        servers: ReceivingServers,
        progress: DeliveryProgress,
        *,
        signing: DkimSigning,
        turns: DomainTurns,
        rules: RelayRules,
        clock: Clock,
        has_portal_account: Callable[[Address], bool],
    ) -> None:
        self._mail = mail
        self._servers = servers
        self._progress = progress
        self._signing = signing
        self._turns = turns
        self._rules = rules
        self._clock = clock
        self._has_portal_account = has_portal_account

    async def deliver(self, items: Sequence[OutboxItem]) -> None:
        """Take the recipients of one message one step further. Raises only for our own faults."""
        outgoing = await asyncio.to_thread(self._mail.opened, items, with_content=True)
        waiting = [work for work in outgoing.works if _is_waiting(work)]
        done = {work.item.id for work in waiting}
        await asyncio.to_thread(self._progress.drop, [item for item in items if item.id not in done])
        attempts = [
            self._attempt(_Attempt(outgoing, domain, works))
            for domain, works in relayed_message.by_domain(waiting, lambda work: work.address, MAX_RECIPIENTS)
        ]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _attempt(self, attempt: _Attempt) -> None:
        with self._turns.turn(attempt.domain) as may_begin:
            if not may_begin:
                now = self._clock.now()
                await asyncio.to_thread(self._progress.wait_for_turn, attempt.works, now=now)
                return
            try:
                async with asyncio.timeout(self._rules.attempt_seconds):
                    outcomes = await self._outcomes(attempt)
            except TimeoutError:
                outcomes = _too_slow(attempt)
        await self._settle(list(zip(attempt.works, outcomes, strict=True)))

    async def _outcomes(self, attempt: _Attempt) -> list[Outcome]:
        reached = await self._servers.reach(attempt.domain)
        if isinstance(reached, ProvenChannel):
            try:
                return await self._over(reached, attempt)
            finally:
                await reached.close()
        if isinstance(reached, NoMail):
            return [RefusedForGood(reached.reply)] * len(attempt.works)
        return [await self._without_channel(reached, work) for work in attempt.works]

    async def _over(self, channel: ProvenChannel, attempt: _Attempt) -> list[Outcome]:
        decisions = [await self._decision(channel.evidence, work) for work in attempt.works]
        outcomes: dict[int, Outcome] = {}
        sending = []
        for work, decision in zip(attempt.works, decisions, strict=True):
            if decision.route is Route.TLS:
                sending.append((work, decision))
            else:
                outcomes[work.item.id] = _not_sent(decision)
        for copies in (
            [pair for pair in sending if not pair[0].may_have_arrived],
            [pair for pair in sending if pair[0].may_have_arrived],
        ):
            if copies:
                outcomes |= await self._transaction(channel, attempt, copies)
        return [outcomes[work.item.id] for work in attempt.works]

    async def _transaction(
        self, channel: ProvenChannel, attempt: _Attempt, copies: Sequence[tuple[Work, RouteDecision]]
    ) -> dict[int, Outcome]:
        works = [work for work, _ in copies]

        async def before_data(accepted: Sequence[int]) -> None:
            attempt.intended += [works[place] for place in accepted]
            now = self._clock.now()
            taken = [copies[place] for place in accepted]
            await asyncio.to_thread(self._progress.intend, taken, now=now)
            failpoint.reached("outbound.after_intention")

        is_possible_duplicate = works[0].may_have_arrived
        message = await asyncio.to_thread(self._signed, attempt.outgoing, is_possible_duplicate=is_possible_duplicate)
        recipients = tuple(work.address for work in works)
        transmission = Transmission(attempt.outgoing.sender, recipients, message)
        if shortfall := channel.shortfall(transmission):
            return {work.item.id: recipient_outcome.not_for_this_server(shortfall) for work in works}
        replies = await channel.send(transmission, before_data=before_data)
        outcomes = [recipient_outcome.of_message_reply(reply) for reply in replies]
        return {work.item.id: outcome for work, outcome in zip(works, outcomes, strict=True)}

    def _signed(self, outgoing: Outgoing, *, is_possible_duplicate: bool) -> RelayedMessage:
        return self._signing.signed(outgoing.prepared(is_possible_duplicate=is_possible_duplicate))

    async def _without_channel(self, evidence: TlsEvidence | Unreachable, work: Work) -> Outcome:
        return _not_sent(await self._decision(evidence, work))

    async def _decision(self, evidence: TlsEvidence | Unreachable, work: Work) -> RouteDecision:
        facts = RecipientFacts(
            has_portal_account=await asyncio.to_thread(self._has_portal_account, work.address),
            waiting=self._clock.now() - work.message.received_at,
            portal_after=self._rules.portal_after,
        )
        return encryption_policy.after_probe(evidence, facts)

    async def _settle(self, outcomes: Sequence[tuple[Work, Outcome]]) -> None:
        failpoint.reached("outbound.after_answer")
        now = self._clock.now()
        await asyncio.to_thread(self._progress.settle, outcomes, Stage.MESSAGE, now=now)
        failpoint.reached("outbound.after_settling")


def _is_waiting(work: Work) -> bool:
    return work.recipient.state in TO_DO and work.recipient.route in {Route.UNDECIDED, Route.TLS}


def _not_sent(decision: RouteDecision) -> Outcome:
    if decision.route is Route.PORTAL:
        return ToPortal(decision.reasons)
    return TryAgain(decision.reasons[0], reasons=decision.reasons)


def _too_slow(attempt: _Attempt) -> list[Outcome]:
    """The far server used up the whole attempt; what had been sent by then may have arrived."""
    problem = "the server was too slow"
    return [TryAgain(problem, is_unknown=work in attempt.intended) for work in attempt.works]
