"""A practice that is there already is not told another place for its rows, keys and mail: the playbook refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository_room import ROOT

ROLE = ROOT / "ansible" / "roles" / "strongroom"
TASKS = (ROLE / "tasks" / "kept_in.yml").read_text("utf-8")
ROWS = "postgresql:///strongroom_rows?host=/var/run/postgresql"
KEYS = "postgresql:///strongroom_keys?host=/var/run/postgresql"
STORE = "s3+http://127.0.0.1:9000/strongroom"
MADE_WITH = """
[database]
url = "postgresql:///strongroom_rows?host=%2Fvar%2Frun%2Fpostgresql"
[keystore]
url = "{keys}"
[object_store]
url = "{store}"
"""


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ("", "here here here"),
        (MADE_WITH.format(keys=KEYS, store=STORE), "ours ours ours"),
        (MADE_WITH.format(keys="postgresql://far/keys", store="s3+https://far/bucket"), "ours elsewhere elsewhere"),
    ],
    ids=["made before there was a choice", "by the playbook", "by hand"],
)
def test_settings_say_where_the_practice_was_made_to_keep_things(tmp_path: Path, settings: str, found: str) -> None:
    (tmp_path / "strongroom.toml").write_text(settings, "utf-8")
    words = re.search(r"- -c\n      - >-\n((?: {8}.*\n)+)", TASKS)
    assert words
    program = " ".join(words[1].split()).replace("/var/lib/strongroom", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program, ROWS, KEYS, STORE], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == found


def test_it_is_asked_before_anything_is_set_up_for_the_stores() -> None:
    main = (ROLE / "tasks" / "main.yml").read_text("utf-8")
    assert main.index("program.yml") < main.index("kept_in.yml") < main.index("name: postgresql")
    defaults = (ROLE / "defaults" / "main.yml").read_text("utf-8")
    assert all(url in defaults for url in (ROWS, KEYS, STORE))
