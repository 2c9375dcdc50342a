"""The table of commands, driven as programs against a running practice, in the order of one message's life.

Other programs call these commands: fields may be added here, never renamed or dropped.
"""

from __future__ import annotations

import json
import os
import re
import smtplib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance import index_health
from appliance.data_directory import DataDirectory
from appliance.message_trace import UNKNOWN_ID
from appliance.wiring import Appliance
from tests import running_practice
from tests.running_practice import ROOT, RunningPractice

ANN, RUTH, PAUL, ADA, DESK = (f"{name}@clinic.example" for name in ("ann", "ruth", "paul", "ada", "desk"))
ROLES = {ANN: "clinician", RUTH: "records", PAUL: "approver", ADA: "admin", DESK: "frontdesk"}
PASSING = b"From: shop@example.net\r\nTo: ann@clinic.example\r\nSubject: Paper clips\r\n\r\n.\r\nclips for sale\r\n"
KEPT = b"From: lab@example.net\r\nTo: ann@clinic.example\r\nSubject: Results\r\n\r\nthe quokka report\r\n"
SCHEDULE = """
[category.passing]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"

[category.medical]
retain = "10 years"
clock = "receipt"
citation = "State law"

[[rule]]
category = "passing"
match = 'subject:"paper clips"'

[[rule]]
category = "medical"
match = "quokka"
"""


