"""One byte is changed of the slots of a ring with every kind of way in, or of a secret as people keep it (I7).

It is refused and named, or it was a byte that says nothing: never another key. Slots that a token opens are changed
likewise beside the tests of tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.share_pages import SharePage
from mailstore import key_custody, slot_shares, ways_in
from mailstore.errors import StrongroomError
from mailstore.key_hierarchy import KeyRing
from mailstore.slot_key_file import Credential, KeyFile, create_key_file
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
from mailstore.slot_secret import RememberedSecret, SlotSecret
from mailstore.slot_shares import SharesFile

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


class Box:
    """A ring that a passphrase, a key file, a credential and two of three printed pages open."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys"
        (folder / "passphrase").write_text("vier ruhige Stra\u00dfen\n", "utf-8")
        shares = slot_shares.split(os.urandom(32), need=2, of=3)
        pages = [
            SharePage("Lakeside", words, number, of=3, need=2, made_at=NOW)
            for number, words in enumerate(shares, start=1)
        ]
        (folder / "pages").write_text(b"\n".join(page.to_text() for page in pages[:2]).decode(), "utf-8")
        self.secrets: Mapping[str, SlotSecret] = {
            "passphrase": PassphraseFile(folder / "passphrase", CHEAP),
            "key": create_key_file(folder / "key", os.urandom),
            "credential": Credential(create_key_file(folder / "credential", os.urandom).path),
            "pages": SharesFile(folder / "pages"),
        }
        first, *others = self.secrets.values()
        self.ring = key_custody.create(self.keys, first, os.urandom, now=NOW)
        for other in others:
            ways_in.add(self.keys, first, other, os.urandom, now=NOW)

    def opened(self, secret: SlotSecret) -> KeyRing | StrongroomError:
        try:
            return key_custody.unlock(self.keys, secret)
        except StrongroomError as error:
            return error


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    return Box(tmp_path_factory.mktemp("box"))


def changed(path: Path) -> Iterator[int]:
    """The file with one byte after the other changed, and right again at the end."""
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        yield place
    path.write_bytes(whole)


def test_every_byte_of_slots_of_every_kind_counts_for_every_way_in(box: Box) -> None:
    remembered = [RememberedSecret(secret) for secret in box.secrets.values()]
    assert [box.opened(secret) for secret in remembered] == [box.ring] * 4
    for place in changed(box.keys / "slots.json"):
        found = box.opened(remembered[place % 4])
        assert isinstance(found, StrongroomError), place
        assert "key" in found.message
    for secret in remembered:
        for _ in changed_in_slot_of(box, secret.kind):
            assert isinstance(box.opened(secret), StrongroomError)


def changed_in_slot_of(box: Box, kind: str) -> Iterator[int]:
    """The slot of one kind alone: what its own secret reads of it before any seal is looked at."""
    path = box.keys / "slots.json"
    whole = path.read_bytes()
    start = whole.index(f'"kind": "{kind}"'.encode())
    end = whole.index(b'"sealed_root"', start)
    for place in range(start, end):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        yield place
    path.write_bytes(whole)


@pytest.mark.parametrize("name", ["passphrase", "key", "credential"])
def test_every_byte_of_a_secret_in_a_file_counts(box: Box, name: str) -> None:
    secret = box.secrets[name]
    assert isinstance(secret, PassphraseFile | KeyFile | Credential)
    for place in changed(secret.path):
        found = box.opened(secret)
        is_spelling = name != "passphrase" and found == box.ring  # a hexadecimal digit or the line end, written anew
        assert is_spelling or isinstance(found, StrongroomError), place


def test_every_byte_of_printed_shares_counts_or_says_nothing(box: Box) -> None:
    """A page has words for people as well: what they say opens nothing, and changes nothing of what opens."""
    secret = box.secrets["pages"]
    assert isinstance(secret, SharesFile)
    expected = slot_shares.shares_in(secret.path.read_text("utf-8"))
    ignored: set[int] = set()
    for place in changed(secret.path):
        if read(secret.path) == expected:
            ignored.add(place)
        else:
            assert isinstance(box.opened(secret), StrongroomError), place
    text = secret.path.read_bytes()
    letters = {place for line in lines(text) for place in line if text[place : place + 1].isalpha()}
    assert all(text[place] ^ 1 << place % 8 == text[place] ^ 0x20 for place in ignored & letters), "but for a capital"
    assert box.opened(secret) == box.ring


def lines(text: bytes) -> Iterator[range]:
    """Where the lines of words lie."""
    start = 0
    for line in text.splitlines(keepends=True):
        if not line.startswith(b"#"):
            yield range(start, start + len(line))
        start += len(line)


def read(page: Path) -> list[str]:
    try:
        return slot_shares.shares_in(page.read_bytes().decode("utf-8"))
    except (StrongroomError, UnicodeDecodeError):
        return []
