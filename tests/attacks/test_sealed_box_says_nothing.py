"""Threat: a machine that was rebooted, and somebody in front of it, in its network or with an account on it.

Until a person unseals, mail comes in and nothing comes out: no page, no command, no sign-in tells anything that it
could not tell of an empty machine, and nothing on the disk can be read.
"""

from __future__ import annotations

import base64
import http.client
import json
import smtplib
from collections.abc import Iterator

import pytest

from appliance.demo import plain_text_scan
from tests.running_practice import DOMAIN
from tests.sealed_practice import ADMIN, ALICE, PASSPHRASE, SealedPractice, said

CANARIES = ("Quillwort", "Bluethroat", "Sandlanceotter")
PATHS = ("/", "/sign-in", "/inbox", "/m/abc", "/archive?q=1", "/admin", "/static/none.css", "/favicon.ico", "/%00")


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedPractice]:
    made = SealedPractice(tmp_path_factory.mktemp("sealed-box"))
    process = made.running.start()
    try:
        ready = made.running.ready_line(process)
        assert (ready["ready"], ready["sealed"]) == (True, True)
        made.deliver(CANARIES[0], body=CANARIES[1])
        yield made
    finally:
        made.running.stop(process)


def test_mail_is_taken_for_those_who_are_here_and_for_nobody_else(practice: SealedPractice) -> None:
    for address in (ALICE, ALICE.upper(), f"postmaster@{DOMAIN}", f"notices+x@{DOMAIN}"):
        practice.deliver(CANARIES[2], to=address)
    for address in (f"nobody@{DOMAIN}", f"alice+x@{DOMAIN}", "patient@elsewhere.example", f"a%b@{DOMAIN}"):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            practice.deliver("x", to=address)
        ((code, _text),) = refused.value.recipients.values()
        assert code == 550, address


def test_every_page_is_the_same_page(practice: SealedPractice) -> None:
    first = practice.page("/")
    assert first.status == 503
    assert first.headers["retry-after"] == "600"
    assert "no-store" in first.headers["cache-control"]
    for path in PATHS:
        for method, cookie in (("GET", ""), ("GET", "session=0123"), ("POST", ""), ("DELETE", "")):
            found = practice.page(path, method, cookie=cookie)
            assert found.status == 503
            assert found.body == first.body
            assert found.headers.keys() == first.headers.keys()
            assert {**found.headers, "date": ""} == {**first.headers, "date": ""}
    assert practice.page("/static/strongroom.css").status == 200


def test_policy_that_others_need_to_send_us_mail_is_told_all_the_same(practice: SealedPractice) -> None:
    status, policy = practice.running.asked_as(f"mta-sts.{DOMAIN}", "/.well-known/mta-sts.txt")
    assert (status, policy[:15]) == (200, b"version: STSv1\r")
    assert practice.running.asked_as(f"mta-sts.{DOMAIN}", "/unseal") == (404, b"")


def test_nobody_signs_in_and_every_login_hears_the_same(practice: SealedPractice) -> None:
    heard = []
    for login, password in ((ALICE, "right-or-wrong"), ("nobody@x.example", "p"), (ADMIN, "p")):
        offered = base64.b64encode(f"\0{login}\0{password}".encode()).decode()
        with practice.submission() as connection:
            said(connection, "EHLO client.example")
            answers = [said(connection, f"AUTH PLAIN {offered}") for _ in range(3)]
            reply = answers[0][0]
            heard += [each for each, _ in answers]
            assert reply.startswith("454 4.7.0 ")
            assert min(seconds for _, seconds in answers) < 1.0, "not at once"
            assert said(connection, "AUTH LOGIN")[0] == reply
            assert said(connection, f"MAIL FROM:<{login}>")[0].startswith("451 4.3.2 ")
    assert len(set(heard)) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("doctor",),
        ("message", "list", ALICE, "--as", ALICE),
        ("user", "add", f"x@{DOMAIN}", "--name", "X", "--role", "admin", "--password-file", "none"),
    ],
)
def test_every_command_says_one_thing(practice: SealedPractice, words: tuple[str, ...]) -> None:
    answer = practice.running.run(*words)
    assert answer.code == 1
    assert answer.json == {
        "error": {
            "code": "sealed",
            "message": "temporarily unavailable",
            "fix": "unseal it: strongroom unseal",
        }
    }


def test_a_secret_on_the_line_opens_nothing_past_the_seal(practice: SealedPractice) -> None:
    answer = practice.running.run("archive", "status", "--key-file", str(practice.key_file))
    assert answer.json["error"]["code"] == "sealed"


def test_nothing_that_came_is_readable_on_the_disk(practice: SealedPractice) -> None:
    waiting = sorted((practice.data / "sealed-spool").glob("*.segment"))
    assert waiting
    words = (*CANARIES, ALICE, ADMIN, "elsewhere.example", PASSPHRASE)
    found = [each for each in plain_text_scan.findings(practice.data, words) if each.path.name != "strongroom.toml"]
    assert found == []


def test_logs_name_neither_people_nor_how_much_came(practice: SealedPractice) -> None:
    for path in (practice.data / "log").iterdir():
        for line in path.read_text("utf-8").splitlines():
            told = json.loads(line)
            assert not {"messages", "recipients", "size_bytes"} & told.keys()
            assert "alice" not in line.lower()


def test_page_that_unseals_is_near_people_only(practice: SealedPractice) -> None:
    settings = practice.data / "strongroom.toml"
    assert practice.page("/unseal").status == 200
    assert "unseal_from" in settings.read_text("utf-8")


def test_forged_forms_try_nothing(practice: SealedPractice) -> None:
    """Neither a page of another site, nor another name for us, nor a form without our token makes a try."""
    form = f"passphrase={PASSPHRASE.replace(' ', '+')}&form_token=1.0"
    kind = {"content_type": "application/x-www-form-urlencoded"}
    assert practice.page("/unseal", "POST", body=form, **kind).status == 403
    assert practice.page("/unseal", "POST", body=form, sec_fetch_site="cross-site", **kind).status == 503
    assert practice.page("/unseal", "POST", body=form, host="evil.example", **kind).status == 503
    assert practice.page("/unseal", "POST", body="x" * 100_000, **kind).status == 403
    assert not (practice.data / "run" / "unseal-tries.json").exists()
    assert practice.is_sealed()


def test_stream_that_is_no_request_harms_nobody(practice: SealedPractice) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        practice.page("/", "GET", x="y" * 200_000)
    assert practice.is_sealed()


def test_wrong_secret_opens_nothing_and_is_counted(practice: SealedPractice) -> None:
    told = practice.running.run("unseal", "--key-file", str(practice.wrong_file))
    assert told.json["error"]["code"] == "wrong_key"
    assert practice.is_sealed()
    assert json.loads((practice.data / "run" / "unseal-tries.json").read_text())["command"]["wrong"] == 1
