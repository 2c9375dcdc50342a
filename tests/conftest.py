"""What holds for all tests: on which engine they run, and how long a database on the session's server lives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from tests import database_room

hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")  # a busy machine finds no faults, and nobody's change is refused by a draw

ROOMS = (
    "tests.archive_room",
    "tests.database_room",
    "tests.flows.outbound_practice",
    "tests.ledger_room",
    "tests.lived_practice",
    "tests.portal_room",
    "tests.records_life",
    "tests.records_room",
    "tests.running_practice",
    "tests.smtp_room",
    "tests.vault_room",
)
"""Whoever imports from one of these opens a database."""

_long_lived: set[str] = {database_room.FURNISHED}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "torture" not in item.path.parts)  # the longest first, or the others wait for it
    for item in items:
        if _opens_databases(item.getparent(pytest.Module)):
            item.add_marker("database")
        about_files = item.get_closest_marker("sqlite_files")
        if about_files and database_room.IS_POSTGRESQL:
            item.add_marker(pytest.mark.skip(reason=about_files.kwargs["reason"]))


def _opens_databases(module: pytest.Module | None) -> bool:
    names = vars(module.obj).values() if module else ()
    return any(
        (each.__name__ if isinstance(each, ModuleType) else getattr(each, "__module__", "")) in ROOMS for each in names
    )


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """A database that a fixture of a whole file made lives until the end; all others die with their test."""
    before = set(database_room.made())
    result = yield
    if fixturedef.scope != "function":
        _long_lived.update(set(database_room.made()) - before)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    result = yield
    database_room.drop([name for name in database_room.made() if name not in _long_lived])
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The names of what failed go where ``make test`` asks for them: ``tests.second_try`` reads them."""
    if place := os.environ.get("STRONGROOM_TEST_FAILED"):
        failed = [report.nodeid for how in ("failed", "error") for report in terminalreporter.stats.get(how, ())]
        Path(place).write_text("\n".join(failed), "utf-8")
