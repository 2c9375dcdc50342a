"""The reference pages say what the code says."""

from __future__ import annotations

import pytest

from appliance import reference_pages


@pytest.mark.parametrize("name", sorted(reference_pages.pages()))
def test_reference_page_is_the_generated_one(name: str) -> None:
    found = (reference_pages.FOLDER / name).read_text("utf-8")
    assert found == reference_pages.pages()[name], "run: make reference"
