from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailstore import failpoint, key_custody, key_files, key_rotation, ways_in
from mailstore.errors import NotFoundError, RefusedError, StrongroomError, TamperedError, WrongKeyError
from mailstore.key_hierarchy import KeyRing
from mailstore.slot_key_file import KeyFile, create_key_file
from tests.repository_room import ROOT

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
POINTS = ("keys.after_next", "keys.after_erasing", "keys.after_file")


class KeptError(Exception):
    """What a failpoint raises here in the place of killing the process."""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def first(tmp_path: Path, keys: Path) -> KeyFile:
    secret = create_key_file(tmp_path / "first.key", os.urandom)
    key_custody.create(keys, secret, os.urandom, now=NOW)
    return secret


@pytest.fixture
def second(tmp_path: Path, keys: Path, first: KeyFile) -> KeyFile:
    secret = create_key_file(tmp_path / "second.key", os.urandom)
    ways_in.add(keys, first, secret, os.urandom, now=NOW)
    return secret


def rotate(keys: Path, secret: KeyFile, *, without: str | None = None) -> KeyRing:
    return key_rotation.rotate(keys, secret, os.urandom, now=LATER, without=without)


def test_every_secret_opens_the_renewed_ring_though_only_one_was_at_hand(
    keys: Path, first: KeyFile, second: KeyFile
) -> None:
    before = key_custody.unlock(keys, first)
    after = rotate(keys, second)
    assert key_custody.unlock(keys, first) == key_custody.unlock(keys, second) == after
    changed = {name for name, member in after.members().items() if before.members()[name] != member}
    assert changed == {"capture_private", "keys_recovery"}
    assert after.captures == (after.capture, before.capture)
    assert [key.retired_at for key in after.retired] == [LATER, LATER]
    assert key_custody.capture_public(keys) == after.capture.public
    assert KeyRing.from_bytes(after.to_bytes()) == after


def test_a_removed_secret_opens_nothing_even_with_the_slots_of_before(
    keys: Path, first: KeyFile, second: KeyFile
) -> None:
    old = (keys / "slots.json").read_bytes()
    removed = ways_in.listed(keys)[0]
    rotate(keys, second, without=removed.id)
    with pytest.raises(WrongKeyError):
        key_custody.unlock(keys, first)
    (keys / "slots.json").write_bytes(old)
    for secret in (first, second):
        with pytest.raises(TamperedError, match=r"keyring\.json"):
            key_custody.unlock(keys, secret)


def test_the_last_way_in_cannot_be_removed(keys: Path, first: KeyFile) -> None:
    (only,) = ways_in.listed(keys)
    with pytest.raises(RefusedError, match="last way in"):
        rotate(keys, first, without=only.id)
    with pytest.raises(NotFoundError):
        rotate(keys, first, without="unknown")


def test_whoever_removes_a_way_in_shows_that_another_one_works(keys: Path, first: KeyFile, second: KeyFile) -> None:
    one, other = ways_in.listed(keys)
    with pytest.raises(RefusedError, match="shall go"):
        rotate(keys, first, without=one.id)
    rotate(keys, first, without=other.id)
    with pytest.raises(WrongKeyError):
        key_custody.unlock(keys, second)


def test_retired_pairs_stay_until_nothing_needs_them(keys: Path, first: KeyFile) -> None:
    begun = key_custody.unlock(keys, first)
    rotate(keys, first)
    twice = rotate(keys, first)
    assert len(twice.captures) == 3
    left = key_rotation.forget(keys, first, os.urandom, is_needed=lambda key: key.private != begun.capture_private)
    assert begun.capture not in left.captures
    assert len(left.captures) == 2
    assert key_custody.unlock(keys, first) == left
    state = [path.read_bytes() for path in sorted(keys.iterdir())]
    assert key_rotation.forget(keys, first, os.urandom, is_needed=lambda _: True) == left
    assert [path.read_bytes() for path in sorted(keys.iterdir())] == state, "written for nothing"


