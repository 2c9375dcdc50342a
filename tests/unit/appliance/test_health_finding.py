"""A look may die of anything: what it found is kept, and that it died is a red line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance import health_finding
from appliance.health_finding import BROKEN_OFF, Finding, Seen, State
from mailstore.errors import StorageUnavailableError

FINE = Finding("spool", State.OK, "empty")
ERRORS = [
    StorageUnavailableError("away", fix="look at the store"),
    OSError(5, "Input/output error"),
    ValueError("secret of somebody"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_what_breaks_a_look_off_is_a_finding_after_those_that_were_made(error: Exception) -> None:
    def look() -> Iterator[Finding]:
        yield FINE
        raise error

    first, last = health_finding.unbroken(look)
    assert first is FINE
    assert (last.check, last.state, last.is_unknown, bool(last.fix)) == (BROKEN_OFF, State.FAIL, True, True)
    assert "secret" not in last.message


@pytest.mark.parametrize("error", ERRORS)
def test_check_that_dies_of_anything_has_failed(error: Exception) -> None:
    def look() -> Seen:
        raise error

    found = health_finding.guarded("spool", look)
    assert (found.check, found.state) == ("spool", State.FAIL)
    assert "secret" not in found.message
