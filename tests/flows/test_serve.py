"""``serve`` as a process tree: ready, restarted, ended, killed; and who may know which keys."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import policy_health, published_names
from appliance.data_directory import DataDirectory
from appliance.health_finding import State
from appliance.wiring import Appliance
from mailstore.key_hierarchy import KeyRing
from tests import running_practice
from tests.process_memory_room import memory_of
from tests.running_practice import RunningPractice, children_of, ring_of

LETTER = b"From: a@example.net\r\nSubject: hello\r\n\r\nhello there\r\n"


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> RunningPractice:
    made = running_practice.made(tmp_path_factory.mktemp("serve"))
    made.add_user("ann@clinic.example", "clinician")
    settings = made.data / "strongroom.toml"
    settings.write_text(settings.read_text("utf-8").replace("processes = 1\n", "processes = 2\n", 1), "utf-8")
    return made


@pytest.fixture(scope="module")
def serve(practice: RunningPractice) -> Iterator[int]:
    with practice.serving() as process:
        yield process.pid


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(is_alive(process) for process in processes):
        assert time.monotonic() < deadline, "a role outlived its parent"
        time.sleep(0.05)


def test_pages_and_mail_answer_over_tls_of_the_generated_authority(practice: RunningPractice, serve: int) -> None:
    del serve
    address = f"https://localhost:{practice.base + 443}/"
    with urllib.request.urlopen(address, context=practice.trusting()) as answer:
        assert answer.status == 200
    practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])


def test_policy_and_setup_are_served_under_their_own_names(practice: RunningPractice, serve: int) -> None:
    del serve
    status, policy = practice.asked_as(f"mta-sts.{running_practice.DOMAIN}", "/.well-known/mta-sts.txt")
    assert (status, policy[:15]) == (200, b"version: STSv1\r")
    status, setup = practice.asked_as(f"autoconfig.{running_practice.DOMAIN}", "/mail/config-v1.1.xml?emailaddress=a")
    assert (status, f"<port>{practice.base + 465}</port>".encode() in setup) == (200, True)
    assert practice.asked_as(f"mta-sts.{running_practice.DOMAIN}", "/sign-in") == (404, b"")


def test_doctor_fetches_the_policy_as_others_do(practice: RunningPractice, serve: int) -> None:
    del serve
    with Appliance.opened(DataDirectory(practice.data)) as appliance:
        names = published_names.offered(appliance.settings)
        state, told, _fix = policy_health.served(appliance, names)
        assert (state, "own authority" in told) == (State.WARN, True)
        state, told, _fix = policy_health.served(appliance, replace(names, mta_sts_mode="enforce"))
        assert (state, "another policy" in told) == (State.FAIL, True)
        state, told, fix = policy_health.served(appliance, replace(names, domain="other.example"))
        assert (state, "mta-sts.other.example" in fix) == (State.WARN, True)
        assert "mismatch" in told


def test_second_serve_on_one_directory_is_refused(practice: RunningPractice, serve: int) -> None:
    error = practice.refused("serve")
    assert str(serve) in error["message"]


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may look into another process's memory")


def test_mail_goes_on_being_taken_while_one_of_the_processes_that_take_it_is_away(
    practice: RunningPractice, serve: int
) -> None:
    stopped = children_of(serve)["smtp"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])
    finally:
        os.kill(stopped, signal.SIGCONT)


def everybody_under(serve: int) -> list[int]:
    """The roles, and the processes that store what they take."""
    roles = children_of(serve).values()
    return [*roles, *(each for role in roles for each in children_of(role, suffix="-commit").values())]


def test_process_that_stores_mail_may_fall_and_mail_goes_on(practice: RunningPractice, serve: int) -> None:
    role = children_of(serve)["smtp-2"]
    (fallen,) = children_of(role, suffix="-commit").values()
    os.kill(fallen, signal.SIGKILL)
    wait_until_gone([fallen])
    practice.until(lambda: children_of(serve).get("smtp-2", role) != role)
    practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])


@needs_root
def test_role_facing_the_internet_holds_no_key_that_opens_mail(practice: RunningPractice, serve: int) -> None:
    ring = ring_of(DataDirectory(practice.data))
    for name in ("smtp", "smtp-2"):
        role = children_of(serve)[name]
        for process in (role, *children_of(role, suffix="-commit").values()):
            holds_only_deposit_keys(process, ring)


@needs_root
def test_no_process_but_the_key_agent_holds_what_opens_every_message_or_backup(
    practice: RunningPractice, serve: int
) -> None:
    ring = ring_of(DataDirectory(practice.data))
    memories = {name: memory_of(process) for name, process in children_of(serve).items()}
    assert ring.capture_private in memories.pop("agent"), "the memory was not read"
    memories["supervisor"] = memory_of(serve)
    assert ring.row_key in memories["mail"], "the memory was not read"
    assert ring.row_key not in memories["supervisor"]
    for memory in memories.values():
        for key in (
            ring.capture_private,
            ring.data_recovery,
            ring.keys_recovery,
            ring.audit_seed,
            ring.certificate_seed,
        ):
            assert key not in memory
            assert key.hex().encode() not in memory


def holds_only_deposit_keys(process: int, ring: KeyRing) -> None:
    deadline = time.monotonic() + 60  # one that was started again gets its keys in a moment
    while ring.row_key not in (memory := memory_of(process)):
        assert time.monotonic() < deadline, "the memory was not read"
        time.sleep(0.1)
    for key in (ring.capture_private, ring.account_key, ring.archive_key, ring.index_key, ring.audit_seed):
        assert key not in memory
        assert key.hex().encode() not in memory


def test_role_that_died_is_started_again_and_logged(practice: RunningPractice, serve: int) -> None:
    before = children_of(serve)
    assert set(before) == {"agent", "smtp", "smtp-2", "mail", "worker"}
    os.kill(before["smtp"], signal.SIGKILL)
    practice.until(lambda: children_of(serve).get("smtp", before["smtp"]) != before["smtp"])
    practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])
    log = (practice.data / "log" / "supervisor.log").read_text("utf-8")
    fallen = [json.loads(line) for line in log.splitlines() if "fell" in line]
    assert [(line["fallen_role"], line["exit_code"]) for line in fallen][-1] == ("smtp", -signal.SIGKILL)
    started_again = Path(f"/proc/{children_of(serve)['smtp']}/cmdline").read_bytes().split(b"\0")
    assert b"appliance.roles" in started_again, "a fork of a process that has the keys"


@needs_root
def test_role_started_again_by_a_parent_that_has_every_key_has_none_of_them(
    practice: RunningPractice, serve: int
) -> None:
    before = children_of(serve)["smtp"]
    os.kill(before, signal.SIGKILL)
    practice.until(lambda: children_of(serve).get("smtp", before) != before)
    ring = ring_of(DataDirectory(practice.data))
    practice.until(lambda: ring.row_key in memory_of(children_of(serve)["smtp"]))
    holds_only_deposit_keys(children_of(serve)["smtp"], ring)


def test_keys_are_neither_in_arguments_nor_in_the_environment(practice: RunningPractice, serve: int) -> None:
    ring = ring_of(DataDirectory(practice.data))
    for process in children_of(serve).values():
        told = b"".join(Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ"))
        for key in ring.members().values():
            assert key not in told
            assert key.hex().encode() not in told


def test_core_dumps_are_off_in_every_process(serve: int) -> None:
    for process in [serve, *children_of(serve).values()]:
        limits = Path(f"/proc/{process}/limits").read_text("utf-8")
        assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]


def test_all_roles_together_stay_within_400_megabytes(serve: int) -> None:
    processes = [serve, *everybody_under(serve)]
    total = 0
    for process in processes:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text("utf-8")
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    assert total < 400 * 1024


def test_sigterm_ends_the_whole_tree_and_says_done(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    process = practice.start()
    practice.ready_line(process)
    roles = list(children_of(process.pid).values())
    assert practice.stop(process) == 0
    wait_until_gone(roles)
    assert (practice.data / "run" / "serve.pid").read_text("utf-8") == ""


def test_sigkill_of_the_parent_ends_every_role_and_serve_starts_again(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    practice.add_user("ann@clinic.example", "clinician")
    process = practice.start()
    practice.ready_line(process)
    practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])
    roles = list(children_of(process.pid).values())
    process.kill()
    practice.stop(process)
    wait_until_gone(roles)
    with practice.serving():
        practice.until(lambda: practice.told("archive", "status")["indexed"] == 1)


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    with socket.create_server(("127.0.0.1", practice.base + 587)):
        error = practice.refused("serve")
    assert str(practice.base + 587) in error["message"]


def test_bad_settings_stop_the_start_with_every_line_named(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    settings = practice.data / "strongroom.toml"
    settings.write_text(settings.read_text("utf-8") + '\n[[outbound.route]]\ndomain = "a"\ncolour = "red"\n', "utf-8")
    error = practice.refused("serve")
    assert error["code"] == "bad_settings"
    assert "outbound.route.0.domain" in error["message"]
    assert "outbound.route.0.colour" in error["message"]


def test_client_with_old_tls_is_refused(practice: RunningPractice, serve: int) -> None:
    del serve
    context = practice.trusting()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", practice.base + 443)) as raw,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(raw, server_hostname="localhost")
