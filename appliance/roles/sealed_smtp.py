"""The smtp role while the appliance is sealed: mail from other servers goes to the sealed spool, nobody signs in.

It has no key at all. What it seals to is public, and lies in ``keys/``.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import uvloop

from appliance import certificate_renewal, mail_scanning, sealed_door, smtp_inbound
from appliance.first_run_mark import Latch
from appliance.role_life import Station
from appliance.sealed_door import SealedDoorParts
from appliance.smtp_door import Door, DoorKind, DoorLimits
from appliance.smtp_inbound import SmtpService
from mailstore import key_custody
from mailstore.wall_clock import SystemClock


def work(station: Station) -> None:
    """Take mail until SIGTERM; what was received whole is stored and answered first."""
    tls = certificate_renewal.renewed_context(station.data.tls)
    capture_public = key_custody.capture_public(station.data.keys)
    with (
        sealed_door.opened(station.data, capture_public=capture_public) as parts,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        scanning = mail_scanning.of_settings(parts.settings.scanning)
        service = SmtpService(
            mx=replace(_door(parts, tls, DoorKind.MX), latch=Latch(station.data), scanning=scanning),
            submission=_door(parts, tls, DoorKind.SUBMISSION),
        )
        runner.run(smtp_inbound.serve(service, station.sockets, station.when_ready))


def _door(parts: SealedDoorParts, tls: ssl.SSLContext, kind: DoorKind) -> Door:
    settings = parts.settings
    return Door(
        kind=kind,
        host_name=settings.mx_host,
        domain=settings.practice.domain,
        limits=DoorLimits.of(settings.smtp, parts.limits),
        taker=parts.taker,
        addresses=parts.addresses,
        clock=SystemClock(),
        tls=tls,
        is_sealed=True,
    )
