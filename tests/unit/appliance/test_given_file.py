"""Secrets that a person names by a file, or by a directory of pages, as the key agent gets them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance import given_file, key_agent_secret
from mailstore.errors import RefusedError, WrongKeyError
from mailstore.slot_shares import SharesFile, split

SECRET = bytes(range(32))


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Three pages in a directory, two of which are needed."""
    place = tmp_path / "pages"
    place.mkdir()
    for number, words in enumerate(split(SECRET, need=2, of=3), start=1):
        (place / f"share-{number}.txt").write_text(words + "\n", "utf-8")
    return place


def test_directory_of_shares_opens_the_same_when_it_is_handed_over(pages: Path) -> None:
    noted = SharesFile(pages).noted(os.urandom)
    with key_agent_secret.given("shares", given_file.secret_in(str(pages))) as handed:
        assert handed.slot_key(noted) == SharesFile(pages).slot_key(noted)


def test_too_few_pages_in_the_directory_open_nothing(pages: Path) -> None:
    noted = SharesFile(pages).noted(os.urandom)
    for page in sorted(pages.iterdir())[1:]:
        page.unlink()
    with (
        key_agent_secret.given("shares", given_file.secret_in(str(pages))) as handed,
        pytest.raises(WrongKeyError, match="takes 2"),
    ):
        handed.slot_key(noted)


def test_secret_that_is_not_there_or_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="cannot be read"):
        given_file.secret_in(str(tmp_path / "none"))
    (tmp_path / "long").write_bytes(b"a" * 5000)
    with pytest.raises(RefusedError, match="longer than"):
        given_file.secret_in(str(tmp_path / "long"))
