from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailstore import key_custody, ways_in
from mailstore.errors import NotFoundError, RefusedError, TamperedError, WrongKeyError
from mailstore.slot_key_file import KeyFile, create_key_file
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


@pytest.fixture
def first(tmp_path: Path) -> KeyFile:
    secret = create_key_file(tmp_path / "first.key", os.urandom)
    key_custody.create(tmp_path / "keys", secret, os.urandom, now=NOW)
    return secret


def test_a_slot_says_what_it_is_and_when_it_was_tried(tmp_path: Path, first: KeyFile) -> None:
    keys, path = tmp_path / "keys", tmp_path / "pass"
    path.write_text("several words\n")
    added = ways_in.add(keys, first, PassphraseFile(path, CHEAP), os.urandom, label="the safe", now=LATER)
    assert [(slot.kind, slot.label, slot.created_at, slot.tested_at) for slot in ways_in.listed(keys)] == [
        ("key_file", "key_file", NOW, None),
        ("passphrase", "the safe", LATER, None),
    ]
    assert ways_in.tested(keys, PassphraseFile(path), now=LATER).id == added.id
    assert ways_in.named(ways_in.listed(keys), added.id).tested_at == LATER
    with pytest.raises(NotFoundError):
        ways_in.named(ways_in.listed(keys), "none")


def test_a_secret_that_opens_nothing_adds_nothing(tmp_path: Path, first: KeyFile) -> None:
    keys, stranger = tmp_path / "keys", create_key_file(tmp_path / "other.key", os.urandom)
    with pytest.raises(WrongKeyError):
        ways_in.add(keys, stranger, stranger, os.urandom, now=NOW)
    with pytest.raises(WrongKeyError):
        ways_in.tested(keys, stranger, now=NOW)
    with pytest.raises(RefusedError, match="label"):
        ways_in.add(keys, first, stranger, os.urandom, label="two\nlines", now=NOW)
    assert len(ways_in.listed(keys)) == 1


def test_a_public_half_put_in_the_place_of_another_is_refused_before_anything_is_sealed_to_it(
    tmp_path: Path, first: KeyFile
) -> None:
    """A thief who can write our files puts his slot beside ours, and waits for a rotation to seal the root to it."""
    keys, elsewhere = tmp_path / "keys", tmp_path / "elsewhere"
    his = create_key_file(tmp_path / "his.key", os.urandom)
    key_custody.create(elsewhere, his, os.urandom, now=NOW)
    ours, theirs = ways_in.listed(keys), ways_in.listed(elsewhere)
    _, _, root = key_custody.opened_slots((keys / "slots.json").read_bytes(), first)
    forged = key_custody.slots_file([*ours, *theirs], os.urandom(32))
    (keys / "slots.json").write_bytes(forged)
    assert root not in forged
    with pytest.raises(TamperedError, match=r"slots\.json"):
        ways_in.tested(keys, first, now=NOW)


def test_there_is_an_end_to_the_number_of_ways_in(
    tmp_path: Path, first: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways_in, "MOST_SLOTS", 2)
    spare = create_key_file(tmp_path / "spare.key", os.urandom)
    ways_in.add(tmp_path / "keys", first, spare, os.urandom, now=NOW)
    with pytest.raises(RefusedError, match="2 ways in"):
        ways_in.add(tmp_path / "keys", first, spare, os.urandom, now=NOW)