@pytest.fixture
def practice(tmp_path: Path) -> RunningPractice:
    return running_practice.made(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_answers_as_the_table_says(practice: RunningPractice) -> None:
    people_are_added(practice)
    with practice.serving():
        mail_comes_in(practice)
        people_sign_in(practice)
        message = mail_is_listed_and_shown(practice)
        archive_is_searched(practice)
        search_engine_is_changed(practice)
        schedule_is_changed_by_two(practice)
        hold_keeps_and_is_released_by_two(practice)
        certificate = disposal_is_approved_by_another_and_run(practice, message)
        certificate_is_checked(practice, certificate)
        nothing_is_left(practice, message)
        accounts_are_reset_closed_and_opened_again(practice)
        record_is_whole(practice)
    commands_work_without_serve(practice)


def people_are_added(practice: RunningPractice) -> None:
    for email, role in ROLES.items():
        told = practice.add_user(email, role)
        assert (told["email"], told["role"]) == (email, role)
        assert told["app_password"]
        assert told["totp_secret"]
    told = practice.told("patient", "add", "pat@home.example", "--name", "Pat")
    assert told["email"] == "pat@home.example"
    assert told["enrolment_code"]
    assert told["portal_url"] == f"https://localhost:{practice.base + 443}/"
    assert practice.refused("patient", "add", "pat@home.example", "--name", "Pat")["code"] == "account_exists"


def accounts_are_reset_closed_and_opened_again(practice: RunningPractice) -> None:
    password = ("--password-file", str(practice.password_file))
    old = dict(practice.people)
    practice.people[ANN] = practice.told("user", "reset", ANN, *password)["totp_secret"]
    assert practice.people[ANN] != old[ANN]
    assert practice.refused("message", "list", ANN, "--as", ANN)["code"] == "not_signed_in"
    practice.sign_in(ANN)
    assert practice.told("user", "close", ANN)["state"] == "closed"
    assert practice.refused("message", "list", ANN, "--as", ANN)["code"] == "not_signed_in"
    states = {each["email"]: each["state"] for each in practice.told("user", "list")["items"]}
    assert (states[ANN], states[RUTH]) == ("closed", "active")
    practice.until(lambda: mailbox_is_refused(practice, ANN))
    practice.people[ANN] = practice.told("user", "reset", ANN, *password)["totp_secret"]
    practice.sign_in(ANN)
    practice.until(lambda: not mailbox_is_refused(practice, ANN))
    assert practice.told("patient", "close", "pat@home.example")["state"] == "closed"
    assert practice.refused("patient", "close", ANN)["code"] == "not_found"
    assert practice.refused("user", "close", "pat@home.example")["code"] == "not_found"
    told = practice.told("user", "role", RUTH, "--role", "approver")
    assert (told["former"], told["role"]) == ("records", "approver")
    assert practice.refused("archive", "search", "x", "--as", RUTH)["code"] == "not_signed_in"
    practice.told("user", "role", RUTH, "--role", "records")
    practice.sign_in(RUTH)
    assert practice.refused("user", "close", ADA)["message"] == "this is the last administrator"
    assert practice.refused("user", "role", ADA, "--role", "records")["message"] == "this is the last administrator"


def mailbox_is_refused(practice: RunningPractice, email: str) -> bool:
    with smtplib.SMTP("127.0.0.1", practice.base + 25, timeout=30) as client:
        client.ehlo()
        client.mail("shop@example.net")
        code, words = client.rcpt(email)
    is_refused = bool(code == 550)
    assert words.startswith(b"5.1.1" if is_refused else b"2.1.5")
    return is_refused


def mail_comes_in(practice: RunningPractice) -> None:
    for content in (PASSING, KEPT):
        practice.deliver(content, sender="shop@example.net", recipients=[ANN])
    practice.until(lambda: practice.told("archive", "status")["indexed"] == 2)
    status = practice.told("archive", "status")
    assert {name: status[name] for name in ("accepted", "archived", "indexed", "backlog")} == {
        "accepted": 2,
        "archived": 2,
        "indexed": 2,
        "backlog": 0,
    }


def people_sign_in(practice: RunningPractice) -> None:
    assert practice.refused("message", "list", ANN, "--as", ANN)["code"] == "not_signed_in"
    for email in (ANN, RUTH, PAUL, ADA):
        expires_at = instant(practice.sign_in(email)["expires_at"])
        assert timedelta(0) < expires_at - datetime.now(UTC) <= timedelta(hours=12)  # noqa: TID251 - the real clock is the judge


def mail_is_listed_and_shown(practice: RunningPractice) -> str:
    told = practice.told("message", "list", ANN, "--as", ANN)
    assert told["total"] == 2
    item = next(each for each in told["items"] if each["subject"] == "Paper clips")
    assert (item["from"], item["to"], item["size_bytes"]) == ("shop@example.net", ANN, len(PASSING))
    assert abs(datetime.now(UTC) - instant(item["received_at"])) < timedelta(minutes=15)  # noqa: TID251 - as above
    message = str(item["id"])
    assert practice.told("message", "show", message, "--as", ANN)["subject"] == "Paper clips"
    assert practice.run("message", "show", message, "--raw", "--as", ANN, json=False).stdout == PASSING
    trace = practice.told("message", "trace", message)
    (recipient,) = trace["recipients"]
    assert (recipient["address"], recipient["route"], recipient["state"]) == (ANN, "mailbox", "delivered")
    assert recipient["reasons"]
    assert trace["events"][0]["event"] == "message.accepted"
    assert all(instant(event["at"]) for event in trace["events"])
    hidden = practice.refused("message", "show", message, "--as", ADA)
    assert (hidden["code"], hidden["fix"]) == ("not_found", UNKNOWN_ID)
    assert practice.told("message", "show", message, "--as", PAUL)["id"] == message
    assert practice.refused("message", "list", ANN, "--as", RUTH)
    return message


def archive_is_searched(practice: RunningPractice) -> None:
    told = practice.told("archive", "search", "quokka subject:results", "--limit", "5", "--as", RUTH)
    assert (told["total"], told["not_indexed"]) == (1, 0)
    assert told["index_age_seconds"] >= 0
    (item,) = told["items"]
    assert (item["subject"], item["from"]) == ("Results", "lab@example.net")
    assert instant(item["received_at"])
    assert any("quokka" in highlight for highlight in item["highlights"])
    assert practice.refused("archive", "search", "quokka", "--as", ANN)["code"] == "not_permitted"
    error = practice.refused("archive", "search", "quokka (", "--as", RUTH)
    assert error["position"] >= 7
    results_are_narrowed_and_saved(practice)


def results_are_narrowed_and_saved(practice: RunningPractice) -> None:
    told = practice.told("archive", "search", "quokka", "--facets", "--order", "relevance", "--as", RUTH)
    counts = {(each["facet"], each["value"]): each["count"] for each in told["facets"]}
    assert told["facets_are_complete"]
    for (facet, value), count in counts.items():
        narrow = ("archive", "search", "quokka", "--narrow", f"{facet}={value}", "--as", RUTH)
        assert practice.told(*narrow)["total"] == count
    file = practice.run("archive", "search", "quokka", "--csv", "--as", RUTH, json=False).stdout
    assert file.count(b"\r\n") == told["total"] + 1
    assert practice.told("archive", "search", "quokka", "--csv", "--as", RUTH)["csv"].encode() == file
    assert practice.refused("archive", "search", "quokka", "--narrow", "colour=red", "--as", RUTH)
    added = practice.told("archive", "saved", "add", "quokka", "--name", "The quokka", "--daily", "--as", RUTH)
    assert practice.told("archive", "saved", "list", "--as", PAUL)["total"] == 0
    assert practice.refused("archive", "saved", "run", added["id"], "--as", PAUL)["code"] == "not_found"
    changed = practice.told("archive", "saved", "change", added["id"], "--name", "It", "--daily", "no", "--as", RUTH)
    assert (changed["name"], changed["is_daily"]) == ("It", False)
    assert practice.told("archive", "saved", "run", added["id"], "--as", RUTH)["total"] == told["total"]
    practice.told("archive", "saved", "remove", added["id"], "--as", RUTH)
    assert practice.told("archive", "saved", "list", "--as", RUTH)["total"] == 0
    assert practice.told("archive", "unread", "--as", RUTH)["total"] == 0


def search_engine_is_changed(practice: RunningPractice) -> None:
    """While serve runs: its roles follow, and the disposal that comes later takes mail out of the new one."""
    before = practice.told("archive", "engine", "show")
    assert (before["engine"], before["messages"], before["building"]) == ("whoosh", 2, None)
    assert before["query_p95_ms"] > 0
    other_engine_is_proposed_with_both_times(practice)
    changed = practice.told("archive", "engine", "set", "sqlite")
    assert changed["is_changed"]
    assert changed["queries_compared"] > 0
    assert not practice.told("archive", "engine", "set", "sqlite")["is_changed"]
    status = practice.told("archive", "status")
    assert (status["engine"], status["indexed"]) == ("sqlite", 2)
    assert status["index_bytes"] > 0
    assert (status["lag_seconds"], status["not_indexed"], status["unread_parts"]) == (0.0, [], [])
    assert instant(status["newest_indexed_at"])
    assert practice.told("archive", "search", "quokka subject:results", "--as", RUTH)["total"] == 1
    assert practice.told("archive", "search", "clips", "--as", RUTH)["is_complete"]


def other_engine_is_proposed_with_both_times(practice: RunningPractice) -> None:
    """As the doctor does beyond 50,000 messages; here beyond one."""
    with Appliance.opened(DataDirectory(practice.data)) as appliance:
        report = index_health.proposal(appliance, indexed=2, most=1)
    assert report is not None
    assert re.search(r"of 2 messages take up to \d+ ms here; with the engine sqlite about \d+ ms", report.told)
    assert "strongroom archive engine set sqlite" in report.fix


def schedule_is_changed_by_two(practice: RunningPractice) -> None:
    suggested = practice.run("schedule", "show", "--toml", json=False)
    assert suggested.stdout.count(b"[category.") >= 4
    file = practice.data.parent / "schedule.toml"
    file.write_text(SCHEDULE, "utf-8")
    assert practice.told("schedule", "simulate", str(file), "--as", RUTH)["newly_due"] == 1
    proposed = practice.told("schedule", "propose", str(file), "--as", RUTH)["id"]
    assert practice.refused("schedule", "approve", proposed, "--as", RUTH)["code"] == "second_person_needed"
    practice.told("schedule", "approve", proposed, "--as", PAUL)
    shown = practice.told("schedule", "show")
    assert [each["name"] for each in shown["categories"]] == ["passing", "medical"]
    assert practice.run("schedule", "show", "--toml", json=False).stdout.decode() == SCHEDULE
    file.write_text(SCHEDULE.replace("0 days", "soon"), "utf-8")
    assert practice.refused("schedule", "propose", str(file), "--as", RUTH)


def hold_keeps_and_is_released_by_two(practice: RunningPractice) -> None:
    asked = ("--name", "Clips v. Clinic", "--reason", "Letter of counsel", "--custodian", ANN, "--query", "clips")
    placed = practice.told("hold", "place", *asked, "--since", "2020-01-01", "--as", RUTH)
    assert placed["matched"] == 1
    (item,) = practice.told("hold", "list")["items"]
    wanted = {"id": placed["id"], "name": "Clips v. Clinic", "state": "active", "custodians": [ANN], "query": "clips"}
    assert {name: item[name] for name in wanted} == wanted
    assert (item["since"], item["until"], item["matched"]) == ("2020-01-01", None, 1)
    proposed = practice.told("disposal", "propose", "--as", RUTH)
    assert (proposed["messages"], proposed["held"]) == (0, 1)
    practice.told("hold", "release", placed["id"], "--reason", "Settled", "--as", RUTH)
    assert practice.refused("hold", "approve-release", placed["id"], "--as", RUTH)["code"] == "second_person_needed"
    released = practice.told("hold", "approve-release", placed["id"], "--as", PAUL)
    assert released["due_total"] == 1
    assert practice.told("hold", "list")["items"][0]["state"] == "released"


def disposal_is_approved_by_another_and_run(practice: RunningPractice, message: str) -> Path:
    proposed = practice.told("disposal", "propose", "--as", RUTH)
    assert (proposed["messages"], proposed["held"]) == (1, 0)
    disposal, set_hash = proposed["id"], proposed["set_hash"]
    assert practice.refused("disposal", "run", disposal, "--as", RUTH)
    shown = practice.told("disposal", "show", disposal)
    assert (shown["state"], [item["id"] for item in shown["items"]]) == ("proposed", [message])
    approve = ("disposal", "approve", disposal, "--set-hash")
    assert practice.refused(*approve, set_hash, "--as", RUTH)
    assert practice.refused(*approve, "00" * 32, "--as", PAUL)["code"] == "wrong_set_hash"
    assert practice.told(*approve, set_hash, "--as", PAUL)["state"] == "approved"
    done = practice.told("disposal", "run", disposal, "--as", RUTH)
    assert (done["destroyed"], done["kept"]) == (1, [])
    assert practice.told("disposal", "show", disposal)["state"] == "completed"
    return Path(done["certificate"])


def certificate_is_checked(practice: RunningPractice, certificate: Path) -> None:
    assert practice.told("certificate", "verify", str(certificate)) | {"public_key": ""} == {
        "valid": True,
        "problems": [],
        "public_key": "",
    }
    assert certificate.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    (key,) = certificate.parent.glob("*.pem")
    verifier = ROOT / "archive" / "verify_certificate.py"
    alone = [sys.executable, "-I", str(verifier), str(certificate), "--public-key", str(key)]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 0
    forged = certificate.parent.parent.parent / "forged.json"
    forged.write_bytes(certificate.read_bytes().replace(b"Lakeside", b"Seaside "))
    answer = practice.run("certificate", "verify", str(forged))
    assert (answer.code, answer.json["valid"]) == (1, False)
    assert answer.json["problems"]


def nothing_is_left(practice: RunningPractice, message: str) -> None:
    assert practice.refused("message", "show", message, "--as", ANN)["code"] in {"destroyed", "not_found"}
    assert practice.told("message", "list", ANN, "--as", ANN)["total"] == 1
    assert practice.told("archive", "search", "clips", "--as", RUTH)["total"] == 0


def record_is_whole(practice: RunningPractice) -> None:
    tail = practice.told("audit", "tail", "-n", "500")
    assert tail["total"] == len(tail["items"])
    assert all(instant(item["at"]) and item["actor"] and item["event"] for item in tail["items"])
    assert all("object" in item for item in tail["items"])
    searches = [item["actor"] for item in tail["items"] if item["event"] == "archive.searched"]
    assert set(searches) == {RUTH}
    whole = practice.told("audit", "verify")
    assert whole["entries"] == tail["total"]
    assert len(bytes.fromhex(whole["tree_root"])) == 32
    found = practice.told("doctor")["items"]
    assert {item["state"] for item in found} <= {"ok", "warn"}
    assert {"check", "state", "message", "fix", "applies"} <= set(found[0])
    assert all(item["state"] == "ok" for item in found if item["check"].startswith("port "))


def commands_work_without_serve(practice: RunningPractice) -> None:
    assert practice.told("message", "list", ANN, "--as", ANN)["total"] == 1
    practice.told("sign-out", ANN)
    assert practice.refused("message", "list", ANN, "--as", ANN)["code"] == "not_signed_in"


def test_directory_may_be_named_before_after_or_by_the_environment(practice: RunningPractice) -> None:
    program = [sys.executable, "-m", "appliance.cli"]
    named = ["--data", str(practice.data)]
    calls = [
        ([*program, *named, "--json", "audit", "verify"], {}),
        ([*program, "audit", *named, "verify", "--json"], {}),
        ([*program, "audit", "verify", "--json", *named], {}),
        ([*program, "audit", "verify", "--json"], {"STRONGROOM_DATA": str(practice.data)}),
    ]
    for words, environment in calls:
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["entries"] == 4, "made, its clock begun, and two keys that sign mail"


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["message"],
        ["message", "show"],
        ["user", "add", "x@clinic.example", "--name", "X", "--role", "king", "--password-file", "f"],
        ["audit", "tail", "-n", "many"],
        ["init", "--practice", "X"],
        ["doctor", "--unknown"],
    ],
)
def test_wrong_call_ends_with_2_and_still_one_json_object(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from appliance import cli  # noqa: PLC0415 - everything else here talks to the program from outside

    assert cli.main([*words, "--json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["error"]["code"] == "wrong_call"
    assert cli.main(words) == 2
    assert capsys.readouterr().out == ""


def instant(text: Any) -> datetime:
    """A time as the contract writes it: RFC 3339, in UTC, with Z."""
    assert str(text).endswith("Z")
    return datetime.fromisoformat(str(text))
