"""From nothing but a target and a secret: everything is back, what was disposed of is dead, what is held is held."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Table

from appliance import archive_wiring, portal_wiring
from appliance.data_directory import DataDirectory
from appliance.restore import RESTORED
from appliance.restore_choice import NoDataError, NoKeysError, Wish
from appliance.tables import command_sessions
from appliance.wiring import Appliance
from mailstore import audit_trail
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.errors import DestroyedError, NotFoundError, RefusedError, WrongKeyError
from mailstore.failpoint import rehearse
from mailstore.high_water import HighWaterMark
from mailstore.message import MessageId
from mailstore.restore_source import RestoreSource
from mailstore.slot_key_file import KeyFile
from portal.sign_in_rules import Proof
from portal.tables import sessions
from tests.lived_practice import DOOMED, HELD, KEPT, RUTH, actor, archived, disposed, taken_in
from tests.restore_room import RestoreRoom

OLDER = Wish(data=1)


@dataclass
class Burnt:
    """A practice: backed up as number 1, then a disposal and a hold, then backed up again, data and keys."""

    room: RestoreRoom
    doomed: list[MessageId]
    kept: MessageId
    held: MessageId
    spooled: MessageId
    kept_content: bytes
    held_later: str


@pytest.fixture(scope="module")
def burnt(tmp_path_factory: pytest.TempPathFactory) -> Burnt:
    room = RestoreRoom(tmp_path_factory.mktemp("burnt"))
    practice = room.practice
    with practice.opened() as appliance:
        doomed = [taken_in(appliance, DOOMED) for _ in range(3)]
        kept, held = taken_in(appliance, KEPT), taken_in(appliance, HELD)
        archived(appliance, [*doomed, kept, held])
        spooled = taken_in(appliance, KEPT)
        content = appliance.retrieval.content(kept)
        entrance, ruth = portal_wiring.desk(appliance).sessions, actor(appliance, RUTH).account
        with appliance.database.write() as connection:
            anonymous = entrance.anonymous()
            entrance.step_up(connection, anonymous, Proof.PASSWORD, account=ruth, now=appliance.clock.now())
    room.back_up()
    practice.doomed = doomed
    with practice.opened() as appliance:
        disposed(practice, appliance)
        desk = archive_wiring.desk(appliance)
        later = desk.holds.place(actor(appliance, RUTH), name="Later", reason="counsel", query="quokka").id
    room.back_up()
    return Burnt(room, doomed, kept, held, spooled, content, later)


def test_everything_is_back_and_opens(burnt: Burnt) -> None:
    outcome = burnt.room.restore("whole")
    assert (outcome.messages, outcome.without_key, outcome.missing) == (3, [], [])
    assert outcome.problems == []
    with burnt.room.opened("whole") as again:
        assert again.retrieval.content(burnt.kept) == burnt.kept_content
        assert again.retrieval.content(burnt.spooled)
        assert (again.data.certificates / burnt.room.practice.certificate.name).exists()
        assert not list(again.data.path.glob(".restor*"))


def test_nobody_is_signed_in_after_a_restore(burnt: Burnt) -> None:
    """Sessions of the day of the backup may be of people who left since, or were ended because a cookie was stolen."""
    with burnt.room.practice.opened() as appliance:
        tables = (sessions, command_sessions)
        living = [counted(appliance, table) for table in tables]
    assert all(living)
    burnt.room.restore("signed-out")
    with burnt.room.opened("signed-out") as again:
        assert [counted(again, table) for table in tables] == [0, 0]
        with again.database.read() as connection:
            [told] = [each for each in audit_trail.tail(connection, 5) if each.event == RESTORED]
    assert told.detail["sessions"] == sum(living)


def counted(appliance: Appliance, table: Table) -> int:
    with appliance.database.read() as connection:
        return len(appliance.database.rows.select(connection, table))


def test_message_disposed_of_after_the_backup_of_the_data_is_dead_in_every_combination(burnt: Burnt) -> None:
    for data, keys in ((1, 1), (1, None), (None, 1), (None, None)):
        name = f"mixed-{data}-{keys}"
        burnt.room.restore(name, Wish(data, keys))
        with burnt.room.opened(name) as again:
            for message in burnt.doomed:
                assert not again.keystore.has_key(message)
                assert again.keystore.is_destroyed(message)
                with pytest.raises(DestroyedError):
                    again.retrieval.content(message)
            assert again.retrieval.content(burnt.kept) == burnt.kept_content
            assert archive_wiring.desk(again).certificates.problems_in(again.data.certificates)[0] == 1


def test_hold_placed_after_the_backup_holds_again(burnt: Burnt) -> None:
    outcome = burnt.room.restore("held", Wish(data=1))
    assert outcome.holds_again == 2
    with burnt.room.opened("held") as again:
        desk = archive_wiring.desk(again)
        held = desk.holds.show(actor(again, RUTH), burnt.held_later)
        assert (held.name, held.is_evaluated) == ("Later", False)
        assert desk.holds.evaluate_unfinished() == 2
        with again.database.read() as connection:
            assert {each.id for each in desk.living_holds.all(connection)} >= {burnt.held_later}


def test_sweeping_goes_on_after_a_restore_of_older_rows(burnt: Burnt) -> None:
    burnt.room.restore("swept", Wish(data=1))
    with burnt.room.opened("swept") as again:
        assert HighWaterMark(again.database, again.keystore).keep()
    told = burnt.room.ask("swept", "check", "--quick")
    assert [each for each in told["problems"] if not each["kind"].startswith(("index", "hold"))] == []


def test_keys_older_than_the_data_leave_mail_without_keys_which_is_named(tmp_path: Path) -> None:
    room = RestoreRoom(tmp_path)
    with room.practice.opened() as appliance:
        before = taken_in(appliance, KEPT)
    room.back_up(data=False)
    with room.practice.opened() as appliance:
        after = taken_in(appliance, KEPT)
    room.back_up(keys=False)
    outcome = room.restore()
    assert outcome.without_key == [after]
    assert "older than the data" in outcome.warnings[0]
    with room.opened() as again:
        assert again.retrieval.content(before)
        with pytest.raises(NotFoundError):
            again.retrieval.content(after)


def test_keys_newer_than_the_data_are_harmless_and_counted(tmp_path: Path) -> None:
    room = RestoreRoom(tmp_path)
    with room.practice.opened() as appliance:
        taken_in(appliance, KEPT)
    room.back_up(keys=False)
    with room.practice.opened() as appliance:
        taken_in(appliance, KEPT)
    room.back_up(data=False)
    outcome = room.restore()
    assert (outcome.messages, outcome.keys, outcome.keys_without_data, outcome.problems) == (1, 1, 1, [])


def test_data_alone_and_keys_alone_are_told_apart(tmp_path: Path) -> None:
    room = RestoreRoom(tmp_path)
    room.back_up(keys=False)
    with pytest.raises(NoKeysError, match="data and no keys"):
        room.restore()
    shutil.rmtree(room.target / "data")
    room.back_up(data=False)
    with pytest.raises(NoDataError, match="keys and no data"):
        room.restore()
    assert not (room.folder / "new" / "strongroom.toml").exists()


def test_another_secret_opens_nothing(burnt: Burnt, tmp_path: Path) -> None:
    (tmp_path / "other.key").write_text("0" * 64)
    with pytest.raises(WrongKeyError):
        RestoreSource.opened(DirectoryTarget(burnt.room.target), KeyFile(tmp_path / "other.key"))


def test_directory_that_holds_something_is_not_touched(burnt: Burnt) -> None:
    (burnt.room.folder / "taken").mkdir()
    (burnt.room.folder / "taken" / "letter.txt").write_text("mine")
    with pytest.raises(RefusedError, match=r"letter\.txt"):
        burnt.room.restore("taken")
    with pytest.raises(RefusedError, match="data directory already"):
        burnt.room.restore("data")


FAILPOINTS = (
    "restore.after_keys",
    "restore_laying.before_sync",
    "restore_laying.after_packs",
    "restore.after_files",
    "restore_keys.after_batches",
    "restore_keys.after_keys",
    "restore.after_keystore",
    "ledger_replay.after_disposals",
    "ledger_replay.after_keys",
    "destruction.after_rows",
    "ledger_replay.after_holds",
    "restore.after_ledger",
    "restore.after_check",
    "restore.after_whole",
    "restore.after_move",
)
FAILPOINTS_OF_A_DIRECTORY_THAT_MAY_BE_STARTED = (
    "restore_laying.before_sync",
    "restore_laying.after_packs",
    "restore.after_objects",
)


def test_restore_killed_at_every_step_one_after_the_other_comes_to_the_same_end(burnt: Burnt) -> None:
    for failpoint in FAILPOINTS:
        assert killed(burnt.room, "killed", failpoint), failpoint
        assert not DataDirectory(burnt.room.folder / "killed").settings.exists()
    for failpoint in FAILPOINTS_OF_A_DIRECTORY_THAT_MAY_BE_STARTED:
        assert killed(burnt.room, "killed", failpoint), failpoint
        assert DataDirectory(burnt.room.folder / "killed").settings.exists()
    outcome = burnt.room.restore("killed", OLDER)
    assert (outcome.messages, outcome.without_key, outcome.missing, outcome.problems) == (3, [], [], [])
    with burnt.room.opened("killed") as again:
        assert again.retrieval.content(burnt.kept) == burnt.kept_content
        assert all(again.keystore.is_destroyed(message) for message in burnt.doomed)
    assert not list((burnt.room.folder / "killed").glob(".restor*"))


def killed(room: RestoreRoom, name: str, failpoint: str) -> bool:
    """Restore in a process of its own that dies at the failpoint."""
    child = os.fork()
    if child == 0:
        rehearse(f"{failpoint}:kill")
        room.restore(name, OLDER)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def test_mail_from_before_and_after_a_renewal_of_the_keys_opens_after_a_restore(tmp_path: Path) -> None:
    room = RestoreRoom(tmp_path)
    with room.practice.opened() as appliance:
        messages = [taken_in(appliance, KEPT)]
    room.back_up()
    room.practice.told("key", "rotate")
    with room.practice.opened() as appliance:
        messages.append(taken_in(appliance, KEPT))
    room.back_up()
    assert room.restore().messages == 2
    with room.opened() as again:
        assert all(again.retrieval.content(message) for message in messages)
