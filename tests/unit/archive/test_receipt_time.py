from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from archive.receipt_time import ReceiptTime, receipt_time
from mailstore.trusted_time import TOLERANCE

THEN, SECOND, DAY = datetime(2026, 3, 4, tzinfo=UTC), timedelta(seconds=1), timedelta(days=1)


@pytest.mark.parametrize("captured", [None, THEN, THEN + TOLERANCE, THEN - TOLERANCE])
def test_clocks_that_agree_leave_one_moment(captured: datetime | None) -> None:
    came = receipt_time(THEN, captured)
    assert came == ReceiptTime(THEN, THEN)
    assert (came.is_from(THEN), came.is_before(THEN)) == (True, False)
    assert (came.is_from(THEN + SECOND), came.is_before(THEN + SECOND)) == (False, True)


@pytest.mark.parametrize("apart", [9_000 * DAY, -9_000 * DAY, TOLERANCE + SECOND])
def test_between_two_clocks_that_disagree_nobody_can_tell(apart: timedelta) -> None:
    came = receipt_time(THEN, THEN + apart)
    for within in (came.earliest + SECOND, THEN + apart / 2, came.latest):
        assert came.is_from(within) is None
        assert came.is_before(within) is None
    assert (came.is_from(came.earliest), came.is_before(came.earliest)) == (True, False)
    assert (came.is_from(came.latest + SECOND), came.is_before(came.latest + SECOND)) == (False, True)
