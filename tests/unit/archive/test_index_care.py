from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from archive import archive_records, index_care
from archive.archive_search import ArchiveSearch
from archive.index_care import IndexBusyError, IndexCare, RebuildMark, RebuildProgress, RebuildStoppedError
from archive.index_document import DEFINITION
from archive.index_secret import IndexSecrets
from archive.intake import REBUILT, Intake
from archive.saved_search import AskedSearch
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_index import SearchIndex
from archive.search_index_sqlite import LIST_FOLDER, SqliteIndex
from archive.search_index_whoosh import WhooshIndex
from archive.sqlite_schema import FORMAT, PAGE_BYTES
from mailstore.message import MessageId
from tests import index_files
from tests.records_room import RECORDS, RecordsRoom


class Archive:
    """A records room whose worker looks after the index. Each look opens the index anew, as another process would."""

    def __init__(self, directory: Path, engine: str = "whoosh") -> None:
        self.room = RecordsRoom(directory, engine=engine)
        self.files = directory / "index"
        self.mark = RebuildMark(directory / "index-rebuild")
        self.intake = Intake(
            database=self.room.vault.database,
            documents=self.room.documents,
            index=self.room.index,
            schedule_in_force=self.room.desk.schedules.in_force,
            living_holds=self.room.desk.living_holds,
            evidence=self.room.desk.evidence,
            clock=self.room.vault.clock,
            trusted_clock=self.room.vault.trusted_clock,
        )

    def opened(self) -> SearchIndex:
        key = self.room.vault.ring.index_key
        if self.room.engine == "sqlite":
            return index_files.sqlite_in(self.files, key)
        return WhooshIndex(index_files.storage_in(self.files, key))

    def care(self) -> IndexCare:
        return IndexCare(
            database=self.room.vault.database,
            intake=self.intake,
            opened=self.opened,
            directory=lambda: self.files,
            mark=self.mark,
        )

    def search(self) -> ArchiveSearch:
        return ArchiveSearch(
            database=self.room.vault.database,
            index=self.opened(),
            retrieval=self.room.vault.retrieval(),
            documents=self.room.documents,
            clock=self.room.vault.clock,
            rebuild_mark=self.mark,
        )

    def found(self, query: str = "subject:letter") -> list[MessageId]:
        return [item.id for item in self.search().search(RECORDS, AskedSearch(query), limit=50).items]

    def rebuilds(self) -> int:
        return len(self.room.events(REBUILT))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Five letters, indexed."""
    return with_five_letters(Archive(tmp_path / "data"))


def with_five_letters(made: Archive) -> Archive:
    messages = [made.room.receive(f"letter {number}", is_captured=False) for number in range(5)]
    for message in messages:
        made.intake.capture(message)
    made.intake.index(messages)
    return made


def newest_segment(archive: Archive) -> Path:
    return max((path for path in archive.files.iterdir() if path.name not in {"lock", "manifest.sealed"}), key=_size)


def _size(path: Path) -> int:
    return path.stat().st_size


def one_byte_changed(archive: Archive) -> None:
    path = newest_segment(archive)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def one_file_gone(archive: Archive) -> None:
    newest_segment(archive).unlink()


def everything_gone(archive: Archive) -> None:
    for path in archive.files.iterdir():
        path.unlink()


def other_words(archive: Archive) -> None:
    """As an older release left it: whole, and made with another definition of a word."""
    archive.room.index.clear()
    index_files.storage_in(archive.files, archive.room.vault.ring.index_key, words="words of long ago").create()


@pytest.mark.parametrize("damage", [one_byte_changed, one_file_gone, everything_gone, other_words])
def test_damaged_index_is_made_anew_by_itself_with_the_same_answers(
    archive: Archive, damage: Callable[[Archive], None]
) -> None:
    before = archive.found()
    care = archive.care()
    assert care.tend() == ""
    damage(archive)
    assert care.tend() != ""
    assert archive.found() == before
    assert len(before) == 5
    assert care.tend() == ""
    assert archive.rebuilds() == 1


@pytest.mark.parametrize("damage", [one_byte_changed, one_file_gone, everything_gone])
def test_damage_is_noticed_by_a_care_that_has_followed_commits(
    archive: Archive, damage: Callable[[Archive], None]
) -> None:
    """What it read already it does not read again, so it must see by the files that they are others."""
    care = archive.care()
    assert care.tend() == ""
    later = archive.room.receive("letter later", is_captured=False)
    archive.intake.capture(later)
    archive.intake.index([later])
    assert care.tend() == ""
    damage(archive)
    assert care.tend() != ""
    assert later in archive.found()
    assert care.tend() == ""


def part_changed(archive: Archive) -> None:
    """One byte of every page, once its journal is in the file."""
    assert isinstance(archive.room.index, SqliteIndex)
    archive.room.index._close_all()
    [part] = archive.files.glob("*.part")
    data = bytearray(part.read_bytes())
    for at in range(PAGE_BYTES // 2, len(data), PAGE_BYTES):
        data[at] ^= 1
    part.write_bytes(data)


def part_gone(archive: Archive) -> None:
    [part] = archive.files.glob("*.part")
    part.unlink()


def list_gone(archive: Archive) -> None:
    for path in (archive.files / LIST_FOLDER).iterdir():
        path.unlink()


def earlier_format(archive: Archive) -> None:
    """As an older release left it: whole, and with other tables in its parts."""
    secrets = IndexSecrets(index_files.secrets_path(archive.files), archive.room.vault.ring.index_key)
    storage = SealedIndexStorage(archive.files / LIST_FOLDER, secrets, words=DEFINITION).create()
    with storage.exclusively(seconds=1):
        storage.delete_file("parts")
        with storage.create_file("parts") as file:
            file.write(json.dumps({"format": FORMAT - 1, "parts": []}).encode())
        storage.publish()


@pytest.mark.parametrize("damage", [part_changed, part_gone, list_gone, earlier_format])
def test_damaged_index_of_the_other_engine_is_made_anew_by_itself_too(
    tmp_path: Path, damage: Callable[[Archive], None]
) -> None:
    archive = with_five_letters(Archive(tmp_path / "data", engine="sqlite"))
    before = archive.found()
    care = archive.care()
    damage(archive)
    assert care.tend() != ""
    assert archive.found() == before
    assert len(before) == 5
    assert care.tend() == ""
    assert archive.rebuilds() == 1


def test_files_that_were_found_whole_are_not_read_again_after_a_commit(archive: Archive) -> None:
    opened: list[SearchIndex] = []

    def opening() -> SearchIndex:
        opened.append(archive.opened())
        return opened[-1]

    care = IndexCare(
        database=archive.room.vault.database,
        intake=archive.intake,
        opened=opening,
        directory=lambda: archive.files,
        mark=archive.mark,
    )
    assert care.tend() == ""
    for number in range(3):
        message = archive.room.receive(f"letter of the evening {number}", is_captured=False)
        archive.intake.capture(message)
        archive.intake.index([message])
        assert care.tend() == ""
    assert len(opened) == 1
    assert opened[0].document_count() == 8


def test_whole_index_is_left_alone(archive: Archive) -> None:
    care = archive.care()
    for _ in range(3):
        assert care.tend() == ""
    assert archive.rebuilds() == 0


def test_search_says_that_the_index_is_being_made_anew(archive: Archive) -> None:
    assert archive.search().search(RECORDS, AskedSearch("letter"), limit=5).rebuild is None
    with archive.mark.held() as tell:
        assert archive.search().search(RECORDS, AskedSearch("letter"), limit=5).rebuild == RebuildProgress(0, 0)
        tell(2, 5)
        assert archive.search().search(RECORDS, AskedSearch("letter"), limit=5).rebuild == RebuildProgress(2, 5)
    assert archive.search().search(RECORDS, AskedSearch("letter"), limit=5).rebuild is None


def test_two_do_not_make_the_index_anew_at_once(archive: Archive) -> None:
    care = archive.care()
    everything_gone(archive)
    with RebuildMark(archive.room.directory / "index-rebuild").held():
        with pytest.raises(IndexBusyError):
            care.rebuild()
        assert care.tend() == ""
    assert archive.rebuilds() == 0
    assert care.tend() != ""


def test_rebuild_that_was_cut_off_is_gone_on_with(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archive.intake.BATCH", 2)
    stopped = archive.care()
    stopped.stop()
    with pytest.raises(RebuildStoppedError):
        stopped.rebuild()
    assert len(archive.found()) == 2
    with archive.room.vault.database.read() as connection:
        assert archive_records.counts(connection).indexed == 2
    assert archive.care().tend() == ""
    assert len(archive.found()) == 5
    assert archive.rebuilds() == 1


def test_problem_of_a_put_back_index_names_both_numbers(archive: Archive) -> None:
    kept = {path: path.read_bytes() for path in archive.files.iterdir()}
    later = archive.room.receive("letter 6", is_captured=False)
    archive.intake.capture(later)
    archive.intake.index([later])
    everything_gone(archive)
    for path, data in kept.items():
        path.write_bytes(data)
    problem = index_care.problem_of(archive.room.vault.database, archive.opened())
    assert problem == "it holds 5 of 6 messages"
