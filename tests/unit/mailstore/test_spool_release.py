from __future__ import annotations

import base64
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import audit_trail, outbox, part_records, spool
from mailstore.errors import StorageUnavailableError
from mailstore.message import MessageId
from mailstore.outbox import Kind
from mailstore.part_records import PartLinks
from mailstore.sealed_rows import rows_of
from mailstore.spool_release import LOST_EVENT
from mailstore.tables import shared_parts
from tests.vault_room import Vault, a_deposit

DAY = timedelta(hours=24)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def promoted(vault: Vault, content: bytes = b"mine") -> MessageId:
    (message,) = vault.deposit(a_deposit(content))
    vault.promotion().promote(message)
    return message


def object_file(vault: Vault, message: MessageId) -> Path:
    return vault.directory / "objects" / str(vault.stored(message).object_name)


def promote_again(vault: Vault) -> list[MessageId]:
    """What waits to be promoted, promoted."""
    items = outbox.claim(
        vault.database, [Kind.PROMOTE], now=vault.clock.now(), limit=100, lease=timedelta(minutes=1), worker="w"
    )
    messages = [item.message for item in items if item.message is not None]
    vault.promotion().promote_all(messages)
    return messages


def test_copy_in_the_spool_stays_for_the_dwell_time_and_not_longer(vault: Vault) -> None:
    message = promoted(vault)
    vault.clock.advance(DAY - timedelta(seconds=1))
    assert vault.release(DAY).segments == 0
    assert vault.stored(message).segment is not None
    vault.clock.advance(timedelta(seconds=1))
    assert vault.release(DAY).segments == 1
    assert vault.stored(message).segment is None
    assert vault.retrieval().content(message) == b"mine"


def test_segment_is_kept_while_one_message_is_in_it_alone(vault: Vault) -> None:
    first, second = vault.deposit(a_deposit(b"1"), a_deposit(b"2"))
    vault.promotion().promote(first)
    assert vault.release().segments == 0
    assert vault.retrieval().content(second) == b"2"
    vault.promotion().promote(second)
    assert vault.release().segments == 1


def test_open_segment_is_never_released(vault: Vault) -> None:
    depositor = vault.depositor()
    message = depositor.deposit(a_deposit())
    vault.promotion().promote(message)
    assert vault.release().segments == 0
    later = depositor.deposit(a_deposit(b"later"))
    depositor.close()
    assert vault.retrieval().content(later) == b"later"


def test_segment_whose_mail_was_all_destroyed_is_released(vault: Vault) -> None:
    vault.destroy([promoted(vault)])
    assert vault.release().segments == 1


@pytest.mark.parametrize("damage", ["missing", "other bytes", "cut short"])
def test_object_lost_after_acknowledgement_is_put_again_before_the_spool_lets_go(vault: Vault, damage: str) -> None:
    message = promoted(vault)
    before = object_file(vault, message)
    if damage == "missing":
        before.unlink()
    else:
        before.write_bytes(os.urandom(before.stat().st_size) if damage == "other bytes" else b"SROB")
    vault.clock.advance(DAY)
    released = vault.release(DAY)
    assert (released.segments, released.lost_objects) == (0, 1)
    assert vault.stored(message).object_name is None
    assert vault.retrieval().content(message) == b"mine"
    with vault.database.read() as connection:
        assert [entry.object for entry in audit_trail.of_events(connection, [LOST_EVENT])] == [message]
    assert message in promote_again(vault)
    assert object_file(vault, message) != before
    vault.clock.advance(DAY)
    assert vault.release(DAY).segments == 1
    assert vault.retrieval().content(message) == b"mine"
    vault.tidy()
    assert [vault.directory / "objects" / name for name in vault.objects.names()] == [object_file(vault, message)]


