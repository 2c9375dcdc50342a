"""Every variable of the playbook stands in one file, each after what it means, as the roles have it themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository_room import ROOT

ANSIBLE = ROOT / "ansible"
DEFAULTS = sorted(ANSIBLE.glob("roles/*/defaults/main.yml"))
NOT_SETTINGS = "# Not settings: "
SET = re.compile(r"^(\w+):(.*)$", re.MULTILINE)
DOCUMENTED = dict(SET.findall((ANSIBLE / "group_vars" / "all.yml").read_text("utf-8")))


@pytest.mark.parametrize("path", DEFAULTS, ids=lambda path: path.parts[-3])
def test_setting_of_a_role_is_documented_with_the_value_that_it_has(path: Path) -> None:
    settings = dict(SET.findall(path.read_text("utf-8").partition(NOT_SETTINGS)[0]))
    assert settings.keys() - DOCUMENTED.keys() == set()
    computed = {name for name, value in settings.items() if "{{" in value}
    assert {name: value for name, value in settings.items() if name not in computed and DOCUMENTED[name] != value} == {}


def test_every_variable_stands_below_its_comment_and_is_used() -> None:
    blocks = (ANSIBLE / "group_vars" / "all.yml").read_text("utf-8").split("\n\n")
    assert [block for block in blocks if not block.lstrip("-\n").startswith("# ")] == []
    roles = "\n".join(path.read_text("utf-8") for path in ANSIBLE.glob("roles/**/*") if path.suffix in {".yml", ".j2"})
    assert [name for name in DOCUMENTED if not re.search(rf"\b{name}\b", roles)] == []
