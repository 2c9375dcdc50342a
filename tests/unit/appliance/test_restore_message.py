"""One message comes back into the living store, whole and proved; one that was disposed of never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.restore_message import MessageRestore, RestoredMessage
from appliance.wiring import Appliance
from mailstore import message_records
from mailstore.errors import DestroyedError, NotFoundError, TamperedError
from mailstore.message import MessageId
from tests import database_room
from tests.lived_practice import DOOMED, HELD, KEPT, archived, disposed, taken_in
from tests.restore_room import RestoreRoom


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> RestoreRoom:
    room = RestoreRoom(tmp_path_factory.mktemp("living"))
    with room.practice.opened() as appliance:
        room.practice.doomed = [taken_in(appliance, DOOMED) for _ in range(3)]
        room.practice.kept, room.practice.held = taken_in(appliance, KEPT), taken_in(appliance, HELD)
        archived(appliance, [*room.practice.doomed, room.practice.kept, room.practice.held])
        room.practice.spooled = taken_in(appliance, KEPT)
    room.back_up()
    return room


def restored(room: RestoreRoom, appliance: Appliance, message: MessageId) -> RestoredMessage:
    return MessageRestore(appliance, room.source()).restore(message)


def object_of(appliance: Appliance, message: MessageId) -> Path:
    with appliance.database.read() as connection:
        stored = message_records.stored(connection, message)
    assert stored.object is not None
    return appliance.data.objects / stored.object.name


@pytest.mark.parametrize("harm", ["lost", "damaged", "cut"])
def test_object_comes_back_byte_for_byte(room: RestoreRoom, harm: str) -> None:
    message = room.practice.kept
    with room.practice.opened() as appliance:
        before = appliance.retrieval.content(message)
        path = object_of(appliance, message)
        data = path.read_bytes()
        path.unlink()
        if harm != "lost":
            path.write_bytes(data[:-1] + b"x" if harm == "damaged" else data[:-9])
        with pytest.raises(TamperedError):
            appliance.retrieval.content(message)
        assert len(restored(room, appliance, message).parts) == 1
        assert path.read_bytes() == data
        assert appliance.retrieval.content(message) == before
        assert restored(room, appliance, message).parts == ()


def test_mail_that_lay_in_the_spool_alone_comes_back_as_an_object(room: RestoreRoom) -> None:
    message = room.practice.spooled
    with room.practice.opened() as appliance:
        before = appliance.retrieval.content(message)
        for path in appliance.data.spool.iterdir():
            path.write_bytes(bytes(path.stat().st_size))
        assert restored(room, appliance, message).parts
        assert appliance.retrieval.content(message) == before


def test_key_comes_back_and_opens(room: RestoreRoom) -> None:
    message = room.practice.held
    with room.practice.opened() as appliance:
        before = appliance.retrieval.content(message)
    for table in {database_room.TABLE_OF_KEYS, "message_keys"}:
        forget = f"DELETE FROM {table} WHERE message = ?"  # noqa: S608 -- our own names
        database_room.attack(room.practice.data.keystore, forget, message)
    with room.practice.opened() as appliance:
        with pytest.raises(NotFoundError):
            appliance.retrieval.content(message)
        assert restored(room, appliance, message).parts == (f"key {message}",)
        assert appliance.retrieval.content(message) == before


def test_command_brings_it_back_and_says_what(room: RestoreRoom) -> None:
    with room.practice.opened() as appliance:
        object_of(appliance, room.practice.kept).unlink()
    words = ("restore", "--from", str(room.target), "--message", room.practice.kept)
    told = room.command("data", *words)
    assert (told.code, len(told.json["restored"])) == (0, 1)
    assert room.command("data", *words).json["restored"] == []


def test_message_that_was_disposed_of_is_never_brought_back(room: RestoreRoom) -> None:
    with room.practice.opened() as appliance:
        disposed(room.practice, appliance)
        for message in room.practice.doomed:
            with pytest.raises(DestroyedError):
                restored(room, appliance, message)
            assert not appliance.keystore.has_key(message)


def test_message_that_no_row_knows_is_not_made_up(room: RestoreRoom) -> None:
    with room.practice.opened() as appliance, pytest.raises(NotFoundError):
        restored(room, appliance, MessageId("a" * 26))
