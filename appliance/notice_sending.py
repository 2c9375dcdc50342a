"""Tells recipients that a message waits in the portal.

The notice is the only thing that may travel without verified TLS (``smtp_outbound.open_for_notice``), because it
holds nothing about health. A recipient gets one at most in a while: the messages that came meanwhile join the next.
It is retried like mail; one that fails for good is reported to the writer, and the message stays readable in the
portal all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from appliance import notice_return, pickup_notice, recipient_outcome, relayed_message
from appliance.delivery_progress import TO_DO, DeliveryProgress, Work
from appliance.dkim_signing import DkimSigning
from appliance.domain_turns import DomainTurns
from appliance.mx_lookup import NoMail
from appliance.outgoing_mail import OutgoingMail
from appliance.pickup_notice import Notice, NoticeSettings
from appliance.receiving_servers import ReceivingServers
from appliance.recipient_outcome import Outcome, RefusedForGood, Stage, Taken, TryAgain
from appliance.relayed_message import Transmission
from appliance.smtp_outbound import Channel, NotReached
from mailstore.addresses import canonical_domain, parse_mailbox
from mailstore.message import MessageId, Route
from mailstore.message_composition import new_message_id
from mailstore.outbox import OutboxItem
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock


@dataclass(frozen=True)
class NoticeRules:
    """``attempt_seconds`` bounds one attempt; ``pause`` is the least time between two notices to one person."""

    attempt_seconds: float = 1200.0
    pause: timedelta = timedelta(minutes=10)


class NoticeSending:
    """Works through outbox items of kind ``notify``. ``link_of`` makes the locator of a message."""

    def __init__(
        self,
        mail: OutgoingMail,
        servers: ReceivingServers,
        progress: DeliveryProgress,
        *,
        signing: DkimSigning,
        turns: DomainTurns,
        settings: NoticeSettings,
        link_of: Callable[[MessageId], str],
        rules: NoticeRules,
        lookup_key: bytes,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._lookup_key = lookup_key
        self._mail = mail
        self._servers = servers
        self._progress = progress
        self._signing = signing
        self._turns = turns
        self._settings = settings
        self._link_of = link_of
        self._rules = rules
        self._recipients = DomainTurns(1)
        self._clock = clock
        self._randomness = randomness

    async def notify(self, items: Sequence[OutboxItem]) -> None:
        """Send the notices of one message. Raises only for our own faults."""
        outgoing = await asyncio.to_thread(self._mail.opened, items, with_content=False)
        waiting = [work for work in outgoing.works if _is_waiting(work)]
        done = {work.item.id for work in waiting}
        await asyncio.to_thread(self._progress.drop, [item for item in items if item.id not in done])
        for work in waiting:
            await self._in_turn(work)

    async def _in_turn(self, work: Work) -> None:
        """One notice to one person at a time, and none too soon after the last."""
        with self._recipients.turn(work.address.canonical) as may_begin:
            now = self._clock.now()
            if not may_begin:
                await asyncio.to_thread(self._progress.wait_for_turn, [work], now=now)
            elif not await asyncio.to_thread(self._progress.wait_for_next_notice, work, self._rules.pause, now=now):
                await self._one(work)

    async def _one(self, work: Work) -> None:
        domain = canonical_domain(work.address.domain)
        with self._turns.turn(domain) as may_begin:
            if not may_begin:
                await asyncio.to_thread(self._progress.wait_for_turn, [work], now=self._clock.now())
                return
            try:
                async with asyncio.timeout(self._rules.attempt_seconds):
                    outcome = await self._outcome(work, domain)
            except TimeoutError:
                outcome = TryAgain("the server was too slow")
        now = self._clock.now()
        await asyncio.to_thread(self._progress.settle, [(work, outcome)], Stage.NOTICE, now=now)
        if isinstance(outcome, Taken) and self._rules.pause:
            await asyncio.to_thread(self._progress.join_notice, work, outcome, now=now)

    async def _outcome(self, work: Work, domain: str) -> Outcome:
        reached = await self._servers.reach_for_notice(domain)
        match reached:
            case NoMail():
                return RefusedForGood(reached.reply)
            case NotReached():
                return TryAgain(reached.reply.line)
            case Channel():
                try:
                    notice = await asyncio.to_thread(self._notice, work)
                    (reply,) = await reached.send(notice, before_data=_nothing_to_record)
                finally:
                    await reached.close()
                return recipient_outcome.of_reply(reply)

    def _notice(self, work: Work) -> Transmission:
        """From an address that can be answered: a notice is no report (RFC 5321 section 4.5.5)."""
        sender = parse_mailbox(self._settings.from_address)
        content = pickup_notice.compose(
            Notice(to=work.address, link=self._link_of(work.message.id)),
            self._settings,
            now=self._clock.now(),
            message_id=new_message_id(self._randomness(16), sender.domain),
        )
        message = self._signing.signed(relayed_message.prepared(content, trace_field=b"", is_possible_duplicate=False))
        position = work.recipient.position
        way_back = notice_return.return_address(sender, work.message.id, position, lookup_key=self._lookup_key)
        return Transmission(way_back, (work.address,), message)


async def _nothing_to_record(accepted: Sequence[int]) -> None:
    """A notice that came twice harms nobody."""
    del accepted


def _is_waiting(work: Work) -> bool:
    return work.recipient.route is Route.PORTAL and work.recipient.state in TO_DO
