from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from archive import archive_records, engine_records, engine_trial
from archive.chosen_index import ChosenIndex, EngineFiles
from archive.engine_change import Comparison, EngineChange, EnginesDifferError
from archive.engine_records import Engine
from archive.index_care import IndexBusyError, RebuildMark
from archive.search_query import parse
from mailstore import failpoint
from mailstore.message import AccountId, MessageId
from tests import index_files
from tests.contracts.test_search_index import document
from tests.records_room import RecordsRoom

ACTOR = AccountId("a" * 26)
MESSAGES = 8


@dataclass
class Change:
    room: RecordsRoom
    index: ChosenIndex
    messages: list[MessageId]

    def change(self) -> EngineChange:
        return EngineChange(
            database=self.room.vault.database,
            index=self.index,
            documents=self.room.documents,
            clock=self.room.clock,
            mark=self.mark,
        )

    @property
    def mark(self) -> RebuildMark:
        return RebuildMark(self.room.directory / "run" / "build")

    def run(self, engine: Engine = Engine.SQLITE) -> Comparison | None:
        return self.change().run(engine, actor=ACTOR, progress=lambda _done, _total: None)

    def found(self, query: str) -> int:
        return self.index.search(parse(query), limit=20).total

    def files_of(self, engine: Engine) -> list[str]:
        directory = self.index._files[engine].directory
        return [path.name for path in directory.rglob("*") if path.is_file() and path.name != "lock"]


def index_of(room: RecordsRoom) -> ChosenIndex:
    key, directory = room.vault.ring.index_key, room.directory
    files = {
        Engine.WHOOSH: EngineFiles(lambda: room.index, directory / "index"),
        Engine.SQLITE: EngineFiles(lambda: index_files.sqlite_in(directory / "other", key), directory / "other"),
    }
    return ChosenIndex(room.vault.database, files, turn=directory / "run" / "turn")


@pytest.fixture
def archive(tmp_path: Path) -> Change:
    room = RecordsRoom(tmp_path)
    messages = [
        room.receive(f"letter {number} about results", body=f"the blood pressure of {number}", is_indexed=True)
        for number in range(MESSAGES)
    ]
    return Change(room, index_of(room), messages)


def test_the_other_engine_takes_over_with_the_same_answers(archive: Change) -> None:
    assert archive.index.engines().living is Engine.WHOOSH
    before = {query: archive.found(query) for query in ("results", '"blood pressure"', "letter 3", "let*", "-results")}
    comparison = archive.run()
    assert comparison is not None
    assert comparison.queries > 10
    assert archive.index.engines().living is Engine.SQLITE
    assert archive.index.engines().building is None
    assert {query: archive.found(query) for query in before} == before
    assert archive.room.events("index.engine_changed") != []


def test_the_old_files_are_destroyed(archive: Change) -> None:
    archive.run()
    assert archive.files_of(Engine.WHOOSH) == []
    assert archive.files_of(Engine.SQLITE) != []


def test_there_and_back_again(archive: Change) -> None:
    archive.run()
    archive.run(Engine.WHOOSH)
    assert archive.index.engines().living is Engine.WHOOSH
    assert archive.found("results") == MESSAGES
    assert archive.files_of(Engine.SQLITE) == []


def test_change_to_what_is_in_use_changes_nothing(archive: Change) -> None:
    assert archive.run(Engine.WHOOSH) is None
    assert archive.found("results") == MESSAGES


def test_another_process_follows_at_its_next_search(archive: Change) -> None:
    elsewhere = index_of(archive.room)
    assert elsewhere.search(parse("results"), limit=5).total == MESSAGES
    archive.run()
    assert elsewhere.search(parse("results"), limit=5).total == MESSAGES
    assert elsewhere.directory().name == "other"


