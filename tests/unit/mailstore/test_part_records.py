from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore import message_records, part_records
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.message import MessageId, StoredObject, identifier_from
from mailstore.part_records import PartLinks, SharedPart
from mailstore.recipe import PartId
from mailstore.sealed_rows import rows_of
from mailstore.tables import part_links, shared_parts
from tests.vault_room import RING, Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def links() -> PartLinks:
    return PartLinks(RING.archive_key, os.urandom)


def a_part(digest: bytes = b"d" * 32) -> SharedPart:
    name = PartId(identifier_from(os.urandom(16)))
    return SharedPart(name, digest, 30_000, StoredObject(f"ab/{name[:24]}", 30_100, bytes(32)))


def uses(vault: Vault, part: SharedPart) -> int:
    with vault.database.read() as connection:
        return part_records.part(connection, part.id).uses


def needs(vault: Vault, links: PartLinks, message: MessageId, *parts: SharedPart) -> None:
    with vault.database.write() as connection:
        links.replace(connection, message, parts)


def interrupted(vault: Vault, links: PartLinks, message: MessageId, part: SharedPart) -> None:
    with vault.database.write() as connection:
        links.add(connection, message, [part])
        raise InterruptedError


def test_uses_are_as_many_as_the_messages_that_need_a_part(vault: Vault, links: PartLinks) -> None:
    one, other = vault.deposit(a_deposit(), a_deposit())
    first, second = a_part(), a_part(b"e" * 32)
    needs(vault, links, one, first, second)
    needs(vault, links, other, first)
    assert (uses(vault, first), uses(vault, second)) == (2, 1)
    needs(vault, links, one, first)
    assert (uses(vault, first), uses(vault, second)) == (2, 0)
    with vault.database.read() as connection:
        assert links.of(connection, one) == (first.id,)
        assert list(links.problems(connection)) == []
        assert [part.id for part in part_records.unused(connection)] == [second.id]
        assert part_records.with_digest(connection, b"e" * 32) is None


def test_part_without_uses_is_never_used_again(vault: Vault, links: PartLinks) -> None:
    one, other = vault.deposit(a_deposit(), a_deposit())
    part = a_part()
    needs(vault, links, one, part)
    with vault.database.write() as connection:
        links.cut(connection, [one])
    with pytest.raises(StorageUnavailableError):
        needs(vault, links, other, part)
    assert uses(vault, part) == 0


def test_links_and_uses_change_together_or_not_at_all(vault: Vault, links: PartLinks) -> None:
    (one,) = vault.deposit(a_deposit())
    part = a_part()
    with pytest.raises(InterruptedError):
        interrupted(vault, links, one, part)
    with vault.database.read() as connection:
        assert part_records.all_parts(connection) == []
        assert links.of(connection, one) == ()


def test_disk_does_not_tell_which_messages_share_a_part(vault: Vault, links: PartLinks) -> None:
    one, other = vault.deposit(a_deposit(), a_deposit())
    part = a_part()
    needs(vault, links, one, part)
    needs(vault, links, other, part)
    with vault.database.read() as connection:
        sealed = [row["sealed_parts"] for row in rows_of(connection).select(connection, part_links)]
    assert len(set(sealed)) == 2
    assert not any(part.id.encode() in each for each in sealed)


def test_link_that_was_moved_to_another_message_does_not_open(vault: Vault, links: PartLinks) -> None:
    one, other = vault.deposit(a_deposit(), a_deposit())
    needs(vault, links, one, a_part())
    with vault.database.write() as connection:
        sealed = rows_of(connection)
        moved = sealed.select(connection, part_links)[0]["sealed_parts"]
        sealed.delete(connection, part_links, part_links.c.message == one)
        sealed.insert(connection, part_links, {"message": other, "sealed_parts": moved})
    with vault.database.read() as connection, pytest.raises(TamperedError):
        links.of(connection, other)


def test_wrong_count_and_missing_part_are_told(vault: Vault, links: PartLinks) -> None:
    (one,) = vault.deposit(a_deposit())
    part, lost = a_part(), a_part(b"e" * 32)
    needs(vault, links, one, part, lost)
    with vault.database.write() as connection:
        part_records.remove(connection, [lost.id])
        rows_of(connection).update(connection, shared_parts, shared_parts.c.id == part.id, {"uses": 7})
    with vault.database.read() as connection:
        problems = sorted(links.problems(connection))
        assert len(problems) == 2
        assert any("counts 7 uses and has 1" in problem for problem in problems)
        assert any(f"{lost.id} is needed by 1" in problem for problem in problems)
        with pytest.raises(TamperedError):
            part_records.part(connection, lost.id)


def test_objects_and_ids_of_parts_are_known(vault: Vault, links: PartLinks) -> None:
    (one,) = vault.deposit(a_deposit())
    part = a_part()
    needs(vault, links, one, part)
    with vault.database.read() as connection:
        assert message_records.known_objects(connection, [part.object.name, "zz/other"]) == {part.object.name}
        assert message_records.known_ids(connection, [MessageId(part.id), one]) == {part.id, one}
