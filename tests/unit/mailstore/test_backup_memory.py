"""What is remembered of a target decides what is not sent again, so it is held to be what was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.backup_memory import BackupMemory
from mailstore.backup_pack import ChunkPlace
from mailstore.errors import StorageUnavailableError, TamperedError

KEY = bytes(range(32))
PACK, OTHER = "aa" * 32, "bb" * 32


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[BackupMemory]:
    made = BackupMemory(tmp_path / "memory.sqlite3", KEY)
    yield made
    made.close()


def filled(memory: BackupMemory, digest: str, marks: list[bytes], *, used: int = 1) -> None:
    pack = bytes.fromhex(digest)
    places = {mark: ChunkPlace(pack, 20 + 120 * at, 100) for at, mark in enumerate(marks)}
    memory.add_pack(digest, 1000, 120 * len(marks), places, used)


def test_what_lies_there_is_known_and_the_rest_is_not(memory: BackupMemory) -> None:
    marks = [os.urandom(16) for _ in range(1200)]
    filled(memory, PACK, marks[:1000])
    assert memory.known(marks, used=2) == set(marks[:1000])
    assert memory.pieces() == [(PACK, 1000)]


def test_only_what_no_index_says_is_put_into_the_next(memory: BackupMemory) -> None:
    first, second = os.urandom(16), os.urandom(16)
    filled(memory, PACK, [first])
    memory.add_indexes([("cc" * 32, 50)])
    filled(memory, OTHER, [second])
    assert memory.not_indexed() == {bytes.fromhex(OTHER): [(second, 20, 100)]}
    memory.reindex()
    assert {entry[0] for entries in memory.not_indexed().values() for entry in entries} == {first, second}
    assert memory.pieces(is_index=True) == []


def test_a_pack_that_is_hardly_needed_is_named_and_forgotten(memory: BackupMemory) -> None:
    living, dead = [os.urandom(16)], [os.urandom(16) for _ in range(9)]
    filled(memory, PACK, [*living, *dead])
    filled(memory, OTHER, [os.urandom(16)])
    memory.known(living, used=2)
    assert memory.wasted(used=1, share=0.5) == []
    assert set(memory.wasted(used=2, share=0.5)) == {PACK, OTHER}
    memory.drop([PACK])
    assert memory.known(living, used=2) == set()


def test_facts_stay_and_go(memory: BackupMemory, tmp_path: Path) -> None:
    memory.note(one={"a": 1}, two={"b": [2]})
    memory.note(two=None)
    again = BackupMemory(tmp_path / "memory.sqlite3", KEY)
    assert (again.fact("one"), again.fact("two")) == ({"a": 1}, None)
    again.close()


def test_edited_lines_are_refused(memory: BackupMemory) -> None:
    mark = os.urandom(16)
    filled(memory, PACK, [mark])
    memory.note(one={"a": 1})
    for table in ("chunks", "pieces"):
        memory._connection.execute(f"UPDATE {table} SET length = length + 1")  # noqa: S608 - two names of ours
    memory._connection.execute("UPDATE facts SET value = '{}'")
    with pytest.raises(TamperedError, match="memory"):
        memory.known([mark], used=1)
    with pytest.raises(TamperedError, match="memory"):
        memory.pieces()
    with pytest.raises(TamperedError, match="memory"):
        memory.fact("one")


def test_another_practice_reads_none_of_it(memory: BackupMemory, tmp_path: Path) -> None:
    memory.note(one={"a": 1})
    other = BackupMemory(tmp_path / "memory.sqlite3", bytes(32))
    with pytest.raises(TamperedError):
        other.fact("one")
    other.close()


def test_a_file_that_is_no_memory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite3"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorageUnavailableError, match="memory"):
        BackupMemory(path, KEY)
