"""Copies of the index from before a disposal, with every key and every file that is there today: they stay closed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archive.index_document import DEFINITION, Field, IndexDocument
from archive.index_secret import IndexSecrets
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_index import IndexOutdatedError
from archive.search_index_whoosh import WhooshIndex
from archive.search_query import parse
from mailstore.errors import TamperedError
from mailstore.message import MessageId, identifier_from
from tests.index_files import secrets_path, storage_in

KEY = bytes(range(32))
ROOT = Path(__file__).parents[2]
WORD = "haemochromatosis"
STEPS = ("index.after_fresh_secret", "index.after_publication", "index.after_old_secret")


def document(number: int, text: str) -> IndexDocument:
    message = MessageId(identifier_from(number.to_bytes(16, "big")))
    return IndexDocument(message, datetime(2026, 1, 1, tzinfo=UTC), "clinical", False, {Field.BODY: (text,)}, {})


DOOMED = document(7, f"a letter about {WORD}")


def index_in(directory: Path) -> WhooshIndex:
    return WhooshIndex(storage_in(directory, KEY))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An index in which the doomed message was written, merged with others, and written again."""
    index = index_in(tmp_path / "index")
    for number in range(6):
        index.add([document(number, f"ordinary mail {number}")])
    index.add([DOOMED])
    return tmp_path / "index"


def copied(directory: Path, name: str) -> Path:
    """What a backup, a snapshot or freed blocks of the disk would give back: ``index/`` alone."""
    copy = directory.with_name(name)
    shutil.copytree(directory, copy)
    return copy


def keys_of_today(directory: Path) -> Iterator[bytes]:
    """Everything that is a key now: the ring's own, the secrets, and the keys of all living files."""
    yield KEY
    yield from (secret.key for secret in IndexSecrets(secrets_path(directory), KEY).known())
    storage = storage_in(directory, KEY)
    storage.refresh()
    yield from (file.key for file in storage._files.values())


def opens(copy: Path, keys: list[bytes]) -> list[str]:
    """The files of a copy of which some chunk opens with one of the keys, whatever its place, or the manifest does."""
    return [
        path.name
        for path, key in itertools.product(copy.glob("*.sealed"), keys)
        if _first_chunk_opens(path, key, length=path.stat().st_size)
    ]


