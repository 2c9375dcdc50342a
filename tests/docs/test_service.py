"""The units and the wrapper that operators install agree with each other, with the program and with systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import supervisor
from appliance.command_table import ENTRIES
from appliance.commands import serve
from appliance.key_agent_policy import DOORS
from appliance.key_agent_socket import COMMANDS
from appliance.role_charge import ROLES_OF_PART, Part
from appliance.settings import Settings
from tests.repository_room import ROOT

FILES = ROOT / "ansible" / "roles" / "strongroom" / "files"
WRAPPER = FILES / "strongroom"
SERVICES = [f"strongroom-{part}.service" for part in Part]
SOCKETS = sorted(path.name for path in FILES.glob("*.socket"))
TIMERS = sorted(path.name for path in FILES.glob("*.timer"))
TIGHT = {
    "Type": "notify",
    "User": "strongroom",
    "UMask": "0077",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectProc": "invisible",
    "CapabilityBoundingSet": "",
    "SystemCallFilter": "@system-service ~@privileged",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
    "KillMode": "mixed",
}
MAY_COMPLAIN = "Failed to"
"""How the first words go when the machine has no service manager to ask; that says nothing about the unit."""


def told(name: str) -> dict[str, str]:
    """What a unit says, a setting that stands there more than once in one line."""
    found: dict[str, str] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (FILES / name).read_text("utf-8"), re.MULTILINE):
        found[key] = f"{found[key]} {value}" if key in found else value
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_unit_of_each_part_is_tight(service: str) -> None:
    assert {name: told(service).get(name) for name in TIGHT} == TIGHT


def test_whoever_enables_the_target_enables_every_part_socket_and_timer() -> None:
    target = told("strongroom.target")
    assert sorted(target["Wants"].split()) == sorted([*SERVICES, *SOCKETS, *TIMERS])
    assert target["WantedBy"] == "multi-user.target"
    others = [path.name for path in FILES.iterdir() if path.name != "strongroom.target"]
    assert [name for name in others if "[Install]" in (FILES / name).read_text("utf-8")] == [], "one way to enable"


def test_key_agent_has_no_network_and_alone_the_group_of_the_key_file() -> None:
    agent = told("strongroom-key-agent.service")
    assert (agent["PrivateNetwork"], agent["RestrictAddressFamilies"]) == ("yes", "AF_UNIX")
    groups = {service: told(service)["SupplementaryGroups"] for service in SERVICES}
    assert [service for service in SERVICES if "strongroom-keys" in groups[service]] == ["strongroom-key-agent.service"]
    assert [service for service in SERVICES if "KEY_FILE" in told(service)["Environment"]] == [
        "strongroom-key-agent.service"
    ]


def test_each_part_has_the_group_of_its_own_socket_at_the_key_agent_and_no_other() -> None:
    for door in (COMMANDS, *DOORS):
        socket = told(f"strongroom-key-agent-{door}.socket")
        assert (socket["ListenStream"], socket["FileDescriptorName"]) == (f"/run/strongroom/{door}.sock", door)
        assert (socket["SocketUser"], socket["SocketGroup"], socket["SocketMode"]) == (
            *("root", f"strongroom-{door}", "0660"),
        )
    for part in DOORS:
        assert told(f"strongroom-{part}.service")["SupplementaryGroups"] == f"strongroom-{part}"


def test_ports_are_those_of_the_settings_and_go_to_the_part_that_serves_them() -> None:
    listening = {told(name)["FileDescriptorName"]: told(name) for name in SOCKETS if "key-agent" not in name}
    ports = {name: int(each["ListenStream"].rpartition(":")[2]) for name, each in listening.items()}
    assert ports == Settings().ports
    for part, roles in ROLES_OF_PART.items():
        for name in (name for role in roles for name in supervisor.SOCKETS_OF[role]):
            assert listening[name]["Service"] == f"strongroom-{part}.service"
            assert f"strongroom-{name}.socket" in told(f"strongroom-{part}.service")["Requires"].split()


def test_units_and_wrapper_name_the_same_program_data_and_key() -> None:
    wrapper = WRAPPER.read_text("utf-8")
    for part in Part:
        unit = told(f"strongroom-{part}.service")
        program, _, words = unit["ExecStart"].partition(" ")
        assert words == f"serve --role {part}"
        assert f"{program}}}" in wrapper
        assert {place for place in unit["Environment"].split() if place not in wrapper} == set()


@pytest.mark.parametrize("timer", TIMERS)
def test_timer_catches_up_does_not_come_on_the_minute_and_calls_a_command_that_there_is(timer: str) -> None:
    assert (told(timer)["Persistent"], told(timer)["RandomizedDelaySec"]) == ("true", "15m")
    service = told(timer.replace(".timer", ".service"))
    assert service["SupplementaryGroups"] == "strongroom-command"
    words = tuple(service["ExecStart"].partition(" ")[2].removesuffix(" --json").split())
    assert words in {entry.words for entry in ENTRIES}


@pytest.mark.parametrize("timer", TIMERS)
def test_what_a_timer_started_ends_with_the_service(timer: str) -> None:
    for name in (timer, timer.replace(".timer", ".service")):
        assert "strongroom.target" in told(name)["PartOf"].split()
    service = told(timer.replace(".timer", ".service"))
    assert "strongroom-key-agent.service" in service["PartOf"].split()
    assert service["SuccessExitStatus"] == "SIGTERM"


def test_upgrade_waits_for_what_timers_started_before_it_sets_anything_aside() -> None:
    text = (FILES.parent / "tasks/upgrade.yml").read_text("utf-8")
    (ending,) = re.findall(r"strongroom_units_that_end: >-\n(.*)", text)
    assert "strongroom_services + strongroom_jobs" in ending
    first, then = text.split("name: The service ends again")
    for part, word in ((first, "make"), (then, "back")):
        assert 0 < part.index('loop: "{{ strongroom_units_that_end }}"') < part.index(f"strongroom-set-aside, {word},")


def test_practice_that_works_in_another_place_now_ends_with_the_sockets_that_would_start_it_again() -> None:
    agent = told("strongroom-key-agent.service")
    assert agent["SuccessExitStatus"] == str(serve.SENT_AWAY), "otherwise it is started again"
    assert agent["ExecStopPost"].startswith(f'+/bin/sh -c \'[ "$$EXIT_STATUS" != {serve.SENT_AWAY} ] || ')
    assert agent["ExecStopPost"].endswith("systemctl --no-block stop strongroom.target'")
    assert {told(name)["PartOf"].split()[0] for name in SOCKETS} == {"strongroom.target"}


def test_key_of_a_practice_that_starts_sealed_comes_through_no_file_on_the_disk() -> None:
    """What is copied, and what a module is told without a pipe, lies in a directory of Ansible on the machine first."""
    text = (FILES.parent / "tasks/key.yml").read_text("utf-8")
    (handed,) = [task for task in text.split("- name: ") if "strongroom_key_file" in task]
    assert re.findall(r"^ +(ansible\.builtin\.\w+):", handed, re.MULTILINE) == ["ansible.builtin.command"]
    assert re.search(r"^ +stdin: .*strongroom_key_file", handed, re.MULTILINE)
    assert "ansible_pipelining: true" in handed
    assert "no_log: true" in handed


def test_playbook_installs_every_unit_and_has_every_group() -> None:
    defaults = (FILES.parent / "defaults/main.yml").read_text("utf-8")
    for name in (*SERVICES, *SOCKETS):
        assert f"- {name}\n" in defaults
    (timers,) = re.findall(r"^strongroom_timers: \[(.*)\]$", defaults, re.MULTILINE)
    assert sorted(f"{name}.timer" for name in timers.split(", ")) == TIMERS
    groups = {group for name in (*SERVICES, *SOCKETS) for group in _groups(name)}
    groups |= set(re.findall(r"-G (\S+)", WRAPPER.read_text("utf-8")))
    (listed,) = re.findall(r"^strongroom_groups: \[(.*)\]$", defaults, re.MULTILINE)
    assert set(listed.split(", ")) == groups


def _groups(name: str) -> list[str]:
    unit = told(name)
    return [unit[key] for key in ("SupplementaryGroups", "SocketGroup") if key in unit]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """On a machine without systemd the tests above are all that can be said."""
    judge = shutil.which("systemd-analyze")
    names = [
        "strongroom.target",
        *SERVICES,
        *SOCKETS,
        *TIMERS,
        *(each.replace(".timer", ".service") for each in TIMERS),
    ]
    for name in names:
        text = (FILES / name).read_text("utf-8")
        (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text), "utf-8")
    if judge:
        words = [judge, "verify", *(str(tmp_path / name) for name in names)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line and MAY_COMPLAIN not in line]
        assert complaints == []
