"""What a run of the playbook did not come to, because it was cut off or only looked, is no trap for the next one."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.repository_room import ROOT

ROLES = ROOT / "ansible" / "roles"
LEFT_BEHIND = (ROLES / "machine" / "tasks" / "left_behind.yml").read_text("utf-8")
STARTED = "Thu 2026-01-01 10:00:00.400000 UTC"


@pytest.mark.parametrize(
    ("started", "changed", "told"),
    [
        (STARTED, 1767261600.3, False),
        (STARTED, 1767261600.5, True),
        ("", 1767261600.5, False),
    ],
    ids=["written before", "written after, within the same second", "never started"],
)
def test_file_that_is_newer_than_its_unit_tells_the_handler(
    tmp_path: Path, started: str, changed: float, *, told: bool
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho '{started}'\n", "ascii")
    systemctl.chmod(0o755)
    settings = tmp_path / "settings" / "local"
    settings.parent.mkdir()
    settings.touch()
    os.utime(settings, (changed, changed))
    found = re.search(r"machine_what_is_newer: >-\n((?: {6}.*\n)+)", LEFT_BEHIND)
    assert found
    words = [
        "/bin/sh",
        "-c",
        " ".join(found[1].split()),
        "sh",
        "a.service",
        str(tmp_path / "none"),
        str(settings.parent),
    ]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(words, env=path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ([str(settings)] if told else [])


@pytest.mark.parametrize(("allows", "told"), [("1\n", True), ("2\n", False), ("3\n", False), (None, False)])
def test_kernel_that_still_allows_more_is_told_again_and_one_that_says_nothing_is_not(
    tmp_path: Path, allows: str | None, *, told: bool
) -> None:
    scope = tmp_path / "ptrace_scope"
    if allows:
        scope.write_text(allows, "ascii")
    tasks = (ROLES / "machine" / "tasks" / "main.yml").read_text("utf-8").split("\n\n")
    (looks,) = (task for task in tasks if "/proc/sys/kernel/yama/ptrace_scope" in task)
    assert "notify: Set what the kernel allows" in looks
    found = re.search(r"argv: \[/bin/sh, -c, '(.*)', sh, ", looks)
    assert found
    done = subprocess.run(["/bin/sh", "-c", found[1], "sh", str(scope)], capture_output=True, check=False)
    assert (done.returncode == 0) == told


@pytest.mark.parametrize("role", ["machine", "resolver", "rspamd", "clamav", "object_store", "strongroom"])
def test_role_looks_for_what_was_left_behind_before_it_says_that_all_is_in_force(role: str) -> None:
    flushes = [
        text
        for path in sorted((ROLES / role / "tasks").glob("*.yml"))
        if "meta: flush_handlers" in (text := path.read_text("utf-8"))
    ]
    assert flushes
    for text in flushes:
        assert "left_behind" in text.partition("meta: flush_handlers")[0]


def test_every_run_looks_for_an_upgrade_that_was_cut_off_and_lets_everybody_in_again() -> None:
    tasks = ROLES / "strongroom" / "tasks"
    main, service = ((tasks / name).read_text("utf-8") for name in ("main.yml", "service.yml"))
    (look,) = (task for task in main.split("\n\n") if "cut_off.yml" in task)
    assert "when:" not in look
    assert main.index("cut_off.yml") < main.index("upgrade.yml")
    (opens,) = (task for task in service.split("\n\n") if "delete, table, inet, strongroom_upgrade" in task)
    assert "strongroom_is_upgrade" not in opens
    assert service.index("strongroom, doctor") < service.index(opens)


def test_certificate_is_put_into_its_place_whenever_it_does_not_lie_there() -> None:
    tasks = (ROLES / "certificates" / "tasks" / "main.yml").read_text("utf-8").split("\n\n")
    (puts,) = (task for task in tasks if "argv: [/etc/letsencrypt/renewal-hooks/deploy/strongroom]" in task)
    assert "when: certificates_placed.rc != 0 and not ansible_check_mode" in puts


@pytest.mark.parametrize("role", ["machine", "resolver", "rspamd", "clamav", "object_store"])
def test_check_mode_restarts_nothing_that_a_bare_machine_does_not_have(role: str) -> None:
    handlers = (ROLES / role / "handlers" / "main.yml").read_text("utf-8").split("\n\n")
    of_packages = [each for each in handlers if "systemd_service" in each and "journald" not in each]
    assert of_packages
    assert [each for each in of_packages if "when: not ansible_check_mode" not in each] == []
