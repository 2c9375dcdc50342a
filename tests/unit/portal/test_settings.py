"""Settings that would harm somebody are refused when they are made."""

from __future__ import annotations

import pytest

from portal.settings import SettingsError, contrast_with_white
from tests.portal_room import settings


@pytest.mark.parametrize(
    "origin", ["http://clinic.example", "clinic.example", "https://", "https://clinic.example/portal"]
)
def test_an_origin_that_is_not_https_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError):
        settings(origin=origin)


@pytest.mark.parametrize("accent", ["#ffff00", "#999999", "red", "#12", "#0b5f6b;}"])
def test_a_colour_that_cannot_be_read_or_is_none_is_refused(accent: str) -> None:
    with pytest.raises(SettingsError):
        settings(accent=accent)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast_with_white("#000000") == pytest.approx(21)
    assert contrast_with_white("#767676") == pytest.approx(4.54, abs=0.01)


def test_the_host_header_may_name_the_portal_with_its_port() -> None:
    made = settings(origin="https://localhost:18443")
    assert made.host == "localhost"
    assert made.hosts == {"localhost:18443"}
