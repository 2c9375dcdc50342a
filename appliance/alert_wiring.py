"""Puts alarms by mail together from an open appliance: what is looked at, who hears of it, what is remembered."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from appliance import account_wiring, alert_readers, health
from appliance.alert_mail import AlertMail
from appliance.alert_state import AlertState
from appliance.alert_watch import AlertWatch
from appliance.front_door_wiring import FrontDoorParts
from appliance.wiring import Appliance
from mailstore.addresses import Address


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
        readers=partial(alert_readers.readers, appliance, _postmaster(appliance)),
        postmaster=_postmaster(appliance),
        host_name=appliance.settings.mx_host,
        clock=appliance.clock,
    )


def _postmaster(appliance: Appliance) -> Address:
    return Address("postmaster", appliance.settings.practice.domain)
