"""Puts alarms by mail together from an open appliance: what is looked at, who hears of it, what is remembered."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from appliance import account_wiring, health
from appliance.alert_mail import AlertMail, Readers
from appliance.alert_state import AlertState
from appliance.alert_watch import AlertWatch
from appliance.front_door_wiring import FrontDoorParts
from appliance.wiring import Appliance
from mailstore.actor import Role
from mailstore.addresses import Address, parse_mailbox
from portal.account_records import AccountState


def watch(appliance: Appliance, front: FrontDoorParts) -> AlertWatch:
    """What the worker looks with."""
    return AlertWatch(
        quick=partial(health.quickly, appliance),
        thorough=partial(health.thoroughly, appliance),
        state=AlertState(appliance.data.alerts, appliance.ring.row_key),
        mail=mail(appliance, front),
        page=f"{account_wiring.portal_settings(appliance.settings).origin}/health",
        remind_after=timedelta(hours=appliance.settings.alerts.remind_hours),
        clock=appliance.clock,
    )


def mail(appliance: Appliance, front: FrontDoorParts) -> AlertMail:
    """What writes to those who look after the appliance."""
    return AlertMail(
        front_door=front.acceptance,
        readers=partial(_readers, appliance, front),
        postmaster=_postmaster(appliance),
        host_name=appliance.settings.mx_host,
        clock=appliance.clock,
    )


def _readers(appliance: Appliance, front: FrontDoorParts) -> Readers:
    """The administrators at work, and whom the settings name. Without a mailbox of theirs: whoever has postmaster's."""
    with appliance.database.read() as connection:
        people = account_wiring.records(appliance).of_roles(connection, frozenset({Role.ADMIN}))
    written = [each.person.email for each in people if each.state is AccountState.ACTIVE]
    addresses = [parse_mailbox(each) for each in (*written, *appliance.settings.alerts.to)]
    here = {each.canonical: each for each in addresses if front.directory.mailbox_named(each)}
    elsewhere = {each.canonical: each for each in addresses if not front.directory.is_our_domain(each)}
    return Readers(tuple(here.values()) or (_postmaster(appliance),), tuple(elsewhere.values()))


def _postmaster(appliance: Appliance) -> Address:
    return Address("postmaster", appliance.settings.practice.domain)
