"""The accounts of people and the address of the portal, for processes that show no page.

The worker and the commands ask these; the pages themselves are put together in ``portal_wiring``.
"""

from __future__ import annotations

from datetime import timedelta

from appliance.door_list_file import DoorListFile
from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import Settings
from appliance.wiring import Appliance
from portal.account_records import AccountRecords
from portal.settings import PasswordCost, Pool, PortalSettings

HTTPS_PORT = 443


def portal_settings(settings: Settings) -> PortalSettings:
    """The portal's share of the settings, in its own words."""
    port = settings.portal.port
    tail = "" if port == HTTPS_PORT else f":{port}"
    names = {settings.portal_host, settings.practice.domain, "localhost", "127.0.0.1"} if _is_local(settings) else set()
    return PortalSettings(
        practice=settings.practice.name,
        origin=f"https://{settings.portal_host}{tail}",
        local_domains=frozenset({settings.practice.domain}),
        recognition_phrase=settings.practice.recognition_phrase,
        other_hosts=frozenset(f"{name}{tail}" for name in names),
        pools=tuple(
            Pool(pool.name, pool.address, pool.reply_window.removeprefix("within ")) for pool in settings.portal.pool
        ),
        accent=settings.portal.accent,
        session_idle=timedelta(minutes=settings.sign_in.session_idle_minutes),
        session_life=timedelta(hours=settings.sign_in.session_hours),
        enrolment_life=timedelta(hours=settings.sign_in.enrolment_code_hours),
        password_cost=PasswordCost(settings.passwords.memory_kib, settings.passwords.passes, settings.passwords.lanes),
    )


def _is_local(settings: Settings) -> bool:
    return settings.portal.listen == "127.0.0.1"


def door_list_file(appliance: Appliance) -> DoorListFile:
    """Which addresses mail is taken for while nothing can be opened."""
    return DoorListFile(
        appliance.data.door_list,
        records(appliance),
        appliance.settings.practice.domain,
        lookup_key=appliance.ring.lookup_key,
        row_key=appliance.ring.row_key,
        randomness=RANDOMNESS,
    )


def records(appliance: Appliance) -> AccountRecords:
    """The accounts."""
    return AccountRecords(
        appliance.database,
        account_key=appliance.ring.account_key,
        lookup_key=appliance.ring.lookup_key,
        randomness=RANDOMNESS,
    )
