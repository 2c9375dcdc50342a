"""A hold is placed while a disposal runs: whoever comes first wins whole, and nobody is told an untruth."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.records_room import RECORDS, RecordsRoom


def test_message_is_either_held_and_alive_or_dead_and_not_counted(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "data")
    room.put_in_force()
    messages = [room.receive() for _ in range(12)]
    disposal = room.approved()
    started = threading.Barrier(2)

    def run() -> None:
        started.wait()
        room.desk.disposal_run.run(RECORDS, disposal)

    running = threading.Thread(target=run)
    running.start()
    started.wait()
    placed = room.desk.holds.place(RECORDS, name="n", reason="r", custodians=["alice@clinic.example"])
    alive_when_placed = {message for message in messages if room.is_alive(message)}
    running.join()
    assert {message for message in messages if room.is_alive(message)} == alive_when_placed
    assert alive_when_placed <= set(room.desk.holds.messages_of(RECORDS, placed.id))


def test_messages_that_arrive_while_a_hold_is_evaluated_join(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "data")
    first = room.receive()
    late: list[str] = []

    def arrive(done: int, of: int) -> None:
        if not late:
            late.append(room.receive())
        assert done <= of

    placed = room.desk.holds.place(RECORDS, name="n", reason="r", progress=arrive)
    assert set(room.desk.holds.messages_of(RECORDS, placed.id)) == {first, *late}
