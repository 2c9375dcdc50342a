"""Who hears of alarms: the administrators at work and whom the settings name, and which of these addresses nobody has.

An address in our own domain without a mailbox is a slip of whoever wrote it: the doctor says so before it matters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from appliance import account_wiring
from appliance.alert_mail import Readers
from appliance.directory import Directory
from appliance.health_finding import Seen, State
from appliance.wiring import Appliance
from mailstore.actor import Role
from mailstore.addresses import Address, parse_mailbox
from portal import account_records
from portal.account_records import AccountState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedReaders:
    """All addresses that should hear of alarms, each once: in mailboxes here, on other servers, and nowhere."""

    here: tuple[Address, ...]
    elsewhere: tuple[Address, ...]
    nowhere: tuple[Address, ...]


def named(appliance: Appliance) -> NamedReaders:
    """As they are now."""
    with appliance.database.read() as connection:
        people = account_wiring.records(appliance).of_roles(connection, frozenset({Role.ADMIN}))
    written = [each.person.email for each in people if each.state is AccountState.ACTIVE]
    parsed = [parse_mailbox(each) for each in (*written, *appliance.settings.alerts.to)]
    directory = Directory(
        appliance.database,
        lookup_key=appliance.ring.lookup_key,
        domains=[appliance.settings.practice.domain],
        caretaker=account_records.caretaker,
    )
    addresses = {each.canonical: each for each in parsed}.values()
    ours = [each for each in addresses if directory.is_our_domain(each)]
    here = [each for each in ours if directory.mailbox_named(each)]
    return NamedReaders(
        here=tuple(here),
        elsewhere=tuple(each for each in addresses if each not in ours),
        nowhere=tuple(each for each in ours if each not in here),
    )


def readers(appliance: Appliance, postmaster: Address) -> Readers:
    """To whom a mail goes. With nobody's mailbox here: to whoever has postmaster's."""
    found = named(appliance)
    if found.nowhere:
        logger.error("addresses for alarms reach nobody", extra={"addresses": len(found.nowhere)})
    return Readers(found.here or (postmaster,), found.elsewhere)


def reached(appliance: Appliance) -> Seen:
    """What the doctor says about it."""
    found = named(appliance)
    count = len(found.here) + len(found.elsewhere)
    if found.nowhere:
        told = f"{len(found.nowhere)} addresses for alarms reach nobody: they are in our domain and nobody has them"
        return State.WARN, told, "put addresses that somebody reads into alerts.to, and give administrators a mailbox"
    return State.OK, f"{count} addresses hear of alarms" if count else "whoever reads postmaster's mail hears", ""