def test_while_it_is_built_mail_goes_into_both_and_out_of_both(archive: Change) -> None:
    with archive.room.vault.database.write() as connection:
        engine_records.begin(connection, Engine.SQLITE, now=archive.room.clock.now())
    late = archive.room.documents.read(archive.room.vault.stored(archive.messages[0])).document
    archive.index.add([late])
    new = archive.index.of(Engine.SQLITE)
    assert new.document_count() == 1
    archive.index.remove([late.id])
    assert new.document_count() == 0
    assert archive.found("results") == MESSAGES - 1


def test_message_disposed_of_while_it_was_open_here_leaves_again(archive: Change) -> None:
    doomed = archive.messages[2]
    with archive.room.vault.database.write() as connection:
        archive_records.forget_index_of(connection, doomed)
        archive_records.remove_entry(connection, doomed)
    archive.index.remove([doomed])
    change = archive.change()
    change._put(archive.index.of(Engine.SQLITE), archive.messages)
    assert archive.index.of(Engine.SQLITE).document_count() == MESSAGES - 1


def test_what_a_cut_off_change_left_behind_does_not_outlive_the_next_disposal(archive: Change) -> None:
    left = archive.room.documents.read(archive.room.vault.stored(archive.messages[0])).document
    archive.index.of(Engine.SQLITE).add([left])
    assert archive.files_of(Engine.SQLITE) != []
    archive.index.remove([archive.messages[0]])
    assert archive.files_of(Engine.SQLITE) == []


def test_surplus_in_the_new_index_is_thrown_away(archive: Change) -> None:
    archive.index.of(Engine.SQLITE).add([document(999, subject="results of nobody")])
    archive.run()
    assert archive.found("results") == MESSAGES


def test_different_answers_change_nothing(archive: Change) -> None:
    change = archive.change()
    new = archive.index.of(Engine.SQLITE)
    impostors = [document(number, subject="another text") for number in range(MESSAGES)]
    new.add(impostors)
    with pytest.raises(EnginesDifferError):
        change._compared(Engine.WHOOSH, Engine.SQLITE)
    assert archive.index.engines().living is Engine.WHOOSH


def test_one_at_a_time(archive: Change) -> None:
    with archive.mark.held(), pytest.raises(IndexBusyError):
        archive.run()


def test_search_and_capture_go_on_meanwhile(archive: Change) -> None:
    """Whoever searches while the engine changes finds everything at every moment."""
    done, seen = threading.Event(), []

    def search() -> None:
        elsewhere = index_of(archive.room)
        while not done.is_set():
            seen.append(elsewhere.search(parse("results"), limit=20).total)

    searcher = threading.Thread(target=search)
    searcher.start()
    archive.run()
    archive.run(Engine.WHOOSH)
    done.set()
    searcher.join()
    assert set(seen) == {MESSAGES}


def test_other_engine_is_tried_on_a_sample_and_leaves_nothing(archive: Change) -> None:
    room = archive.room.directory / "run"
    tried = engine_trial.trial(archive.room.vault.database, archive.index, archive.room.documents, room=room)
    assert tried is not None
    assert tried.living_p95_ms > 0
    assert tried.sqlite_p95_ms > 0
    assert [path for path in room.iterdir() if path.is_dir()] == []


STEPS = ["engine_change.after_begin", "engine_change.after_batch", "engine_change.after_swap"]


@pytest.mark.parametrize("step", STEPS)
def test_change_cut_off_at_any_step_is_completed_by_the_next(archive: Change, step: str) -> None:
    """The child is this process, forked: it dies at the failpoint as by a power cut, and the parent goes on."""
    archive.room.vault.database.dispose()  # two processes must not speak through one connection
    child = os.fork()
    if child == 0:
        failpoint.rehearse(f"{step}:kill")
        archive.run()
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert archive.found("results") == MESSAGES
    archive.run()
    assert archive.index.engines().living is Engine.SQLITE
    assert archive.found("results") == MESSAGES
    assert archive.files_of(Engine.WHOOSH) == []
