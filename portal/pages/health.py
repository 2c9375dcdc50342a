"""The doctor's report for the administrator: what is well, what is not, and what to do about it."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal.archive_room import Condition
from portal.visit import ADMINISTRATORS, Visit, shows

WORST_FIRST = (Condition.FAIL, Condition.WARN, Condition.OK, Condition.OFF)


@shows("/health", audience=ADMINISTRATORS)
def health_page(visit: Visit) -> Response[Any]:
    """Every check, made now, the worst first."""
    checks = visit.portal.parts.health.checks()
    by_state = {state: [check for check in checks if check.state == state] for state in WORST_FIRST}
    return visit.page(
        "pages/health.html",
        failed=by_state[Condition.FAIL],
        warned=by_state[Condition.WARN],
        passed=by_state[Condition.OK],
        left_out=by_state[Condition.OFF],
    )


ROUTES = (health_page,)
