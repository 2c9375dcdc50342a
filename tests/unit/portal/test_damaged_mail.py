"""One damaged message refuses no list: it is named, and the others are shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.errors import TamperedError
from mailstore.mailboxes import Folder
from mailstore.message import MessageId
from mailstore.retrieval import DAMAGED
from tests.database_room import KEYSTORE, TABLE_OF_KEYS, attack
from tests.portal_room import PortalRoom, Somebody, portal_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def damage(room: PortalRoom, message: MessageId) -> None:
    statement = f"UPDATE {TABLE_OF_KEYS} SET wrapped = ? WHERE message = ?"  # noqa: S608 -- our own name
    attack(room.vault.directory / KEYSTORE, statement, b"x" * 60, message)


def three_letters(room: PortalRoom) -> tuple[Somebody, Somebody, list[MessageId]]:
    author, patient = room.staff(), room.patient()
    letters = [room.letter(author, patient, subject=f"Letter {number}") for number in range(3)]
    return author, patient, letters


def test_folder_with_one_damaged_key_shows_the_others_and_names_that_one(room: PortalRoom) -> None:
    author, _, letters = three_letters(room)
    damage(room, letters[1])
    listed = room.portal.conversations.folder(author.actor, Folder.SENT).items
    assert [each.summary.subject for each in listed] == ["Letter 2", DAMAGED.subject, "Letter 0"]
    assert [each.stored.id for each in listed if each.is_damaged] == [letters[1]]
    with room.visitor() as visitor:
        room.sign_in(visitor, author)
        page = visitor.get("/sent").text
        assert all(words in page for words in ("Letter 0", "damaged and cannot be shown", "Letter 2"))
        assert visitor.get(f"/messages/{letters[0]}").status_code == 200
    with pytest.raises(TamperedError):
        room.portal.reading.open_message(author.actor, letters[1])


def test_patient_sees_the_other_conversations(room: PortalRoom) -> None:
    _, patient, letters = three_letters(room)
    damage(room, letters[1])
    subjects = [each.subject for each in room.portal.conversations.conversations(patient.actor)]
    assert subjects == ["Letter 2", DAMAGED.subject, "Letter 0"]


def test_missing_key_is_named_as_well(room: PortalRoom) -> None:
    author, _, letters = three_letters(room)
    attack(room.vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", letters[0])
    listed = room.portal.conversations.folder(author.actor, Folder.SENT).items
    assert [each.is_damaged for each in listed] == [False, False, True]


def test_message_that_was_destroyed_meanwhile_is_left_out(room: PortalRoom) -> None:
    author, patient, letters = three_letters(room)
    room.vault.keystore.destroy(letters[:1], at=room.clock.now())
    listed = room.portal.conversations.folder(author.actor, Folder.SENT).items
    assert [each.stored.id for each in listed] == [letters[2], letters[1]]
    assert [each.subject for each in room.portal.conversations.conversations(patient.actor)] == ["Letter 2", "Letter 1"]
