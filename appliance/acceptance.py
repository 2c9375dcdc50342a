"""The single front door: SMTP, submission, webmail, portal replies and mail of our own all come in here.

It decides on the message and hands it to the depositor; it holds nothing that could open mail again. The order:

0. Room: at the spool's cap nothing is taken, whatever it is (``SpoolFullError``).
1. Form: size, line ends, loops (``smtp_acceptance``).
2. Authorship: who submits by SMTP may speak only in a name of their own.
3. Route of each recipient (``encryption_policy``); one that cannot be routed refuses the whole message.
4. Deposit, with the audit entry and the follow-up work in the transaction of the message.
"""

from __future__ import annotations

from concurrent.futures import Future

from appliance import encryption_policy, notice_return, smtp_acceptance
from appliance.delivery_plan import DeliveryPlan
from appliance.directory import Directory
from appliance.smtp_acceptance import AcceptanceLimits
from mailstore.actor import SYSTEM, Actor
from mailstore.audit_entry import AuditFact
from mailstore.deposit import Deposit, Depositor, FollowUp
from mailstore.message import MessageId, Origin, ReceivedMessage, RecipientPlan, Route, Scan
from mailstore.message_composition import trace_field
from mailstore.message_parts import summary_of
from mailstore.outbox import Kind
from mailstore.sealed_series import Arrival
from mailstore.spool_gauge import SpoolGauge
from portal.front_door import Accepted, Refused

_MAY_LEAVE = frozenset({Origin.SUBMISSION, Origin.WEBMAIL, Origin.SYSTEM})
_OVER_SMTP = frozenset({Origin.SMTP, Origin.SUBMISSION})


class Acceptance:
    """Takes messages in. Safe to call from any thread."""

    def __init__(
        self,
        depositor: Depositor,
        directory: Directory,
        *,
        gauge: SpoolGauge,
        limits: AcceptanceLimits,
        host_name: str,
    ) -> None:
        self._gauge = gauge
        self._depositor = depositor
        self._directory = directory
        self._limits = limits
        self._host_name = host_name

    def has_room(self) -> bool:
        """False when the spool is at its cap: then it is kinder to say so before the message is sent."""
        return self._gauge.has_room()

    def accept(self, received: ReceivedMessage, actor: Actor | None = None) -> Accepted | Refused:
        """Take a message and wait until it is durable.

        Raises ``StorageUnavailableError`` when it could not be stored: then nothing was promised to anybody.
        """
        begun = self.submit(received, actor)
        return begun if isinstance(begun, Refused) else Accepted(begun.result())

    def submit(
        self, received: ReceivedMessage, actor: Actor | None = None, *, arrival: Arrival | None = None
    ) -> Future[MessageId] | Refused:
        """Decide on a message and begin to store it; the future is done when it is durable, and only then ours.

        ``arrival``: where it waited in the sealed spool. It is taken in once, and not judged a second time by rules
        that may have changed since it was promised; only where it goes is decided now.
        """
        self._gauge.refuse_when_full()
        problem = self._problem(received, actor) if arrival is None else None
        if problem is not None:
            return problem
        plan = self._plan(received, actor)
        if isinstance(plan, Refused):
            return plan
        return self._depositor.submit(self._deposit(received, plan, actor, arrival))

    def _problem(self, received: ReceivedMessage, actor: Actor | None) -> Refused | None:
        problem = smtp_acceptance.content_problem(received.content, self._limits)
        return problem or self._people_problem(received, actor)

    def _people_problem(self, received: ReceivedMessage, actor: Actor | None) -> Refused | None:
        recipients = received.envelope.recipients
        if not recipients:
            return Refused("no_recipients", "The message has no recipients.")
        if len(recipients) > self._limits.recipients:
            return Refused("too_many_recipients", f"More than {self._limits.recipients} recipients.")
        if received.origin is Origin.SUBMISSION:
            return self._authorship_problem(received, actor)
        return None

    def _authorship_problem(self, received: ReceivedMessage, actor: Actor | None) -> Refused | None:
        sender = received.envelope.sender
        if actor is None or sender is None or not self._directory.owns(actor.account, sender):
            return Refused("false_sender", "The sender is not an address of this account.")
        account = actor.account
        return smtp_acceptance.author_problem(
            received.content, is_own=lambda address: self._directory.owns(account, address)
        )

    def _plan(self, received: ReceivedMessage, actor: Actor | None) -> DeliveryPlan | Refused:
        may_leave = received.origin in _MAY_LEAVE and actor is not None and (actor.role.is_staff or actor == SYSTEM)
        located = {address.canonical: self._directory.locate(address) for address in received.envelope.recipients}
        return encryption_policy.plan(tuple(located.values()), may_leave_the_practice=may_leave)

    def _deposit(
        self, received: ReceivedMessage, plan: DeliveryPlan, actor: Actor | None, arrival: Arrival | None
    ) -> Deposit:
        writes_for_itself = actor is not None and actor.role.is_staff and received.origin is not Origin.SMTP
        return Deposit(
            received=received,
            summary=summary_of(received, self._trace(received)),
            recipients=plan.recipients,
            follow_up=_follow_up(received, plan.recipients),
            facts=(_accepted_fact(received, plan, actor or SYSTEM),),
            sent_mailbox=self._directory.mailbox_of(actor.account) if actor and writes_for_itself else None,
            arrival=arrival,
        )

    def _trace(self, received: ReceivedMessage) -> str:
        """Our ``Received:`` field, kept beside the message (RFC 5321 section 4.4; protocol names of RFC 3848)."""
        if received.origin is Origin.SYSTEM:
            return ""
        peer = received.peer
        field = trace_field(
            helo=peer.helo if received.origin in _OVER_SMTP else "",
            peer_address=peer.address if received.origin in _OVER_SMTP else "",
            by=self._host_name,
            protocol=_protocol(received),
            now=received.received_at,
        )
        return field.decode("ascii")


def _protocol(received: ReceivedMessage) -> str:
    if received.origin not in _OVER_SMTP:
        return "HTTPS"
    peer = received.peer
    return "ESMTP" + ("S" if peer.tls else "") + ("A" if peer.account else "")


def _follow_up(received: ReceivedMessage, recipients: tuple[RecipientPlan, ...]) -> tuple[FollowUp, ...]:
    is_report = received.envelope.sender is None
    found = [FollowUp(Kind.CAPTURE)]
    for position, recipient in enumerate(recipients):
        if recipient.route is not Route.MAILBOX:
            found.append(FollowUp(Kind.DELIVER, position))
        elif is_report and notice_return.is_return_address(recipient.address):
            found.append(FollowUp(Kind.BOUNCE, position))
    return tuple(found)


def _accepted_fact(received: ReceivedMessage, plan: DeliveryPlan, actor: Actor) -> AuditFact:
    return AuditFact(
        event="message.accepted",
        actor=actor.account,
        detail={
            "origin": received.origin.value,
            "size_bytes": len(received.content),
            "recipients": len(plan.recipients),
            **({"scan": received.scan.value} if received.scan is not Scan.OFF else {}),
        },
    )
