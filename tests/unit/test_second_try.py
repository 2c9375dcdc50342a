"""What may fail by chance in a run of all tests: a few tests that wait for a browser, and nothing else."""

from __future__ import annotations

import pytest

from tests.second_try import may_be_chance

PAGE = "tests/flows/test_search_pages.py::test_results"


def test_a_few_tests_of_pages_may_be_tried_again() -> None:
    assert may_be_chance([PAGE] * 3)


@pytest.mark.parametrize(
    "failed",
    [
        [],
        [PAGE] * 4,
        ["tests/attacks/test_key_agent_socket.py::test_stranger"],
        ["tests/torture/test_torture.py::test_every_promise"],
        [PAGE, "tests/flows/test_kill_in_burst.py::test_mail"],
    ],
)
def test_what_attacks_or_kills_the_product_counts_the_first_time(failed: list[str]) -> None:
    assert not may_be_chance(failed)
