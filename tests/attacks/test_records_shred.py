"""Disposed of, then looked for with every file and every root key in hand (I2; NIST SP 800-88r2 section 3.2)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import archive_wiring
from appliance.data_directory import DataDirectory
from appliance.demo.plain_text_scan import forms_of, layers
from appliance.wiring import Appliance
from archive.index_document import DEFINITION
from archive.index_secret import IndexSecrets
from archive.sealed_index_storage import SealedIndexStorage
from mailstore import message_records, spool
from mailstore.errors import DestroyedError, StrongroomError, TamperedError
from mailstore.key_hierarchy import unwrap_batch_key, unwrap_message_key
from mailstore.keystore import WrappedKey
from mailstore.message import MessageId
from mailstore.object_store_local import LocalObjectStore
from mailstore.sealed_columns import content_context
from mailstore.sealed_copies import copies_of, read_any
from mailstore.sealed_format import open_sealed
from tests import lived_practice
from tests.lived_practice import CANARIES, DOOMED, RUTH, LivedPractice, actor, archived, checkpoint, disposed, taken_in
from tests.running_practice import ring_of

pytestmark = pytest.mark.sqlite_files(reason="it searches files; for PostgreSQL see test_keystore_postgresql")
DATA_PARTS = ("rows.sqlite3", "objects", "spool", "audit", "log", "certificates", "index")
"""What a copy of the data holds: no keys. The index is there although it belongs into no backup."""


class Shredded:
    """A practice after its disposal, the data parts of the day before, and what the keys were then."""

    def __init__(self, directory: Path) -> None:
        self.practice = lived_practice.founded(directory)
        self.yesterday = directory / "yesterday"
        with self.practice.opened() as appliance:
            self.doomed = [taken_in(appliance, DOOMED) for _ in range(3)]
            archived(appliance, self.doomed[:2])
            archived(appliance, self.doomed[2:], is_promoted=False)
            appliance.database.truncate_journal()
            self.wrapped = {each: appliance.keystore.wrapped_key(each) for each in self.doomed}
            self.message_keys = [message_key(appliance, each, wrapped) for each, wrapped in self.wrapped.items()]
            self._keep_yesterday()
            self.practice.doomed = self.doomed
            disposed(self.practice, appliance)
            checkpoint(appliance)

    def _keep_yesterday(self) -> None:
        self.yesterday.mkdir()
        for name in DATA_PARTS:
            source = self.practice.path / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.yesterday / name)


def message_key(appliance: Appliance, message: MessageId, wrapped: WrappedKey) -> bytes:
    batch_key = unwrap_batch_key(
        wrapped.wrapped_batch_key,
        capture=ring_of(appliance.data).capture,
        batch=wrapped.batch,
        sealed_for=wrapped.sealed_for,
    )
    return unwrap_message_key(wrapped.wrapped_message_key, batch_key=batch_key, batch=wrapped.batch, message=message)


@pytest.fixture(scope="module")
def shredded(tmp_path_factory: pytest.TempPathFactory) -> Shredded:
    return Shredded(tmp_path_factory.mktemp("shredded"))


@pytest.fixture
def appliance(shredded: Shredded) -> Iterator[Appliance]:
    with Appliance.opened(DataDirectory(shredded.practice.path)) as opened:
        yield opened


def every_byte(directory: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def test_no_key_of_it_is_left_in_any_form_in_any_file(shredded: Shredded) -> None:
    wrapped = [each.wrapped_message_key for each in shredded.wrapped.values()]
    for path, content in every_byte(shredded.practice.path):
        for key in (*wrapped, *shredded.message_keys):
            assert key not in content, path
            assert key.hex().encode() not in content, path


def test_no_sealed_byte_of_it_is_left_in_objects_or_spool(shredded: Shredded) -> None:
    """Found by the bytes themselves, so that a forgotten copy under another name counts too."""
    old = {path.relative_to(shredded.yesterday): content for path, content in every_byte(shredded.yesterday)}
    pieces = [content[100:164] for path, content in old.items() if path.parts[0] == "objects" and len(content) > 164]
    assert len(pieces) == 2
    for path, content in every_byte(shredded.practice.path):
        assert not any(piece in content for piece in pieces), path


def test_no_row_of_it_is_left_not_even_in_free_pages_or_the_journal(shredded: Shredded) -> None:
    with sqlite3.connect(shredded.yesterday / "rows.sqlite3") as raw:
        query = "SELECT sealed_summary FROM messages UNION ALL SELECT sealed_detail FROM recipients"
        sealed = [row[0] for row in raw.execute(query)]
    assert len(sealed) == 6
    for path, content in every_byte(shredded.practice.path):
        assert not any(piece[:40] in content for piece in sealed), path


def test_no_word_of_it_is_left_in_the_index_opened_with_its_key(shredded: Shredded, appliance: Appliance) -> None:
    storage = archive_wiring.index_storage(appliance)
    storage.refresh()
    assert storage.list()
    listed = {path.name for path in appliance.data.index.iterdir()}
    assert len(listed) == len(storage.list()) + 2, "a file that the manifest does not list"
    for name in storage.list():
        with storage.open_file(name) as file:
            content = file.read(storage.file_length(name))
        for layer in layers(content):
            for word in CANARIES:
                assert not any(form.search(layer) for form in forms_of(word).values()), (name, word)
            assert not any(each.encode() in layer for each in shredded.doomed), name


def test_index_of_yesterday_stays_closed_to_all_keys_of_today(shredded: Shredded, appliance: Appliance) -> None:
    secrets_of_today = IndexSecrets(appliance.data.index_secrets, appliance.ring.index_key)
    old = SealedIndexStorage(shredded.yesterday / "index", secrets_of_today, words=DEFINITION)
    with pytest.raises(TamperedError, match="manifest"):
        old.refresh()
    living = archive_wiring.index_storage(appliance)
    living.refresh()
    known = {file.disk_name for file in living._files.values()}
    assert not known & {path.name for path in (shredded.yesterday / "index").iterdir()}


def test_no_word_of_it_is_left_in_what_the_ring_opens(shredded: Shredded, appliance: Appliance) -> None:
    """Schedules, holds, disposals and certificates are sealed under keys that live on: they must not quote mail."""
    desk, records = archive_wiring.desk(appliance), actor(appliance, RUTH)
    told = [repr(desk.disposals.show(records, each.id)) for each in desk.disposals.all(records)]
    told += [repr(each) for each in desk.holds.all(records)]
    told += [path.read_bytes().decode("latin-1") for path in appliance.data.certificates.iterdir()]
    told += [shredded.practice.ask("audit", "tail", "-n", "1000").out.decode()]
    assert any(shredded.doomed[0] in each for each in told)
    for word in CANARIES:
        assert not any(word in each for each in told), word


def test_the_data_of_yesterday_with_the_keys_of_today_opens_nothing(shredded: Shredded, appliance: Appliance) -> None:
    """The row database, the objects and the spool of the day before, and everything that is there today."""
    with sqlite3.connect(shredded.yesterday / "rows.sqlite3") as raw:
        assert raw.execute("SELECT count(*) FROM messages").fetchone() == (3,)
    shutil.copy(shredded.yesterday / "rows.sqlite3", appliance.data.path / "run" / "yesterday.sqlite3")
    keys = [*ring_of(appliance.data).members().values(), *every_living_key(appliance)]
    objects = LocalObjectStore(shredded.yesterday / "objects")
    for message in shredded.doomed:
        with pytest.raises(DestroyedError):
            appliance.keystore.wrapped_key(message)
        for sealed in sealed_then(shredded, objects):
            for key in keys:
                with pytest.raises(StrongroomError):
                    open_sealed(sealed, key=key, context=content_context(message))


def sealed_then(shredded: Shredded, objects: LocalObjectStore) -> Iterator[bytes]:
    for name in objects.names():
        yield objects.get(name)
    for segment in spool.segments(shredded.yesterday / "spool"):
        yield (shredded.yesterday / "spool" / segment).read_bytes()[16:]


def every_living_key(appliance: Appliance) -> list[bytes]:
    """The keys of every message that lives: none of them opens another."""
    with appliance.database.read() as connection:
        living = message_records.all_ids(connection)
        stored = message_records.stored_many(connection, living)
    for each in stored:
        assert read_any(copies_of(each), spool_directory=appliance.data.spool, objects=appliance.objects).sealed
    return [message_key(appliance, each, appliance.keystore.wrapped_key(each)) for each in living]


def test_yesterdays_rows_put_back_over_todays_show_nothing_and_are_noticed(shredded: Shredded, tmp_path: Path) -> None:
    shutil.copytree(shredded.practice.path, tmp_path / "data")
    restored = LivedPractice(tmp_path / "data")
    for name in DATA_PARTS[:3]:
        place = restored.path / name
        if place.is_dir():
            shutil.rmtree(place)
            shutil.copytree(shredded.yesterday / name, place)
        else:
            shutil.copy(shredded.yesterday / name, place)
    assert restored.ask("audit", "verify").code == 1
    assert restored.ask("doctor").code == 1
    with restored.opened() as appliance:
        for message in shredded.doomed:
            with pytest.raises(DestroyedError):
                appliance.retrieval.content(message)
