"""The link is a locator."""

from __future__ import annotations

import pytest

from mailstore.message import MessageId
from portal.pickup_link import link, message_of

MESSAGE = MessageId("abcdefghijklmnopqrstuvwxyz"[:26])


def test_a_link_leads_back_to_its_message() -> None:
    address = link("https://portal.clinic.example/", MESSAGE)
    assert address == f"https://portal.clinic.example/m/{MESSAGE}"
    assert message_of(address.rpartition("/")[2]) == MESSAGE


@pytest.mark.parametrize("locator", ["", "x", "A" * 26, "a" * 27, "../../x", "a" * 25 + "1"])
def test_what_we_did_not_make_names_nothing(locator: str) -> None:
    assert message_of(locator) is None
