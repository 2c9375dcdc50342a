"""Puts mail to other servers together from an open appliance: for the worker that sends, and for the lamps."""

from __future__ import annotations

import secrets

from appliance import account_wiring, dkim_wiring, outbound_wiring, pickup_notice
from appliance.bounce_message import ReportingServer
from appliance.front_door_wiring import RANDOMNESS, FrontDoorParts
from appliance.outbound_wiring import Outbound, OutboundRules, OutboundStore
from appliance.pickup_notice import NoticeSettings
from appliance.policy_records import PolicyRecords
from appliance.route_preview import PreviewRules, ServerRoutePreview
from appliance.settings import Settings
from appliance.wiring import Appliance
from mailstore.addresses import Address
from portal import pickup_link
from portal.account_records import AccountState

_JITTER_STEPS = 1 << 20


def outbound(appliance: Appliance, front: FrontDoorParts) -> Outbound:
    """Relay, notices and reports."""
    origin = account_wiring.portal_settings(appliance.settings).origin
    store = OutboundStore(
        database=appliance.database,
        retrieval=appliance.retrieval,
        clock=appliance.clock,
        randomness=RANDOMNESS,
        jitter=lambda: secrets.randbelow(_JITTER_STEPS) / _JITTER_STEPS,
        lookup_key=appliance.ring.lookup_key,
        account_key=appliance.ring.account_key,
    )
    return outbound_wiring.outbound(
        store,
        rules(appliance.settings),
        front_door=front.acceptance,
        directory=front.directory,
        signing=dkim_wiring.signing(appliance),
        has_portal_account=lambda address: has_portal_account(appliance, address),
        link_of=lambda message: pickup_link.link(origin, message),
    )


def route_preview(appliance: Appliance, front: FrontDoorParts) -> ServerRoutePreview:
    """The lamps under each recipient."""
    outbound_rules = rules(appliance.settings)
    return ServerRoutePreview(
        front.directory,
        outbound_wiring.servers_of(outbound_rules, _policies(appliance), appliance.clock),
        rules=PreviewRules(portal_after=outbound_rules.schedule.portal_after),
        has_portal_account=lambda address: has_portal_account(appliance, address),
    )


def _policies(appliance: Appliance) -> PolicyRecords:
    ring = appliance.ring
    return PolicyRecords(
        appliance.database, lookup_key=ring.lookup_key, account_key=ring.account_key, randomness=RANDOMNESS
    )


def rules(settings: Settings) -> OutboundRules:
    """What the settings say about mail to other servers."""
    domain, name = settings.practice.domain, settings.practice.name
    return outbound_wiring.rules_of(
        settings.outbound,
        settings.dns,
        host_name=settings.mx_host,
        notice=NoticeSettings(
            practice_name=name,
            recognition_phrase=settings.practice.recognition_phrase,
            portal_url=account_wiring.portal_settings(settings).origin + "/",
            from_address=f"{pickup_notice.SENDER_NAME}@{domain}",
            language=settings.practice.language,
        ),
        server=ReportingServer(settings.mx_host, f"postmaster@{domain}", name),
    )


def has_portal_account(appliance: Appliance, address: Address) -> bool:
    """True when this person can read in the portal already."""
    with appliance.database.read() as connection:
        account = account_wiring.records(appliance).by_login(connection, address.text)
    return account is not None and account.state is AccountState.ACTIVE
