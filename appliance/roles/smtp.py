"""The smtp role: mail from other servers and from the practice's own mail programs.

It has the deposit keys and nothing else: it can take mail in, and cannot open a message that was stored.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field, replace

import uvloop

from appliance import (
    certificate_renewal,
    commit_process,
    front_door_wiring,
    mail_scanning,
    process_hardening,
    smtp_inbound,
)
from appliance.first_run_mark import Latch
from appliance.front_door_wiring import FrontDoorParts
from appliance.refusal_record import AuditedRefusals
from appliance.role_life import Station
from appliance.smtp_authentication import Submitter
from appliance.smtp_door import Door, DoorKind, DoorLimits
from appliance.smtp_inbound import SmtpService
from mailstore.actor import Actor
from mailstore.database import Database
from portal.app_passwords import verify_app_password


@dataclass(frozen=True)
class AppPasswords:
    """The app passwords of the portal's accounts, as submission asks for them."""

    database: Database
    lookup_key: bytes = field(repr=False)

    def authenticate(self, login: str, password: str) -> Submitter | None:
        """Who this is, or None. Raises ``StorageUnavailableError``, ``TamperedError``."""
        found = verify_app_password(self.database, self.lookup_key, login, password)
        return Submitter(Actor(found.account, found.role)) if found else None


def work(station: Station) -> None:
    """Take mail until SIGTERM; what was received whole is stored and answered first."""
    deposit_keys = station.agent.deposit_keys()
    with (
        commit_process.beside(process_hardening.called(), station.data, deposit_keys) as committing,
        front_door_wiring.opened(station.data, deposit_keys, committing) as parts,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        tls = certificate_renewal.renewed_context(station.data.tls)
        passwords = AppPasswords(parts.database, deposit_keys.lookup_key)
        scanning = mail_scanning.of_settings(parts.settings.scanning, AuditedRefusals(parts.database, parts.clock))
        submission = _door(parts, tls, DoorKind.SUBMISSION, passwords)
        service = SmtpService(
            mx=replace(_door(parts, tls, DoorKind.MX, None), latch=Latch(station.data), scanning=scanning),
            submission=replace(submission, scanning=scanning),
        )
        runner.run(smtp_inbound.serve(service, station.sockets, station.when_ready))


def _door(parts: FrontDoorParts, tls: ssl.SSLContext, kind: DoorKind, passwords: AppPasswords | None) -> Door:
    settings = parts.settings
    return Door(
        kind=kind,
        host_name=settings.mx_host,
        domain=settings.practice.domain,
        limits=DoorLimits.of(settings.smtp, parts.limits),
        taker=parts.acceptance,
        addresses=parts.directory,
        clock=parts.clock,
        tls=tls,
        submitters=passwords,
    )
