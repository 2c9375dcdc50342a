"""What each process loads: time to ready and memory at rest are mostly this, so it is held here and not by a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PAGES = {"litestar", "jinja2", "webauthn", "uvicorn", "nh3"}
INDEX = {"whoosh"}
ONCE_IN_A_WHILE = {"alembic", "fpdf", "pypdf", "selectolax"}
"""Loaded by the one process that needs them, when it does: steps of the tables, certificates, attachments."""


def loaded_by(*modules: str) -> set[str]:
    """The packages that a fresh interpreter holds after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".", maxsplit=1)[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("role", "strangers"),
    [
        ("smtp", PAGES | INDEX | ONCE_IN_A_WHILE | {"archive", "dns"}),
        ("worker", PAGES | ONCE_IN_A_WHILE | {"aiosmtpd"}),
        ("mail", ONCE_IN_A_WHILE | {"aiosmtpd"}),
    ],
)
def test_role_does_not_load_what_another_one_is_for(role: str, strangers: set[str]) -> None:
    assert not loaded_by("appliance.roles.__main__", f"appliance.roles.{role}") & strangers


def test_supervisor_loads_neither_pages_nor_index_nor_steps_of_the_tables() -> None:
    assert not loaded_by("appliance.cli", "appliance.commands.serve") & (PAGES | INDEX | ONCE_IN_A_WHILE)


def test_commands_in_the_name_of_a_person_do_not_load_the_pages() -> None:
    assert not loaded_by("appliance.commands.hold", "appliance.commands.archive") & PAGES
