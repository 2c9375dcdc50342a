"""The end of a practice: by two persons and a secret, whatever is cut off, and with a certificate for strangers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from appliance import archive_wiring, decommission_order, decommission_run, front_door_wiring, process_file
from appliance.decommission_run import DecommissionRun
from archive import verify_decommission
from mailstore import backup_claim, outbox
from mailstore.errors import NotFoundError
from mailstore.outbox import Kind
from mailstore.wall_clock import SystemClock
from tests import answered_fields, database_room, lived_practice
from tests.lived_practice import ANN, PAUL, RUTH, LivedPractice, Told, actor

ROOT = Path(__file__).parents[3]
NAME = "Lakeside Clinic"
LEFT = frozenset({"far"})

pytestmark = pytest.mark.sqlite_files(reason="it destroys the keys of a data directory of files")


@dataclass
class Ending:
    """A practice with a hold in force, a target of backups and a bucket that is away, and the words of its end."""

    practice: LivedPractice
    target: Path
    hold: str

    @classmethod
    def at(cls, folder: Path) -> Ending:
        practice, target = lived_practice.founded(folder), folder / "nas"
        target.mkdir()
        with practice.opened() as appliance:
            lived_practice.archived(appliance, [lived_practice.taken_in(appliance, lived_practice.HELD)])
            desk, records = archive_wiring.desk(appliance), actor(appliance, RUTH)
            hold = desk.holds.place(records, name="Adams v. Clinic", reason="letter of counsel", query="litigated").id
        settings = practice.data.settings
        settings.write_text(
            settings.read_text("utf-8")
            + f'\n[[backup.target]]\nname = "nas"\nurl = "{target}"\n'
            + '\n[[backup.target]]\nname = "far"\nurl = "s3+http://127.0.0.1:9/bucket"\ncredentials_file = "none"\n',
            "utf-8",
        )
        return cls(practice, target, hold)

    def ask(self, email: str, *words: str) -> Told:
        return self.told(self.practice.ask("--as", email, "decommission", *words), words[0])

    def told(self, answer: Told, step: str) -> Told:
        """An answer with exactly the fields that the reference names."""
        if answer.code == 0:
            answered_fields.check(("decommission", step), answer.json)
        return answer

    def code(self, email: str, *words: str) -> str:
        """Why it is refused."""
        answer = self.ask(email, *words)
        assert answer.code == 1, answer
        return str(answer.json["error"]["code"])

    def proposed(self) -> str:
        return str(self.ask(RUTH, "propose", "--hold", self.hold).json["id"])

    def approved(self) -> str:
        plan = self.proposed()
        assert self.ask(PAUL, "approve", plan, "--hold", self.hold).code == 0
        return plan

    def run(self, plan: str, *, name: str = NAME, key: Path | None = None, left: tuple[str, ...] = ("far",)) -> Told:
        key = key or self.practice.data.unlock_key
        words = ["run", plan, "--hold", self.hold, "--practice", name]
        words += [word for each in left for word in ("--leave-unreached", each)]
        answer = self.practice.ask("--key-file", str(key), "--as", RUTH, "decommission", *words)
        return self.told(answer, "run")

    def ordered(self, plan: str) -> None:
        """As far as the order counts, and no further."""
        with self.practice.opened() as appliance:
            ending = archive_wiring.decommission(appliance)
            begun = ending.begin(actor(appliance, RUTH), plan, holds=[self.hold])
            decommission_run.order(appliance, begun, holds=(self.hold,))


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Ending:
    return Ending.at(tmp_path_factory.mktemp("ending"))


@pytest.fixture
def doomed(tmp_path: Path) -> Ending:
    return Ending.at(tmp_path)


def test_nobody_ends_anything_past_a_hold_that_was_not_named(ending: Ending) -> None:
    assert ending.code(RUTH, "propose") == "holds_in_force"
    assert ending.code(RUTH, "propose", "--hold", "a" * 26, "--hold", ending.hold) == "not_found"
    plan = ending.proposed()
    assert ending.code(PAUL, "approve", plan) == "holds_in_force", "the second person names it as well"
    assert ending.ask(RUTH, "show").json["holds"] == [ending.hold]
    assert ending.ask(RUTH, "withdraw", plan).code == 0


def test_it_takes_two_persons_in_their_roles(ending: Ending) -> None:
    assert ending.code(ANN, "propose", "--hold", ending.hold) == "not_permitted"
    assert ending.code(PAUL, "propose", "--hold", ending.hold) == "not_permitted"
    plan = ending.proposed()
    assert ending.code(RUTH, "approve", plan, "--hold", ending.hold) == "not_permitted"
    assert ending.run(plan).json["error"]["code"] == "wrong_decommission_state", "nobody approved it"
    assert ending.code(RUTH, "propose", "--hold", ending.hold) == "wrong_decommission_state", "one at a time"
    assert ending.code(ANN, "withdraw", plan) == "not_permitted"
    assert ending.ask(RUTH, "withdraw", plan).code == 0
    assert ending.code(PAUL, "approve", plan, "--hold", ending.hold) == "not_found"


def test_hold_that_was_placed_after_the_approval_stops_it(ending: Ending) -> None:
    plan = ending.approved()
    with ending.practice.opened() as appliance:
        holds, records = archive_wiring.desk(appliance).holds, actor(appliance, RUTH)
        placed = holds.place(records, name="Late v. Clinic", reason="letter", query="litigated")
    assert ending.run(plan).json["error"]["code"] == "holds_in_force"
    words = ("run", plan, "--hold", ending.hold, "--hold", placed.id, "--practice", NAME, "--leave-unreached", "far")
    key = str(ending.practice.data.unlock_key)
    answer = ending.practice.ask("--key-file", key, "--as", RUTH, "decommission", *words)
    assert answer.json["error"]["code"] == "holds_in_force", "one person alone cannot name it afterwards"
    with ending.practice.opened() as appliance:
        holds = archive_wiring.desk(appliance).holds
        holds.request_release(actor(appliance, RUTH), placed.id, reason="settled")
        preview = holds.preview_release(actor(appliance, PAUL), placed.id)
        holds.approve_release(actor(appliance, PAUL), placed.id, set_hash=preview.set_hash)
    assert ending.ask(PAUL, "withdraw", plan).code == 0


def test_row_of_a_hold_that_was_deleted_by_hand_frees_nothing(ending: Ending) -> None:
    with ending.practice.opened() as appliance, appliance.database.write() as connection:
        kept = connection.execute(text("SELECT state FROM holds WHERE id = :id"), {"id": ending.hold}).scalar_one()
        connection.execute(text("UPDATE holds SET state = 'released' WHERE id = :id"), {"id": ending.hold})
    assert ending.code(RUTH, "propose") == "tampered"
    with ending.practice.opened() as appliance, appliance.database.write() as connection:
        connection.execute(text("UPDATE holds SET state = :was WHERE id = :id"), {"was": kept, "id": ending.hold})


def test_what_is_still_on_its_way_stops_it_and_so_do_a_wrong_name_and_no_secret(ending: Ending, tmp_path: Path) -> None:
    plan = ending.approved()
    with ending.practice.opened() as appliance, appliance.database.write() as connection:
        outbox.add(connection, Kind.REPORT, None, None, appliance.clock.now())
    assert "on their way" in ending.run(plan).json["error"]["message"]
    with ending.practice.opened() as appliance, appliance.database.write() as connection:
        (item,) = connection.execute(text("SELECT id FROM outbox WHERE kind = 'report'")).scalars()
        connection.execute(text("DELETE FROM outbox WHERE id = :id"), {"id": item})
    assert "name" in ending.run(plan, name="Lakeside").json["error"]["message"]
    wrong = tmp_path / "wrong.key"
    wrong.write_text("00" * 32 + "\n", "ascii")
    wrong.chmod(0o600)
    assert ending.run(plan, key=wrong).json["error"]["code"] == "wrong_key"
    bare = ending.ask(RUTH, "run", plan, "--hold", ending.hold, "--practice", NAME)
    assert "no secret" in bare.json["error"]["message"], "the key file that lies there opens nothing by itself"
    with process_file.held(ending.practice.data):
        assert ending.run(plan).code == 1, "not while the appliance runs"
    assert ending.ask(RUTH, "withdraw", plan).code == 0
    assert ending.practice.data.keystore.exists()


def test_cooling_off_passes_by_the_trusted_time_alone(ending: Ending) -> None:
    settings = ending.practice.data.settings
    before = settings.read_text("utf-8")
    settings.write_text(before.replace("cooling_off_hours = 0", "cooling_off_hours = 24"), "utf-8")
    try:
        plan = ending.approved()
        assert "may begin from" in ending.run(plan).json["error"]["message"]
        assert ending.ask(PAUL, "withdraw", plan).code == 0
    finally:
        settings.write_text(before, "utf-8")


def test_everything_dies_and_a_stranger_verifies_the_certificate_with_nothing_but_python(
    doomed: Ending, tmp_path: Path
) -> None:
    practice, data = doomed.practice, doomed.practice.data
    for kind in ("data", "keys"):
        practice.told("backup", "create", "--to", "nas", "--only", kind)
    secrets = [path.read_bytes() for path in (data.unlock_key, data.keys / "slots.json", data.keys / "keyring.json")]
    plan = doomed.approved()
    done = doomed.run(plan)
    assert done.code == 0, done
    certificate = Path(done.json["certificate"])
    assert verified(certificate, tmp_path / "stranger") == (0, b"valid\n")
    told = json.loads(certificate.read_bytes())
    assert told["order"]["holds"] == [doomed.hold]
    assert told["order"]["messages"] > 0
    (far,) = told["completion"]["out_of_reach"]
    assert far["name"] == "far"
    assert far["why"].startswith("s3+http://127.0.0.1:9/bucket: given up by a person, for it could not be reached (")
    assert far["why"].endswith("; no backup of keys is known to have been made there")
    assert not list(data.keys.iterdir())
    assert not list(data.path.glob("keystore.sqlite3*"))
    assert not [path for path in doomed.target.rglob("*") if path.is_file() and {"keys", "ways-in"} & set(path.parts)]
    assert [path for path in doomed.target.rglob("*") if path.is_file() and "data" in path.parts]
    everything = b"".join(path.read_bytes() for path in practice.path.rglob("*") if path.is_file())
    assert not [secret for secret in secrets if secret.strip() in everything]
    assert practice.ask("audit", "tail").json["error"]["code"] == "decommissioned"
    assert practice.told("decommission", "show") == {"id": plan, "state": "done", "certificate": str(certificate)}
    assert doomed.run(plan).code == 0, "once more says the same"


def test_target_that_is_away_stops_it_by_name_until_it_is_back_or_given_up(doomed: Ending, tmp_path: Path) -> None:
    practice, data, aside = doomed.practice, doomed.practice.data, tmp_path / "unplugged"
    practice.told("backup", "create", "--to", "nas", "--only", "keys")
    plan = doomed.approved()
    refused = doomed.run(plan, left=()).json["error"]
    assert "keys: far (" in refused["message"]
    assert "--leave-unreached" in refused["fix"]
    doomed.target.rename(aside)
    doomed.target.mkdir()  # where its disk would be mounted
    assert doomed.ask(RUTH, "show").json["unreached"] == ["far", "nas"]
    assert "keys: nas (" in doomed.run(plan).json["error"]["message"]
    assert doomed.run(plan, left=("far", "nsa")).json["error"]["code"] == "not_found", "a name that was mistyped"
    assert data.keystore.exists()
    assert not data.decommission.exists()

    doomed.ordered(plan)  # it was there when the order began to count, and away thereafter
    assert "keys: nas (" in doomed.run(plan).json["error"]["message"]
    assert not list(data.certificates.glob("decommission-*")), "nothing is certified while it waits"
    assert not data.keystore.exists()
    doomed.target.rmdir()
    aside.rename(doomed.target)
    done = doomed.run(plan)
    assert done.code == 0, done
    told = json.loads(Path(done.json["certificate"]).read_bytes())
    assert [each["name"] for each in told["completion"]["out_of_reach"]] == ["far"]
    assert not [path for path in doomed.target.rglob("*") if path.is_file() and {"keys", "ways-in"} & set(path.parts)]


def test_certificate_says_what_lies_where_that_a_person_gave_up(doomed: Ending, tmp_path: Path) -> None:
    doomed.practice.told("backup", "create", "--to", "nas", "--only", "keys")
    doomed.target.rename(tmp_path / "lost")
    done = doomed.run(doomed.approved(), left=("far", "nas"))
    told = json.loads(Path(done.json["certificate"]).read_bytes())
    why = {each["name"]: each["why"] for each in told["completion"]["out_of_reach"]}["nas"]
    (copy,) = told["order"]["key_copies"]
    assert why.startswith(f"{doomed.target}: given up by a person, for it could not be reached (")
    assert why.endswith(f"(keys/) and what opens backups (ways-in/) stay there until {copy['until']}")


def test_target_of_another_practice_is_not_emptied(doomed: Ending) -> None:
    doomed.practice.told("backup", "create", "--to", "nas", "--only", "keys")
    record = doomed.target / "target.json"
    told = json.loads(record.read_bytes())
    record.write_bytes(backup_claim.TargetRecord("0" * 32, told["target"]).to_bytes())
    assert "another practice" in doomed.run(doomed.approved()).json["error"]["message"]
    assert not doomed.practice.data.decommission.exists()


def test_killed_at_every_step_one_after_the_other_it_comes_to_the_same_end(doomed: Ending, tmp_path: Path) -> None:
    doomed.practice.told("backup", "create", "--to", "nas", "--only", "keys")
    doomed.ordered(doomed.approved())
    steps: list[str] = []
    while step := killed_after_a_new_step(doomed, steps, tmp_path / "step"):
        steps.append(step)
    assert {"slots.json erased", "keystore.sqlite3 erased", "backups of keys removed from nas"} < set(steps)
    assert steps[-1] == "certificate written"
    answer = doomed.practice.ask("--as", RUTH, "decommission", "run", "x", "--leave-unreached", "far")
    assert (answer.code, answer.json["resumed"]) == (0, True), "no secret and no person is needed any more"
    assert verified(Path(answer.json["certificate"]), tmp_path / "stranger") == (0, b"valid\n")
    assert not list(doomed.practice.data.keys.iterdir())
    assert b'completion_seed": ""' in doomed.practice.data.decommission.read_bytes()


def test_keys_on_a_server_die_and_what_is_cut_off_needs_no_password_of_it_again(doomed: Ending, tmp_path: Path) -> None:
    practice, engine = doomed.practice, database_room.Engine.POSTGRESQL
    rows = database_room.rows_url(practice.path, is_empty=True, engine=engine)
    practice.told("database", "move", "--to", rows, "--keystore-to", database_room.keystore_url(practice.path))
    doomed.ordered(doomed.approved())
    steps: list[str] = []
    while step := killed_after_a_new_step(doomed, steps, tmp_path / "step"):
        steps.append(step)
    assert "tables of the key database dropped" in steps
    with pytest.raises(NotFoundError):
        database_room.opened_keystore(practice.path, engine=engine)
    answer = practice.ask("--as", RUTH, "decommission", "run", "x", "--leave-unreached", "far")
    assert verified(Path(answer.json["certificate"]), tmp_path / "stranger") == (0, b"valid\n")


def test_once_it_began_no_hold_is_promised_any_more(ending: Ending) -> None:
    doomed = ending
    plan = doomed.approved()
    with doomed.practice.opened() as appliance:
        archive_wiring.decommission(appliance).begin(actor(appliance, RUTH), plan, holds=[doomed.hold])
        with pytest.raises(Exception, match="being destroyed"):
            archive_wiring.desk(appliance).holds.place(actor(appliance, RUTH), name="N", reason="r", query="q")
    order = doomed.practice.data.decommission
    assert not order.exists()
    forged = {"format": decommission_order.FORMAT, "order": {"id": "a" * 26}, "completion_seed": "00" * 32}
    order.write_text(json.dumps(forged), "ascii")
    answer = doomed.run(plan)
    assert answer.json["error"]["code"] == "tampered", "a file that the practice did not sign orders nothing"
    assert doomed.practice.data.keystore.exists()
    order.unlink()
    assert doomed.run(plan).code == 0
    for harm in (b'"completion_seed"', b'"messages": '):
        content = order.read_bytes()
        order.write_bytes(content.replace(harm, harm[:-1] + b"x" + harm[-1:]))
        assert doomed.run(plan).code == 1
        order.write_bytes(content)
    forgery_is_noticed(doomed)


def forgery_is_noticed(doomed: Ending) -> None:
    """Any changed byte, and every part that another certificate could lend."""
    folder = doomed.practice.data.certificates
    (path,) = folder.glob("decommission-*.json")
    data, key = path.read_bytes(), (folder / "disposal.pem").read_bytes()
    assert verify_decommission.problems_of(data, key) == []
    for at in range(0, len(data), 211):
        bad = bytearray(data)
        bad[at] ^= 1
        assert verify_decommission.problems_of(bytes(bad), key), at


def verified(certificate: Path, folder: Path) -> tuple[int, bytes]:
    """As a stranger does, with two files and Python."""
    folder.mkdir()
    for name in ("verify_decommission.py", "verify_certificate.py"):
        (folder / name).write_bytes((ROOT / "archive" / name).read_bytes())
    line = [sys.executable, "-I", str(folder / "verify_decommission.py"), str(certificate)]
    line += ["--public-key", str(certificate.with_name("disposal.pem"))]
    done = subprocess.run(line, cwd=folder, env={}, capture_output=True, check=False, timeout=30)
    return done.returncode, done.stdout


def killed_after_a_new_step(doomed: Ending, known: list[str], note: Path) -> str:
    """Go on in a process of its own, which dies as soon as it has done a step that was not done before."""
    note.unlink(missing_ok=True)
    if (child := os.fork()) == 0:
        data = doomed.practice.data
        run = (data, front_door_wiring.settings_of(data), decommission_order.read(data), SystemClock())
        DecommissionRun(*run, lambda step: None if step in known else die(step, note), LEFT).finish()
        os._exit(0)
    os.waitpid(child, 0)
    return note.read_text("utf-8") if note.exists() else ""


def die(step: str, note: Path) -> None:
    note.write_text(step, "utf-8")
    os.kill(os.getpid(), signal.SIGKILL)
