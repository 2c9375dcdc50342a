"""What holds for all tests: a database on the session's server lives as long as the fixture that asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import database_room

_long_lived: set[str] = {database_room.FURNISHED}


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
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
