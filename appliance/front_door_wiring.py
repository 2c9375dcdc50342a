"""Puts the front door together from the keys that a depositing process may have, and no others.

Nothing here, nor anything it imports, can open a stored message or the key ring.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance import birth_record, config, database_wiring
from appliance.acceptance import Acceptance
from appliance.data_directory import DataDirectory
from appliance.directory import Directory
from appliance.settings import Settings
from appliance.smtp_acceptance import AcceptanceLimits
from mailstore.database import Database
from mailstore.deposit import Depositor
from mailstore.group_commit import GroupCommit
from mailstore.key_hierarchy import DepositKeys
from mailstore.keystore import Keystore
from mailstore.sealed_deposit import Committing
from mailstore.spool import SpoolWriter
from mailstore.spool_gauge import SpoolGauge
from mailstore.wall_clock import Clock, SystemClock
from portal import account_records

RANDOMNESS = secrets.token_bytes
"""Where every key, nonce and identifier comes from: the operating system's generator."""


@dataclass(frozen=True)
class FrontDoorParts:
    """What a process that takes mail in works with."""

    settings: Settings
    database: Database
    directory: Directory
    acceptance: Acceptance
    limits: AcceptanceLimits
    clock: Clock


@contextmanager
def opened(data: DataDirectory, keys: DepositKeys, committing: Committing) -> Iterator[FrontDoorParts]:
    """Open a data directory for depositing; what is waiting is stored before everything is closed."""
    birth_record.verify(data.birth_record, row_key=keys.row_key)
    settings = settings_of(data)
    with (
        database_wiring.rows(data, settings, keys.row_key) as database,
        depositing(data, settings, keys, database, committing) as parts,
    ):
        yield parts


def group_commit(data: DataDirectory, keys: DepositKeys, database: Database, keystore: Keystore) -> GroupCommit:
    """What makes mail durable, over databases that are open already."""
    return GroupCommit(
        SpoolWriter(data.spool, RANDOMNESS),
        keystore,
        database,
        capture_public=keys.capture_public,
        clock=SystemClock(),
        randomness=RANDOMNESS,
    )


@contextmanager
def depositing(
    data: DataDirectory, settings: Settings, keys: DepositKeys, database: Database, committing: Committing
) -> Iterator[FrontDoorParts]:
    """The front door over a database that is open already."""
    clock = SystemClock()
    depositor = Depositor(committing, lookup_key=keys.lookup_key, randomness=RANDOMNESS)
    directory = Directory(
        database,
        lookup_key=keys.lookup_key,
        domains=[settings.practice.domain],
        caretaker=account_records.caretaker,
    )
    limits = limits_of(settings)
    gauge = SpoolGauge(data.spool, cap_bytes=settings.spool.cap_bytes)
    acceptance = Acceptance(depositor, directory, gauge=gauge, limits=limits, host_name=settings.mx_host)
    try:
        yield FrontDoorParts(settings, database, directory, acceptance, limits, clock)
    finally:
        depositor.close()


def limits_of(settings: Settings) -> AcceptanceLimits:
    """What one message may be."""
    return AcceptanceLimits(
        message_bytes=settings.limits.message_bytes,
        recipients=settings.limits.recipients,
        hops=settings.limits.hops,
    )


def settings_of(data: DataDirectory) -> Settings:
    """The settings of a directory, by the rules of how it was made. Whoever has keys proves that it was so."""
    birth = birth_record.unverified(data.birth_record)
    return config.load(data.settings, is_loopback=birth.is_loopback)
