"""From the records that a practice prints to a name server that shows them, and the doctor that looks there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rdata
import dns.tokenizer
import pytest

from appliance import dkim_wiring
from appliance.data_directory import DataDirectory
from appliance.relayed_message import RelayedMessage
from appliance.wiring import Appliance
from tests import dkim_verifier, dns_room, running_practice
from tests.dns_room import OutsideDns
from tests.running_practice import RunningPractice

V4, V6 = "203.0.113.7", "2001:db8::7"


@pytest.fixture
def outside() -> Iterator[OutsideDns]:
    with dns_room.served(OutsideDns()) as served:
        yield served


@pytest.fixture
def practice(tmp_path: Path, outside: OutsideDns) -> RunningPractice:
    """One that is not on the loopback: strangers are to find it."""
    made = RunningPractice(tmp_path / "data", 0)
    made.told("init", "--practice", "Lakeside Clinic", "--domain", running_practice.DOMAIN)
    path = made.data / "strongroom.toml"
    text = path.read_text("utf-8").replace('validating_resolver = ""', 'validating_resolver = "127.0.0.1"')
    text = text.replace("validating_resolver_port = 53", f"validating_resolver_port = {outside.port}")
    path.write_text(text.replace('addresses = ""', f'addresses = "{V4} {V6}"'), "utf-8")
    return made


def publish(practice: RunningPractice, outside: OutsideDns) -> None:
    """Type what the command printed into the name server."""
    outside.records.clear()
    for item in practice.told("dns", "records")["items"]:
        value = item["zone"].split(f" IN {item['type']} ", 1)[1]
        outside.records.setdefault((item["name"], item["type"]), []).append(value)


def dns_lines(practice: RunningPractice) -> dict[str, Any]:
    answer = practice.run("doctor", "--quick")
    lines = {item["check"]: item for item in answer.json["items"] if item["check"].startswith("dns")}
    assert not lines.pop("dns policy", {"applies": False})["applies"], "nobody serves here"
    return lines


def states(practice: RunningPractice) -> set[str]:
    return {item["state"] for item in dns_lines(practice).values()}


def test_doctor_is_content_once_everything_printed_is_published(practice: RunningPractice, outside: OutsideDns) -> None:
    before = dns_lines(practice)
    assert len(before) == 10, "a line for each purpose"
    assert before["dns mx"]["state"] == "fail"
    publish(practice, outside)
    assert {check: item for check, item in dns_lines(practice).items() if item["state"] != "ok"} == {}
    zone_file_holds_every_record(practice)
    mail_that_is_signed_verifies_by_what_is_published(practice)
    outside.asked.clear()
    path = practice.data / "strongroom.toml"
    path.write_text(path.read_text("utf-8").replace("is_public = true", "is_public = false"), "utf-8")
    assert {item["applies"] for item in dns_lines(practice).values()} == {False}, (
        "nobody looks for it, so nothing is held against the DNS"
    )
    assert outside.asked == []


def mail_that_is_signed_verifies_by_what_is_published(practice: RunningPractice) -> None:
    printed = {item["name"]: item["value"] for item in practice.told("dns", "records")["items"]}
    letter = b"From: a@clinic.example\r\nSubject: hello\r\n\r\nhello\r\n"
    with Appliance.opened(DataDirectory(practice.data)) as appliance:
        signing = dkim_wiring.signing(appliance)
        signed = signing.signed(RelayedMessage(letter, has_8bit=False, has_utf8_fields=False))
        assert dkim_verifier.verdicts(signed.content, printed) == [True, True]
        assert not dkim_wiring.begin(
            appliance.database, appliance.settings, appliance.ring, now=appliance.clock.now()
        ), "what was begun is not begun again"


def zone_file_holds_every_record(practice: RunningPractice) -> None:
    told = practice.run("dns", "records", "--zone", json=False).stdout.decode()
    items = practice.told("dns", "records")["items"]
    assert [item["zone"] for item in items if item["zone"] not in told] == []
    for line in told.splitlines():
        if not line.startswith(";"):
            _name, _ttl, _in, kind, value = line.split(maxsplit=4)
            dns.rdata.from_text("IN", kind, dns.tokenizer.Tokenizer(value))


def test_keys_are_changed_only_once_the_dns_shows_the_new_ones(practice: RunningPractice, outside: OutsideDns) -> None:
    publish(practice, outside)
    assert practice.refused("dns", "dkim", "activate")["message"] == "no keys are prepared"
    prepared = practice.told("dns", "dkim", "prepare")["items"]
    refusal = practice.refused("dns", "dkim", "activate")
    assert all(item["name"] in refusal["message"] for item in prepared)
    publish(practice, outside)
    signing = practice.told("dns", "dkim", "activate")["items"]
    assert {item["selector"] for item in signing} == {item["selector"] for item in prepared}
    known = practice.told("dns", "dkim", "list")["items"]
    assert sorted(item["state"] for item in known) == ["retired", "retired", "signing", "signing"]
    assert states(practice) == {"ok"}, "the records of the retired keys stay for a while"
    key_of_the_next_certificate_is_published_before_it_is_used(practice, outside)


def key_of_the_next_certificate_is_published_before_it_is_used(practice: RunningPractice, outside: OutsideDns) -> None:
    told = practice.told("dns", "tlsa", "prepare")
    assert Path(told["path"]).stat().st_mode & 0o777 == 0o600
    lines = dns_lines(practice)
    assert lines["dns tlsa"]["state"] == "warn"
    assert told["values"][1] in lines["dns tlsa"]["fix"]
    publish(practice, outside)
    assert sorted(outside.records[told["name"], "TLSA"]) == sorted(told["values"])
    assert states(practice) == {"ok"}
    assert practice.refused("dns", "tlsa", "prepare")
