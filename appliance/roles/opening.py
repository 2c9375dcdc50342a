"""The opening role, before any other: proves the directory, brings its rows up to date, claims our place, and ends."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from appliance import database_wiring, dkim_wiring, schema, wiring, workplace_wiring
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import settings_of
from appliance.role_life import Station
from appliance.settings import Settings
from mailstore.errors import TamperedError
from mailstore.wall_clock import SystemClock
from mailstore.working_keys import WorkingKeys

if TYPE_CHECKING:
    from appliance.migration import StepNews, Tell

logger = logging.getLogger(__name__)


def work(station: Station) -> None:
    """Do it, or raise what stands in the way."""
    data, keys = station.data, station.agent.working_keys()
    wiring.prove(data, keys)
    bring_up_to_date(data, settings_of(data), keys, now=SystemClock().now(), tell=_teller(station))
    station.when_ready()


def bring_up_to_date(
    data: DataDirectory,
    settings: Settings,
    keys: WorkingKeys,
    *,
    now: datetime,
    tell: Tell | None = None,
) -> None:
    """Take the steps of the row database that a new release brought, and claim our place, before any role opens it.

    ``tell`` hears how far the steps are, for as long as they get on.
    """
    with database_wiring.rows(data, settings, keys.row_key) as database:
        with database.read() as connection:
            found = schema.revision(connection)
        if found is None:
            place = database_wiring.shown(settings.database) if settings.database.url else data.rows.name
            raise TamperedError(f"{place} holds no tables", fix="restore it from a backup")
        if found != schema.HEAD:
            from appliance import migration  # noqa: PLC0415 - alembic is loaded only when there is a step to take

            migration.upgrade(database, tell=tell)
            logger.info("the rows are up to date")
        if claim := workplace_wiring.claim(data, settings, database, keys.row_key):
            claim.begin(now=now)
        dkim_wiring.begin(database, settings, keys, now=now)


def _teller(station: Station) -> Tell:
    """How far the steps are, for the log and for whoever waits for the other roles."""

    def tell(news: StepNews) -> None:
        told = {"step": news.step, "seconds": round(news.seconds), "steps_left": news.left}
        logger.info("a step of the rows", extra=told)
        station.when_advancing(news.sentence)

    return tell
