from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest
from shamir_mnemonic.wordlist import WORDLIST

from mailstore import key_custody, slot_shares, ways_in
from mailstore.errors import RefusedError, WrongKeyError
from mailstore.slot_key_file import create_key_file
from mailstore.slot_shares import SharesFile, combined, shares_in, split

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def shares() -> list[str]:
    return split(SECRET, need=3, of=5)


def test_any_shares_that_are_enough_give_the_secret_back(shares: list[str]) -> None:
    assert all(len(share.split()) == slot_shares.WORDS for share in shares)
    assert all(combined(some) == SECRET for some in combinations(shares, 3))
    assert combined(shares) == SECRET
    assert combined([shares[0], *shares[:3]]) == SECRET


def test_too_few_shares_are_told(shares: list[str]) -> None:
    with pytest.raises(WrongKeyError, match="takes 3 different shares, and these are 2"):
        combined([shares[0], shares[1], shares[1]])
    with pytest.raises(WrongKeyError, match="no shares"):
        combined([])


def test_shares_of_two_sets_are_told_apart(shares: list[str]) -> None:
    with pytest.raises(WrongKeyError, match="different sets"):
        combined([*shares[:2], split(SECRET, need=3, of=5)[2]])


def test_one_wrong_word_is_named(shares: list[str]) -> None:
    words = shares[1].split()
    for place in (0, 3, 7, 20, 32):
        other = WORDLIST[(WORDLIST.index(words[place]) + 1) % len(WORDLIST)]
        wrong = " ".join([*words[:place], other, *words[place + 1 :]])
        with pytest.raises(WrongKeyError, match="share 2"):
            combined([shares[0], wrong, shares[2]])
    with pytest.raises(WrongKeyError, match="share 2, word 5"):
        combined([shares[0], " ".join([*words[:4], "strongroom", *words[5:]]), shares[2]])


def test_swapped_words_are_noticed(shares: list[str]) -> None:
    words = shares[0].split()
    words[10], words[11] = words[11], words[10]
    with pytest.raises(WrongKeyError, match="share 1"):
        combined([" ".join(words), *shares[1:3]])


def test_a_page_may_be_typed_as_it_is_read(shares: list[str]) -> None:
    numbered = "\n".join(f"{place:2}. {word.upper()}" for place, word in enumerate(shares[0].split(), start=1))
    typed = f"# the first\n{numbered}\n\n  \n{shares[1]}\n{shares[2]}\n"
    assert shares_in(typed) == shares[:3]
    with pytest.raises(WrongKeyError, match="share 2 has 32 words, not 33"):
        shares_in(f"{shares[0]}\n\n{shares[1].rsplit(' ', 1)[0]}\n")


@pytest.mark.parametrize(("need", "of"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_shares_that_protect_nothing_are_not_made(need: int, of: int) -> None:
    with pytest.raises(RefusedError):
        split(SECRET, need=need, of=of)


def test_a_ring_opens_with_enough_shares_and_with_no_others(tmp_path: Path, shares: list[str]) -> None:
    keys, first = tmp_path / "keys", create_key_file(tmp_path / "first.key", os.urandom)
    ring = key_custody.create(keys, first, os.urandom, now=NOW)
    given = SharesFile(tmp_path / "shares.txt")
    given.path.write_text("\n\n".join(shares[:3]), encoding="utf-8")
    slot = ways_in.add(keys, first, given, os.urandom, now=NOW)
    assert slot.noted == {"set": slot_shares.set_of(shares[0]), "need": 3}
    given.path.write_text("\n".join(shares[2:]), encoding="utf-8")
    assert key_custody.unlock(keys, given) == ring
    given.path.write_text("\n\n".join(split(os.urandom(32), need=2, of=2)), encoding="utf-8")
    with pytest.raises(WrongKeyError):
        key_custody.unlock(keys, given)
    given.path.write_bytes(b"\xff\xfe")
    with pytest.raises(RefusedError, match="UTF-8"):
        key_custody.unlock(keys, given)
