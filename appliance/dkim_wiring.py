"""Puts the keys that sign mail together: made for a new practice, opened for the worker, changed by commands."""

from __future__ import annotations

from datetime import datetime

from appliance.dkim_keys import DkimKeys, NewPair
from appliance.dkim_signing import DkimSigning
from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import Settings
from appliance.wiring import Appliance
from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.working_keys import WorkingKeys


def keys_of(keys: WorkingKeys) -> DkimKeys:
    """The keys that sign, for whoever has the archive key. The role on port 25 does not."""
    return DkimKeys(archive_key=keys.archive_key, randomness=RANDOMNESS)


def begin(database: Database, settings: Settings, keys: WorkingKeys, *, now: datetime) -> bool:
    """Make the first pair where there is none: of a new practice, and of one from before mail was signed.

    A row that was edited stops nothing here: mail is taken all the same, what leaves waits, and the doctor names it.
    """
    dkim_keys, domain = keys_of(keys), settings.practice.domain
    try:
        with database.read() as connection:
            is_begun = bool(dkim_keys.keys(connection, domain))
    except TamperedError:
        return False
    if is_begun:
        return False
    pair = NewPair.made()
    with database.write() as connection:
        return dkim_keys.begin(connection, domain, pair, now=now)


def signing(appliance: Appliance) -> DkimSigning:
    """What signs mail which leaves."""
    domain = appliance.settings.practice.domain
    return DkimSigning(appliance.database, keys_of(appliance.ring), domain=domain, clock=appliance.clock)
