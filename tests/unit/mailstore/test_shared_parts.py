"""Files that several messages carry, from the spool to their end."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import message_records, part_records
from mailstore.errors import DestroyedError, StorageUnavailableError, TamperedError
from mailstore.message import MessageId
from mailstore.part_records import PartLinks, SharedPart
from tests.vault_room import RING, Vault, a_deposit

SCAN = os.urandom(40_000)
FORM = os.urandom(30_000)


def with_file(*files: bytes, said: str = "See the scan.", line: int = 76) -> bytes:
    parts = []
    for file in files:
        text = base64.b64encode(file)
        lines = b"".join(text[start : start + line] + b"\r\n" for start in range(0, len(text), line))
        parts.append(b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines)
    return b"Subject: scan\r\n\r\n" + said.encode() + b"\r\n" + b"".join(parts) + b"--b--\r\n"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault(tmp_path / "data")
    yield opened
    opened.close()


def kept(vault: Vault, *contents: bytes) -> list[MessageId]:
    """Messages that lie in the object store alone."""
    messages = vault.deposit(*(a_deposit(content) for content in contents))
    vault.promotion().promote_all(messages)
    vault.release(timedelta(0))
    return messages


def parts(vault: Vault) -> list[SharedPart]:
    with vault.database.read() as connection:
        return part_records.all_parts(connection)


def object_bytes(vault: Vault) -> int:
    return sum(len(vault.objects.get(name)) for name in vault.objects.names())


def test_file_that_two_messages_carry_is_kept_once(vault: Vault) -> None:
    contents = [with_file(SCAN), with_file(SCAN, FORM, said="And the form."), with_file(SCAN, line=64)]
    messages = kept(vault, *contents)
    assert sorted((part.size_bytes, part.uses) for part in parts(vault)) == [(30_000, 1), (40_000, 3)]
    assert object_bytes(vault) < 72_000
    assert [vault.retrieval().content(message) for message in messages] == contents


def test_file_seen_again_much_later_is_found_again(vault: Vault) -> None:
    kept(vault, with_file(SCAN))
    vault.clock.advance(timedelta(days=400))
    kept(vault, with_file(SCAN, said="Once more."))
    assert [part.uses for part in parts(vault)] == [2]


def test_part_dies_with_the_last_message_that_needs_it_and_not_before(vault: Vault) -> None:
    one, other = kept(vault, with_file(SCAN), with_file(SCAN, said="Other."))
    (part,) = parts(vault)
    sealed = vault.objects.get(part.object.name)
    vault.destroy([one])
    with pytest.raises(DestroyedError):
        vault.retrieval().content(one)
    assert vault.retrieval().content(other) == with_file(SCAN, said="Other.")
    vault.destroy([other])
    assert parts(vault) == []
    assert not vault.keystore.has_key(MessageId(part.id))
    assert vault.keystore.is_destroyed(MessageId(part.id))
    assert list(vault.objects.names()) == []
    assert not vault.files_hold(sealed[100:132])
    assert vault.destruction().prove_absent(other) == ()


def test_messages_that_die_together_take_their_part_with_them(vault: Vault) -> None:
    messages = kept(vault, *(with_file(SCAN, FORM, said=f"Number {number}.") for number in range(5)))
    vault.destroy(messages)
    assert parts(vault) == []
    assert list(vault.objects.names()) == []


def test_content_of_a_dead_part_is_kept_anew(vault: Vault) -> None:
    (one,) = kept(vault, with_file(SCAN))
    (dead,) = parts(vault)
    vault.destroy([one])
    (other,) = kept(vault, with_file(SCAN))
    (part,) = parts(vault)
    assert part.id != dead.id
    assert vault.retrieval().content(other) == with_file(SCAN)


def test_changed_or_missing_part_is_refused_and_named(vault: Vault) -> None:
    (message,) = kept(vault, with_file(SCAN))
    (part,) = parts(vault)
    path = vault.directory / "objects" / part.object.name
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(TamperedError, match=part.object.name):
        vault.retrieval().content(message)
    path.unlink()
    with pytest.raises(TamperedError, match=part.object.name):
        vault.retrieval().content(message)


def test_part_that_the_store_lost_comes_back_with_the_next_message_that_carries_it(vault: Vault) -> None:
    (message,) = kept(vault, with_file(SCAN))
    (part,) = parts(vault)
    vault.objects.delete(part.object.name)
    kept(vault, with_file(SCAN, said="Again."))
    assert [each.id for each in parts(vault)] == [part.id]
    assert vault.retrieval().content(message) == with_file(SCAN)


def test_part_whose_last_use_ended_meanwhile_is_not_linked(vault: Vault) -> None:
    (one,) = kept(vault, with_file(SCAN))
    repacking = vault.repacking()
    (waiting,) = vault.deposit(a_deposit(with_file(SCAN, said="Waiting.")))
    stored = vault.stored(waiting)
    repacked = repacking.repacked(
        stored, (vault.spool / str(stored.segment)).read_bytes()[stored.offset :][: stored.sealed_length]
    )
    with vault.database.write() as connection:
        PartLinks(RING.archive_key, os.urandom).cut(connection, [one])
    with pytest.raises(StorageUnavailableError), vault.database.write() as connection:
        repacking.record(connection, {waiting: repacked})
    vault.promotion().promote(waiting)
    assert vault.retrieval().content(waiting) == with_file(SCAN, said="Waiting.")


def test_message_promoted_anew_uses_its_part_once(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(with_file(SCAN)))
    for _ in range(2):
        vault.promotion().promote(message)
        with vault.database.write() as connection:
            message_records.set_withdrawn(connection, [message])
    vault.promotion().promote(message)
    assert [part.uses for part in parts(vault)] == [1]


def test_sweeps_leave_parts_alone_and_clear_away_those_without_a_message(vault: Vault) -> None:
    (message,) = kept(vault, with_file(SCAN))
    stray = vault.deposit(a_deposit(with_file(FORM)))
    stored = vault.stored(stray[0])
    place = (vault.spool / str(stored.segment)).read_bytes()[stored.offset :][: stored.sealed_length]
    vault.repacking().repacked(stored, place)
    assert len(list(vault.objects.names())) == 3
    swept = vault.tidy()
    assert (swept.objects, swept.keys) == (1, 1)
    assert vault.retrieval().content(message) == with_file(SCAN)


CHILD = """
import sys
from pathlib import Path
from tests.vault_room import Vault
vault = Vault(Path(sys.argv[1]))
if sys.argv[2] == "promote":
    vault.promotion().promote_all(sys.argv[3:])
