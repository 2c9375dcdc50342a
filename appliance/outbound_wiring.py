"""Puts the outbound rooms together for the worker, from an open data directory and its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from appliance import retry_schedule
from appliance.bounce_message import ReportingServer
from appliance.delivery_progress import DeliveryProgress
from appliance.delivery_reports import DeliveryReports
from appliance.directory import Directory
from appliance.dkim_signing import DkimSigning
from appliance.domain_policies import DomainPolicies
from appliance.domain_turns import DomainTurns
from appliance.mx_lookup import MxLookup
from appliance.name_lookup import LookupSettings, NameLookup
from appliance.notice_bounces import NoticeBounces
from appliance.notice_sending import NoticeRules, NoticeSending
from appliance.outbox_worker import ErrandWork
from appliance.outgoing_mail import OutgoingMail
from appliance.pickup_notice import NoticeSettings
from appliance.policy_fetching import FetchSettings, PolicyFetching
from appliance.policy_records import PolicyRecords
from appliance.receiving_servers import ReceivingServers
from appliance.relay import Relay, RelayRules
from appliance.retry_schedule import RetrySchedule
from appliance.settings import DnsSettings, OutboundSettings, RouteSettings
from appliance.smtp_outbound import ClientSettings, SmtpOutbound
from mailstore.addresses import Address
from mailstore.database import Database
from mailstore.message import MessageId
from mailstore.outbox import Kind, OutboxItem
from mailstore.retrieval import Retrieval
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock
from portal import unsealing
from portal.front_door import FrontDoor

MESSAGES_AT_ONCE = 10
DOMAIN_AT_ONCE = 4


@dataclass(frozen=True)
class OutboundRules:
    """All that the settings say about mail to other servers."""

    client: ClientSettings
    lookup: LookupSettings
    routes: tuple[RouteSettings, ...]
    schedule: RetrySchedule
    notice: NoticeSettings
    server: ReportingServer
    public_certificate_suffices: bool
    fetching: FetchSettings = field(default_factory=FetchSettings)
    attempt_seconds: float = 1200.0
    messages_at_once: int = MESSAGES_AT_ONCE
    domain_at_once: int = DOMAIN_AT_ONCE
    notice_pause: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class OutboundStore:
    """What the outbound rooms need of the ground floor. ``jitter`` draws a number from 0 to 1."""

    database: Database
    retrieval: Retrieval
    clock: Clock
    randomness: Randomness
    jitter: Callable[[], float]
    lookup_key: bytes = field(repr=False)
    account_key: bytes = field(repr=False)


@dataclass(frozen=True)
class Outbound:
    """The outbound rooms, ready for the worker."""

    relay: Relay
    notices: NoticeSending
    reports: DeliveryReports
    bounces: NoticeBounces
    messages_at_once: int

    def work(self) -> Mapping[Kind, ErrandWork]:
        """What ``outbox_worker.Worker`` is to do for the kinds of this floor."""
        return {
            Kind.DELIVER: ErrandWork(self.relay.deliver, self.messages_at_once),
            Kind.NOTIFY: ErrandWork(self.notices.notify, self.messages_at_once),
            Kind.REPORT: ErrandWork(self._report, 1),
            Kind.BOUNCE: ErrandWork(self._take_bounces, 1),
        }

    async def _take_bounces(self, items: Sequence[OutboxItem]) -> None:
        await asyncio.to_thread(self.bounces.take, items)

    async def _report(self, items: Sequence[OutboxItem]) -> None:
        await asyncio.to_thread(self.reports.report, items)


def rules_of(
    settings: OutboundSettings, dns: DnsSettings, *, host_name: str, notice: NoticeSettings, server: ReportingServer
) -> OutboundRules:
    """The rules that the settings ask for."""
    return OutboundRules(
        client=ClientSettings(
            host_name=host_name,
            connect_seconds=settings.connect_seconds,
            reply_seconds=settings.reply_seconds,
            data_seconds=2 * settings.reply_seconds,
        ),
        lookup=LookupSettings(
            own_name=host_name,
            nameservers=(dns.validating_resolver,) if dns.validating_resolver else (),
            nameserver_port=dns.validating_resolver_port,
            proves=bool(dns.validating_resolver),
            inner_networks=unsealing.networks_of(settings.inner_networks),
        ),
        routes=settings.route,
        schedule=retry_schedule.schedule_of(settings),
        notice=notice,
        server=server,
        public_certificate_suffices=settings.public_certificate_suffices,
        messages_at_once=settings.connections,
        domain_at_once=settings.conversations_per_domain,
        notice_pause=timedelta(minutes=settings.notice_pause_minutes),
    )


def servers_of(rules: OutboundRules, policies: PolicyRecords, clock: Clock) -> ReceivingServers:
    """The way to the servers of a domain; also what the preview of routes asks."""
    names = NameLookup(rules.lookup)
    return ReceivingServers(
        MxLookup(rules.routes, rules.lookup),
        SmtpOutbound(rules.client, clock),
        DomainPolicies(names, PolicyFetching(names, rules.fetching), policies, clock=clock),
        public_certificate_suffices=rules.public_certificate_suffices,
    )


def outbound(
    store: OutboundStore,
    rules: OutboundRules,
    *,
    front_door: FrontDoor,
    directory: Directory,
    signing: DkimSigning,
    has_portal_account: Callable[[Address], bool],
    link_of: Callable[[MessageId], str],
) -> Outbound:
    """Relay, notices and reports over one store. ``link_of`` makes the locator that a notice carries."""
    mail = OutgoingMail(store.database, store.retrieval)
    policies = PolicyRecords(
        store.database, lookup_key=store.lookup_key, account_key=store.account_key, randomness=store.randomness
    )
    servers = servers_of(rules, policies, store.clock)
    progress = DeliveryProgress(store.database, store.retrieval, rules.schedule, jitter=store.jitter)
    turns = DomainTurns(rules.domain_at_once)
    relay = Relay(
        mail,
        servers,
        progress,
        signing=signing,
        turns=turns,
        rules=RelayRules(rules.attempt_seconds, rules.schedule.portal_after),
        clock=store.clock,
        has_portal_account=has_portal_account,
    )
    notices = NoticeSending(
        mail,
        servers,
        progress,
        signing=signing,
        turns=turns,
        settings=rules.notice,
        link_of=link_of,
        rules=NoticeRules(rules.attempt_seconds, rules.notice_pause),
        lookup_key=store.lookup_key,
        clock=store.clock,
        randomness=store.randomness,
    )
    reports = DeliveryReports(
        store.database,
        mail,
        front_door,
        directory,
        server=rules.server,
        schedule=rules.schedule,
        clock=store.clock,
        randomness=store.randomness,
    )
    bounces = NoticeBounces(mail, progress, lookup_key=store.lookup_key, clock=store.clock)
    return Outbound(relay, notices, reports, bounces, rules.messages_at_once)