def test_the_first_form_of_the_files_is_written_anew_by_a_rotation(keys: Path, tmp_path: Path) -> None:
    vector = json.loads((ROOT / "tests" / "formats" / "key_custody_v1.json").read_text())
    keys.mkdir()
    for name, text in vector["files"].items():
        (keys / name).write_text(text)
    secret = KeyFile(tmp_path / "unlock.key")
    secret.path.write_text(vector["key_file"])
    with pytest.raises(RefusedError, match="several slots"):
        rotate(keys, secret)
    told = json.loads(vector["files"]["slots.json"])
    told["slots"] = told["slots"][1:]
    (keys / "slots.json").write_text(json.dumps(told, indent=1) + "\n")
    before = key_custody.unlock(keys, secret)
    with pytest.raises(RefusedError, match="first form"):
        ways_in.add(keys, secret, secret, os.urandom, now=NOW)
    after = rotate(keys, secret)
    assert key_custody.unlock(keys, secret) == after
    assert after.captures[1] == before.capture
    assert after.row_key == before.row_key
    assert set(key_custody.recovery_publics(keys)) == {"data_recovery", "keys_recovery"}


@pytest.mark.parametrize(("point", "time"), itertools.product(POINTS, (1, 2, 3, 4)))
def test_a_rotation_that_is_cut_off_is_whole_or_has_not_begun(
    keys: Path, first: KeyFile, second: KeyFile, point: str, time: int
) -> None:
    before, passes = key_custody.unlock(keys, first), itertools.count(1)

    def cut(name: str) -> None:
        if name == point and next(passes) == time:
            raise KeptError

    failpoint.rehearse("", seen=cut)
    try:
        rotate(keys, first)
        has_been_cut = False
    except KeptError:
        has_been_cut = True
    finally:
        failpoint.rehearse("")
    assert has_been_cut == (time == 1 or point != "keys.after_next")
    after = key_custody.unlock(keys, second)
    assert after == key_custody.unlock(keys, first) != before
    ways_in.tested(keys, second, now=LATER)
    assert not (keys / "next.json").exists()
    assert key_custody.unlock(keys, first) == after


def test_a_change_that_was_not_written_whole_never_was(keys: Path, first: KeyFile) -> None:
    before = key_custody.unlock(keys, first)
    (keys / "next.json.aside").write_bytes(b"half of a fi")
    assert key_custody.unlock(keys, first) == before
    (keys / "next.json").write_bytes(b"half of a fi")
    with pytest.raises(TamperedError, match=r"next\.json"):
        key_custody.unlock(keys, first)
    with pytest.raises(TamperedError, match=r"next\.json"):
        rotate(keys, first)


def test_every_byte_of_every_file_of_keys_counts(keys: Path, first: KeyFile) -> None:
    """Refused and named, never another ring: the files, the key file, and a change that is on its way."""
    expected = rotate(keys, first)
    for path in (*sorted(keys.iterdir()), first.path):
        _flip_every_byte(path, keys, first, expected)
    failpoint.rehearse("", seen=_cut_at("keys.after_next"))
    with pytest.raises(KeptError):
        ways_in.tested(keys, first, now=LATER)
    failpoint.rehearse("")
    _flip_every_byte(keys / "next.json", keys, first, expected)
    assert key_custody.unlock(keys, first) == expected


def _flip_every_byte(path: Path, keys: Path, secret: KeyFile, expected: KeyRing) -> None:
    """Only hexadecimal digits can be written in two ways, in a key file that a person may type."""
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        found = _opened(keys, secret)
        is_same_digit = found == expected and path == secret.path
        assert is_same_digit or (isinstance(found, StrongroomError) and "key" in found.message)
    path.write_bytes(whole)


def _opened(keys: Path, secret: KeyFile) -> KeyRing | StrongroomError:
    try:
        return key_custody.unlock(keys, secret)
    except StrongroomError as error:
        return error


def _cut_at(point: str) -> Callable[[str], None]:
    def cut(name: str) -> None:
        if name == point:
            raise KeptError

    return cut


def test_two_changes_at_once_follow_one_another(keys: Path, first: KeyFile) -> None:
    with key_files.changing(keys), pytest.raises(BlockingIOError):
        _try_lock(keys)
    assert key_custody.unlock(keys, first)


def _try_lock(keys: Path) -> None:
    descriptor = os.open(keys, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