@pytest.mark.parametrize("damage", ["missing", "other bytes", "no row"])
def test_shared_part_lost_after_acknowledgement_is_put_again_before_the_spool_lets_go(
    vault: Vault, damage: str
) -> None:
    file = base64.encodebytes(os.urandom(30_000)).replace(b"\n", b"\r\n")
    letters = [b"Subject: %d\r\nContent-Transfer-Encoding: base64\r\n\r\n%b" % (at, file) for at in range(2)]
    messages = vault.deposit(*map(a_deposit, letters))
    vault.promotion().promote_all(messages)
    with vault.database.read() as connection:
        [part] = part_records.all_parts(connection)
    lost = vault.directory / "objects" / part.object.name
    if damage == "missing":
        lost.unlink()
    elif damage == "other bytes":
        lost.write_bytes(os.urandom(lost.stat().st_size))
    else:
        with vault.database.write() as connection:
            rows_of(connection).delete(connection, shared_parts, shared_parts.c.id == part.id)
    assert (vault.release().segments, vault.stored(messages[0]).object_name) == (0, None)
    with vault.database.read() as connection:
        told = [entry.detail["object"] for entry in audit_trail.of_events(connection, [LOST_EVENT])]
    assert told == [part.id if damage == "no row" else part.object.name] * 2
    promote_again(vault)
    assert vault.release().segments == 1
    assert [vault.retrieval().content(message) for message in messages] == letters
    with vault.database.read() as connection:
        assert list(PartLinks(vault.ring.archive_key, os.urandom).problems(connection)) == []


def test_store_that_is_down_at_the_end_of_the_dwell_time_keeps_the_spool(vault: Vault) -> None:
    message = promoted(vault)
    (vault.directory / "objects").rename(vault.directory / "away")
    with pytest.raises(StorageUnavailableError):
        vault.release()
    assert vault.stored(message).segment is not None
    assert vault.retrieval().content(message) == b"mine"
    (vault.directory / "away").rename(vault.directory / "objects")
    assert vault.release().segments == 1


def test_message_that_is_being_destroyed_is_no_lost_object(vault: Vault) -> None:
    message = promoted(vault)
    vault.keystore.destroy([message], at=vault.clock.now())
    object_file(vault, message).unlink()
    assert vault.release().lost_objects == 0
    vault.destroy([message])
    assert vault.destruction().prove_absent(message) == ()


def test_destruction_erases_both_places(vault: Vault) -> None:
    depositor = vault.depositor()
    message = depositor.deposit(a_deposit(os.urandom(5000)))
    vault.promotion().promote(message)
    sealed = object_file(vault, message).read_bytes()
    vault.destroy([message])
    assert not vault.files_hold(sealed[100:200])
    assert list(vault.objects.names()) == []
    depositor.close()


def test_rows_that_name_a_segment_that_is_gone_are_told(vault: Vault) -> None:
    """Killed between the removal and the rows."""
    message = promoted(vault)
    shutil.rmtree(vault.spool)
    assert vault.retrieval().content(message) == b"mine"
    vault.release()
    assert vault.stored(message).segment is None


def test_message_whose_only_copy_is_gone_goes_on_naming_its_segment(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())
    shutil.rmtree(vault.spool)
    vault.release()
    assert vault.stored(message).segment is not None


def test_many_messages_of_one_segment_are_told_page_by_page(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.spool_release._PAGE", 3)
    messages = vault.deposit(*(a_deposit(b"%d" % number) for number in range(10)))
    vault.promotion().promote_all(messages)
    assert vault.release().segments == 1
    assert [vault.stored(message).segment for message in messages] == [None] * 10
    assert spool.segments(vault.spool) == []


def test_near_the_cap_the_dwell_time_ends_early_and_the_second_reading_does_not(vault: Vault) -> None:
    kept, lost = promoted(vault, os.urandom(50_000)), promoted(vault, os.urandom(50_000))
    object_file(vault, lost).unlink()
    assert vault.release(DAY, cap_bytes=1_000_000).segments == 0
    released = vault.release(DAY, cap_bytes=50_000)
    assert (released.segments, released.lost_objects) == (1, 1)
    assert vault.stored(kept).segment is None
    assert vault.stored(lost).segment is not None