def _first_chunk_opens(path: Path, key: bytes, *, length: int) -> bool:
    content = path.read_bytes()
    plain = length - 24 - 16 * max(1, -(-(length - 24) // 65_552))
    bound = content[:24] + (0).to_bytes(8, "big") + plain.to_bytes(8, "big")
    try:
        AESGCM(key).decrypt(bytes(12), content[24 : 24 + 65_552], bound)
    except (InvalidTag, ValueError):
        return False
    return True


def test_the_keys_of_the_day_open_the_copy_of_that_day(directory: Path) -> None:
    """Or the tests below would prove nothing."""
    copy = copied(directory, "copy")
    shutil.copy(secrets_path(directory), secrets_path(copy))
    assert index_in(copy).search(parse(WORD), limit=1).total == 1
    assert opens(copy, list(keys_of_today(directory)))


def test_copy_from_before_a_removal_opens_with_nothing_that_is_left(directory: Path) -> None:
    copies = [copied(directory, "first")]
    index_in(directory).add([document(20, "something later")])
    copies.append(copied(directory, "second"))
    index_in(directory).remove([DOOMED.id])
    keys = list(keys_of_today(directory))
    living = {path.name for path in directory.glob("*.sealed")}
    for copy in copies:
        shutil.copy(secrets_path(directory), secrets_path(copy))
        with pytest.raises(TamperedError):
            index_in(copy).search(parse(WORD), limit=1)
        assert set(opens(copy, keys)) <= living - {"manifest.sealed"}
    assert index_in(directory).search(parse(WORD), limit=1).total == 0
    assert index_in(directory).search(parse("ordinary"), limit=9).total == 6


def test_no_living_file_holds_a_word_of_what_was_removed(directory: Path) -> None:
    index_in(directory).remove([DOOMED.id])
    storage = storage_in(directory, KEY)
    storage.refresh()
    for name in storage.list():
        if name.endswith(".postings"):
            index = index_in(directory)
            assert index.search(parse(f"{WORD[:5]}*"), limit=1).total == 0
        else:
            with storage.open_file(name) as file:
                assert DOOMED.id.encode() not in file.read()


def test_secret_is_not_in_the_files_any_more(directory: Path) -> None:
    path = secrets_path(directory)
    before = path.read_bytes()
    index_in(directory).remove([DOOMED.id])
    after = path.read_bytes()
    slots = [slice(8, 68), slice(68, 128)]
    assert [any(before[slot]) for slot in slots] == [True, False]
    assert [any(after[slot]) for slot in slots] == [False, True]
    assert not [each for each in directory.parent.iterdir() if each.is_file() and before[8:68] in each.read_bytes()]


def test_adding_mail_keeps_the_secret_and_syncs_nothing_more(directory: Path) -> None:
    before = secrets_path(directory).read_bytes(), secrets_path(directory).stat().st_mtime_ns
    index_in(directory).add([document(30, "more mail")])
    assert (secrets_path(directory).read_bytes(), secrets_path(directory).stat().st_mtime_ns) == before


@pytest.mark.parametrize("step", STEPS)
def test_removal_cut_off_at_any_step_is_completed_by_the_next_writer(directory: Path, step: str) -> None:
    copy = copied(directory, "copy")
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.attacks.test_search_index_old_copies import *\n"
        "index_in(Path(sys.argv[1])).remove([DOOMED.id])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        cwd=ROOT,
        env={**os.environ, "STRONGROOM_FAILPOINT": f"{step}:kill"},
        check=False,
    )
    assert killed.returncode == -9
    assert index_in(directory).document_count() in {6, 7}, "readable meanwhile, before or after"
    index_in(directory).remove([DOOMED.id])
    assert index_in(directory).search(parse(WORD), limit=1).total == 0
    shutil.copy(secrets_path(directory), secrets_path(copy))
    with pytest.raises(TamperedError):
        index_in(copy).document_count()
    assert len(IndexSecrets(secrets_path(directory), KEY).known()) == 1


def test_rebuilding_destroys_the_secret_of_what_was_there(directory: Path) -> None:
    copy = copied(directory, "copy")
    index_in(directory).clear()
    index_in(directory).add([document(1, "made anew")])
    shutil.copy(secrets_path(directory), secrets_path(copy))
    with pytest.raises(TamperedError):
        index_in(copy).document_count()


def test_lost_cut_or_changed_secret_is_an_index_to_be_made_anew(directory: Path) -> None:
    path = secrets_path(directory)
    whole = path.read_bytes()
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(8, 68)]
    for damaged in (b"", whole[:40], bytes(len(whole)), *changed):
        path.write_bytes(damaged)
        with pytest.raises(TamperedError, match=r"manifest\.sealed"):
            index_in(directory).document_count()
    index_in(directory).clear()
    index_in(directory).add([document(1, "made anew")])
    assert index_in(directory).document_count() == 1


def test_index_of_the_first_format_is_outdated_and_not_opened(directory: Path) -> None:
    (directory / "manifest.sealed").write_bytes(b"SRMANIF1" + bytes(200))
    with pytest.raises(IndexOutdatedError):
        index_in(directory).document_count()
    index_in(directory).clear()
    assert index_in(directory).document_count() == 0


def test_keys_of_files_are_random_and_each_its_own(directory: Path) -> None:
    storage = SealedIndexStorage(directory, IndexSecrets(secrets_path(directory), KEY), words=DEFINITION)
    storage.refresh()
    keys = [file.key for file in storage._files.values()]
    assert len(set(keys)) == len(keys) > 1
    assert json.dumps([key.hex() for key in keys]) not in repr(list(storage._files.values()))
