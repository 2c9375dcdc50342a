"""A restored directory works before its sealed mail is there: nothing is lost, doubled, told wrongly or revived."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from appliance import (
    archive_wiring,
    check_wiring,
    restore_check,
    restore_duty,
    restore_health,
    restore_rest,
    store_wiring,
)
from appliance.backup_settings import BackupTargetSettings
from appliance.backups import Backups
from appliance.front_door_wiring import RANDOMNESS
from appliance.health_finding import State
from appliance.wiring import Appliance
from archive import archive_check, archive_records
from mailstore import consistency_check, message_records
from mailstore.consistency_check import Depth
from mailstore.destruction import Destruction
from mailstore.errors import BeingRestoredError, DestroyedError, RefusedError, TamperedError
from mailstore.message import MessageId
from mailstore.part_records import PartLinks
from mailstore.restore_plan import RestorePlan
from tests.lived_practice import DOOMED, KEPT, archived, promotion, taken_in
from tests.restore_room import RestoreRoom

pytestmark = pytest.mark.sqlite_files(reason="it backs up and restores a data directory of files")


@dataclass
class Early:
    """A practice that was backed up, and its restored copy, opened before any object is there."""

    room: RestoreRoom
    doomed: list[MessageId]
    kept: MessageId
    content: bytes

    def copy(self, folder: Path) -> Early:
        shutil.copytree(self.room.folder / "new", folder / "new")
        return replace(self, room=_in(folder, self.room))


def _in(folder: Path, room: RestoreRoom) -> RestoreRoom:
    """The same target and secret, beside another copy."""
    (folder / "target").symlink_to(room.target)
    (folder / "data").symlink_to(room.folder / "data")
    shutil.copy(room.secret.path, folder / "elsewhere.key")
    return RestoreRoom(folder)


@pytest.fixture(scope="module")
def opened_early(tmp_path_factory: pytest.TempPathFactory) -> Early:
    room = RestoreRoom(tmp_path_factory.mktemp("early"))
    with room.practice.opened() as appliance:
        doomed = [taken_in(appliance, DOOMED) for _ in range(2)]
        kept = taken_in(appliance, KEPT)
        archived(appliance, [*doomed, kept])
        content = appliance.retrieval.content(kept)
    room.back_up()
    outcome = room.restore(objects_later=True)
    assert (outcome.messages, outcome.problems, outcome.missing) == (3, [], [])
    assert outcome.objects_to_come >= 3
    assert "once all mail is there" in outcome.warnings[-1]
    return Early(room, doomed, kept, content)


@pytest.fixture
def early(opened_early: Early, tmp_path: Path) -> Early:
    return opened_early.copy(tmp_path)


@pytest.fixture
def appliance(early: Early) -> Iterator[Appliance]:
    with early.room.opened() as appliance:
        yield appliance


def test_mail_that_is_to_come_says_so_and_is_brought_first_when_it_is_asked_for(
    early: Early, appliance: Appliance
) -> None:
    with pytest.raises(BeingRestoredError, match="being restored"):
        appliance.retrieval.content(early.kept)
    assert appliance.retrieval.recipients(early.kept)
    assert restore_rest.go_on(appliance, should_stop=lambda: False)
    assert appliance.retrieval.content(early.kept) == early.content
    assert list(early.room.folder.glob("new/.restor*")) == [appliance.data.restore_check]


def test_new_mail_is_taken_in_filed_and_found_meanwhile(appliance: Appliance) -> None:
    new = taken_in(appliance, KEPT)
    promotion(appliance).promote_all([new])
    intake = archive_wiring.intake(appliance)
    intake.capture(new)
    intake.index([new])
    assert appliance.retrieval.content(new) == KEPT
    assert archive_wiring.index(appliance).document_count() == 1
    assert restore_rest.go_on(appliance, should_stop=lambda: False)
    assert archive_wiring.index_care(appliance, archive_wiring.intake(appliance)).tend() == ""
    assert archive_wiring.index(appliance).document_count() == 4


def test_check_of_every_byte_reports_nothing_wrong_while_mail_is_to_come(appliance: Appliance) -> None:
    depth = Depth(check_wiring.ACCEPTED_EVENTS, reads_objects=True)
    stores = check_wiring.stores(appliance)
    assert list(consistency_check.check(stores, depth, now=appliance.clock.now())) == []
    held = check_wiring.archive_stores(appliance)
    assert [each.kind for each in archive_check.check(held, opens_messages=False)] == []
    assert store_wiring.orphan_sweep(appliance).run().objects == 0


def test_what_is_destroyed_meanwhile_is_never_laid_down(early: Early, appliance: Appliance) -> None:
    with appliance.database.read() as connection:
        names = [str(each.object_name) for each in message_records.stored_many(connection, early.doomed)]
    links = PartLinks(appliance.ring.archive_key, RANDOMNESS)
    destruction = Destruction(
        appliance.database,
        appliance.keystore,
        appliance.data.spool,
        appliance.objects,
        links=links,
        clock=appliance.clock,
    )
    assert all(appliance.objects.exists(name) for name in names)
    destruction.destroy(early.doomed, certificate="c" * 26, forget=archive_forgets)
    assert not any(appliance.objects.exists(name) for name in names)
    assert restore_rest.go_on(appliance, should_stop=lambda: False)
    on_disk = {f"{path.parent.name}/{path.name}" for path in appliance.data.objects.rglob("*") if path.is_file()}
    with appliance.database.read() as connection:
        assert on_disk == message_records.known_objects(connection, sorted(on_disk))
    for message in early.doomed:
        with pytest.raises(DestroyedError):
            appliance.retrieval.content(message)
    assert appliance.retrieval.content(early.kept) == early.content


def archive_forgets(connection: Connection, messages: Sequence[MessageId]) -> None:
    for message in messages:
        archive_records.remove_entry(connection, message)


def test_backup_of_the_data_waits_for_the_mail_and_one_of_the_keys_does_not(
    early: Early, appliance: Appliance, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    told = BackupTargetSettings(name="own", url=str(tmp_path / "own"))
    backups = Backups(appliance)
    with pytest.raises(BeingRestoredError, match="still being restored"):
        backups.make_data(told)
    assert backups.make_keys(told) is not None
    assert restore_rest.go_on(appliance, should_stop=lambda: False)
    assert backups.make_data(told).problems == ()
    assert early.content


def test_one_process_at_a_time_brings_it_back(early: Early, appliance: Appliance) -> None:
    with restore_rest.turn(appliance.data):
        assert not restore_rest.go_on(appliance, should_stop=lambda: False)
        with pytest.raises(RefusedError, match="another process"):
            early.room.restore()
    assert early.room.restore().objects_to_come == 0
    with pytest.raises(RefusedError, match="data directory already"):
        early.room.restore()


def test_a_worker_that_ends_leaves_the_rest_for_the_next_one(appliance: Appliance) -> None:
    assert not restore_rest.go_on(appliance, should_stop=lambda: True)
    assert appliance.data.restore_plan.exists()
    done: list[str] = []
    asyncio.run(restore_duty.until_whole(appliance, lambda: done.append("mended"), stopping=threading.Event()))
    assert (done, appliance.data.restore_plan.exists()) == (["mended"], False)


def test_what_a_kept_store_holds_is_not_looked_for_in_the_backup_though_restore_was_cut_off(
    appliance: Appliance,
) -> None:
    """Cut off after the directory is in place and before the plan says that what is kept has come."""
    with closing(RestorePlan(appliance.data.restore_plan)) as plan:
        plan.keep("aa/" + "a" * 24)
    assert restore_rest.go_on(appliance, should_stop=lambda: False)
    assert not appliance.data.restore_plan.exists()


def test_duties_that_need_all_mail_are_put_off_until_it_is_there(early: Early, appliance: Appliance) -> None:
    done: list[str] = []
    duty = restore_duty.when_whole(appliance, lambda: done.append("done"))
    duty()
    assert done == []
    early.room.restore()
    duty()
    assert done == ["done"]


def findings(appliance: Appliance) -> dict[str, State]:
    return {each.check: each.state for each in restore_health.reports(appliance)}


def test_look_that_was_put_off_is_made_once_all_mail_is_there_and_remembered(appliance: Appliance) -> None:
    assert findings(appliance) == {"restore": State.WARN, "restore check": State.WARN}
    asyncio.run(restore_duty.until_whole(appliance, lambda: None, stopping=threading.Event()))
    assert findings(appliance) == {"restore": State.OK, "restore check": State.OK}
    at = restore_check.look(appliance.data)
    restore_check.make(appliance, should_stop=lambda: True)
    assert restore_check.look(appliance.data) == at, "it is made once"


def test_look_that_is_cut_off_is_still_owed_and_what_it_finds_is_an_alarm(appliance: Appliance) -> None:
    assert restore_rest.go_on(appliance, should_stop=lambda: False)
    restore_check.make(appliance, should_stop=lambda: True)
    assert restore_check.is_owed(appliance.data)
    for name in list(appliance.objects.names()):
        appliance.objects.delete(name)
    for segment in appliance.data.spool.iterdir():
        segment.unlink()
    restore_check.make(appliance, should_stop=lambda: False)
    assert findings(appliance)["restore check"] is State.FAIL
    restore_check.owe(appliance.data)
    appliance.data.restore_check.write_text("{}", "utf-8")
    with pytest.raises(TamperedError):
        restore_check.look(appliance.data)


def test_check_names_what_is_still_to_come(appliance: Appliance) -> None:
    left = restore_rest.to_come(appliance.data)
    assert left is not None
    names = restore_rest.names_to_come(appliance.data, most=2)
    assert len(names) == 2
    assert set(names) <= set(appliance.objects.names())
    assert len(restore_rest.names_to_come(appliance.data, most=1000)) <= left.objects