else:
    vault.destroy(sys.argv[3:])
"""


def killed_at(vault: Vault, failpoint: str, work: str, *messages: MessageId) -> None:
    environment = {**os.environ, "STRONGROOM_FAILPOINT": f"{failpoint}:kill"}
    words = [sys.executable, "-c", CHILD, str(vault.directory), work, *messages]
    assert subprocess.run(words, env=environment, check=False).returncode == -9


@pytest.mark.parametrize("failpoint", ["shared_parts.after_key", "shared_parts.after_put", "promotion.after_rows"])
def test_killed_while_a_part_is_kept_the_count_is_right_and_nothing_is_left(vault: Vault, failpoint: str) -> None:
    one, other = vault.deposit(a_deposit(with_file(SCAN)), a_deposit(with_file(SCAN, said="Other.")))
    killed_at(vault, failpoint, "promote", one, other)
    vault.promotion().promote_all([one, other])
    vault.release(timedelta(0))
    vault.clock.advance(timedelta(hours=2))
    vault.tidy()
    assert [part.uses for part in parts(vault)] == [2]
    assert len(list(vault.objects.names())) == 3
    assert vault.retrieval().content(other) == with_file(SCAN, said="Other.")
    with vault.database.read() as connection:
        assert list(PartLinks(RING.archive_key, os.urandom).problems(connection)) == []


@pytest.mark.parametrize(
    "failpoint",
    [
        "destruction.after_keys",
        "destruction.after_rows",
        "destruction.after_part_keys",
        "destruction.after_part_objects",
        "destruction.after_part_rows",
    ],
)
def test_killed_while_the_last_user_dies_the_part_dies_all_the_same(vault: Vault, failpoint: str) -> None:
    one, other, living = kept(vault, with_file(SCAN), with_file(SCAN, FORM), with_file(FORM))
    killed_at(vault, failpoint, "destroy", one, other)
    assert vault.retrieval().content(living) == with_file(FORM)
    vault.destroy([one, other])
    assert [part.uses for part in parts(vault)] == [1]
    assert len(list(vault.objects.names())) == 2
    assert vault.retrieval().content(living) == with_file(FORM)
    assert [vault.destruction().prove_absent(each) for each in (one, other)] == [(), ()]


def test_part_that_dies_while_a_message_is_promoted_does_not_pass_for_the_end_of_the_message(vault: Vault) -> None:
    """The worker takes a destroyed message for done; this one is alive and has to be promoted at the next try."""
    kept(vault, with_file(SCAN))
    (part,) = parts(vault)
    [message] = vault.deposit(a_deposit(with_file(SCAN, said="Once more.")))
    vault.keystore.destroy([MessageId(part.id)], at=vault.clock.now())
    vault.objects.delete(part.object.name)
    with pytest.raises(StorageUnavailableError):
        vault.promotion().promote_all([message])
    assert vault.retrieval().content(message) == with_file(SCAN, said="Once more.")
