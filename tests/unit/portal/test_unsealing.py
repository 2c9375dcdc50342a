"""Who is shown the page that unseals, and what its form carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.settings import PortalSettings as PortalSection
from portal.unsealing import TOKEN_LIFE, FormTokens, Opening, comes_from, networks_of
from tests.portal_room import portal_room

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NEAR = networks_of(PortalSection().unseal_from)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.7.7", "::1", "fd00::1", "fe80::1%eth0", "::ffff:192.168.1.1"],
)
def test_neighbours_are_near(address: str) -> None:
    assert comes_from(address, NEAR)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8", "", "testclient", "192.168.1.1, 8.8.8.8"]
)
def test_everybody_else_is_not(address: str) -> None:
    assert not comes_from(address, NEAR)


def test_nobody_is_near_when_the_practice_says_so() -> None:
    assert not comes_from("127.0.0.1", networks_of(""))
    with pytest.raises(ValueError, match="does not appear"):
        networks_of("next door")


def test_token_is_for_one_address_and_a_while() -> None:
    tokens = FormTokens(b"k" * 32)
    token = tokens.made("10.0.0.1", NOW)
    assert tokens.is_good(token, "10.0.0.1", NOW + TOKEN_LIFE)
    assert not tokens.is_good(token, "10.0.0.2", NOW)
    assert not tokens.is_good(token, "10.0.0.1", NOW + TOKEN_LIFE + timedelta(seconds=1))
    assert not FormTokens(b"j" * 32).is_good(token, "10.0.0.1", NOW)
    for forged in ("", ".", "9" * 12 + ".0", token.replace(".", "0."), token[:-1], "é.é"):
        assert not tokens.is_good(forged, "10.0.0.1", NOW)


def test_open_portal_tells_strangers_nothing_of_it(tmp_path: Path) -> None:
    """The page is not there for whoever comes from elsewhere: the visitor of this room has no address near."""
    with portal_room(tmp_path) as room, room.visitor() as visitor:
        assert isinstance(room.parts.opening, Opening)
        assert visitor.get("/unseal").status_code == 404
