"""Tells our own people what became of their mail, through the front door and into their mailbox.

A report is looked up when it is due, not when it was ordered: a message that arrived meanwhile needs none. A crash
between the front door and the end of the item can repeat a report; it never loses one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from appliance import bounce_message
from appliance.bounce_message import Cause, FailedRecipient, Report, ReportingServer
from appliance.delivery_progress import SYSTEM_ACTOR, Work
from appliance.directory import Directory
from appliance.outgoing_mail import Outgoing, OutgoingMail
from appliance.retry_schedule import RetrySchedule
from mailstore import audit_trail, outbox
from mailstore.actor import SYSTEM
from mailstore.addresses import Address
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.message import Envelope, Origin, ReceivedMessage, RecipientState, Route, StoredMessage
from mailstore.message_composition import new_message_id
from mailstore.outbox import OutboxItem
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock
from portal.front_door import FrontDoor, Refused

logger = logging.getLogger(__name__)


class DeliveryReports:
    """Works through outbox items of kind ``report``."""

    def __init__(
        self,
        database: Database,
        mail: OutgoingMail,
        front_door: FrontDoor,
        directory: Directory,
        *,
        server: ReportingServer,
        schedule: RetrySchedule,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._mail = mail
        self._front_door = front_door
        self._directory = directory
        self._server = server
        self._schedule = schedule
        self._clock = clock
        self._randomness = randomness

    def report(self, items: Sequence[OutboxItem]) -> None:
        """Report on the recipients of one message, failures and delays apart, and finish the items."""
        outgoing = self._mail.opened(items, with_content=True)
        told: list[Work] = []
        if outgoing.works and self._may_tell(outgoing):
            for is_delay in (False, True):
                told += self._tell(outgoing, is_delay=is_delay)
        facts = [_fact(work) for work in told]
        with self._database.write() as connection:
            audit_trail.append(connection, facts, now=self._clock.now())
            for item in items:
                outbox.finish(connection, item)

    def _may_tell(self, outgoing: Outgoing) -> bool:
        sender = outgoing.sender
        is_ours = sender is not None and self._directory.mailbox_named(sender) is not None
        origin = outgoing.works[0].message.origin
        return bounce_message.may_report(sender=sender, origin=origin, sender_is_ours=is_ours)

    def _tell(self, outgoing: Outgoing, *, is_delay: bool) -> list[Work]:
        """One report about all recipients of this kind; answers whom it was about."""
        causes = [(work, _cause(work)) for work in outgoing.works]
        chosen = [
            (work, cause)
            for work, cause in causes
            if cause is not None and (cause in bounce_message.DELAYS) == is_delay
        ]
        if not chosen or outgoing.sender is None:
            return []
        now = self._clock.now()
        recipients = tuple(self._recipient(work, cause) for work, cause in chosen)
        report = Report(
            sender=outgoing.sender,
            recipients=recipients,
            original_headers=outgoing.content,
            subject=outgoing.summary.subject,
            accepted_at=chosen[0][0].message.received_at,
        )
        answer = self._front_door.accept(self._received(report, outgoing.sender, now), SYSTEM)
        if isinstance(answer, Refused):
            logger.warning("report refused", extra={"message_id": chosen[0][0].message.id, "code": answer.code})
            return []
        return [work for work, _ in chosen]

    def _received(self, report: Report, sender: Address, now: datetime) -> ReceivedMessage:
        content = bounce_message.compose(
            report,
            self._server,
            now=now,
            message_id=new_message_id(self._randomness(16), self._server.host_name),
            boundary="=_" + self._randomness(16).hex(),
        )
        return ReceivedMessage(Envelope(None, (sender,)), content, now, Origin.SYSTEM)

    def _recipient(self, work: Work, cause: Cause) -> FailedRecipient:
        is_delay = cause in bounce_message.DELAYS
        return FailedRecipient(
            address=work.recipient.address,
            cause=cause,
            last_reply=work.recipient.last_reply,
            last_attempt_at=work.recipient.changed_at,
            retry_until=self._retry_until(work.message) if is_delay else None,
        )

    def _retry_until(self, message: StoredMessage) -> datetime:
        return message.received_at + self._schedule.give_up_after


def _cause(work: Work) -> Cause | None:
    """What there is to tell about a recipient; None when the copy is well on its way."""
    is_notice = work.recipient.route is Route.PORTAL
    match work.recipient.state:
        case RecipientState.FAILED if is_notice:
            return Cause.NOTICE_UNDELIVERABLE
        case RecipientState.FAILED:
            return Cause.REFUSED if work.recipient.last_reply.startswith("5") else Cause.GIVEN_UP
        case RecipientState.DEFERRED:
            return Cause.NOTICE_DELAYED if is_notice else Cause.STILL_TRYING
        case _:
            return None


def _fact(work: Work) -> AuditFact:
    detail = {"position": work.recipient.position, "state": work.recipient.state.value}
    return AuditFact("report.sent", SYSTEM_ACTOR, work.message.id, detail)
