"""The disposal key is renewed: what was signed stays valid, and a stranger who has either key comes to the other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archive import key_succession, verify_certificate, verify_succession
from archive.disposal_certificate import public_key_pem
from mailstore.document_signing import signing_public
from mailstore.errors import TamperedError

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FIRST, SECOND, THIRD, LOST, EVIL = (bytes([number]) * 32 for number in range(1, 6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two renewals, the second one cut off once before it counted."""
    key_succession.add(tmp_path, old_seed=FIRST, new_seed=SECOND, at=NOW)
    key_succession.add(tmp_path, old_seed=SECOND, new_seed=LOST, at=NOW)
    key_succession.add(tmp_path, old_seed=SECOND, new_seed=THIRD, at=NOW)
    return tmp_path


def test_whoever_trusts_one_key_of_the_line_comes_to_all_of_them(folder: Path) -> None:
    line = tuple(pem(seed) for seed in (FIRST, SECOND, THIRD))
    for seed in (FIRST, SECOND, THIRD):
        assert key_succession.keys(folder, pem(seed)) == line
    assert key_succession.keys(folder, pem(EVIL)) == (pem(EVIL),)
    assert key_succession.keys(folder / "nowhere", pem(FIRST)) == (pem(FIRST),)


def test_nobody_gets_into_the_line_by_signing_on_one_side_alone(folder: Path) -> None:
    document = json.loads((folder / key_succession.FILE).read_bytes())
    forged = folder / "forged"
    key_succession.add(forged, old_seed=EVIL, new_seed=FIRST, at=NOW)
    [step] = json.loads((forged / key_succession.FILE).read_bytes())["steps"]
    for stolen in ({"signature_to": step["signature_from"]}, {"to": public(THIRD)}, {"from": public(EVIL)}):
        write(folder, {**document, "steps": [*document["steps"], {**step, **stolen}]})
        assert pem(EVIL) not in key_succession.keys(folder, pem(THIRD))


def test_whoever_kept_an_old_key_cannot_make_it_count_for_longer(folder: Path) -> None:
    line, later = key_succession.keys(folder, pem(THIRD)), NOW + timedelta(days=400)
    assert key_succession.let_go_at(folder, line) == {pem(FIRST): NOW, pem(SECOND): NOW}
    document, forged = json.loads((folder / key_succession.FILE).read_bytes()), folder / "forged"
    key_succession.add(forged, old_seed=FIRST, new_seed=EVIL, at=later)
    [step] = json.loads((forged / key_succession.FILE).read_bytes())["steps"]
    for each in (step, {**step, "to": public(SECOND)}):
        write(folder, {**document, "steps": [*document["steps"], each]})
        assert key_succession.let_go_at(folder, line) == {pem(FIRST): NOW, pem(SECOND): NOW}


def test_every_flipped_byte_of_the_file_leads_to_no_other_key(folder: Path) -> None:
    path, own = folder / key_succession.FILE, {pem(seed) for seed in (FIRST, SECOND, THIRD)}
    whole = path.read_bytes()
    for at in range(0, len(whole), 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert set(key_succession.keys(folder, pem(SECOND))) <= own


def test_file_that_is_none_of_ours_is_not_built_on(folder: Path) -> None:
    (folder / key_succession.FILE).write_text("{}")
    with pytest.raises(TamperedError):
        key_succession.add(folder, old_seed=THIRD, new_seed=LOST, at=NOW)


def test_stranger_follows_it_with_nothing_but_python(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for module in (verify_succession, verify_certificate):
        shutil.copy(str(module.__file__), alone)
    (alone / "old.pem").write_bytes(pem(FIRST))
    (alone / "newest.pem").write_bytes(pem(THIRD))
    script, file = str(alone / "verify_succession.py"), str(folder / key_succession.FILE)

    def run(key: str) -> subprocess.CompletedProcess[bytes]:
        line = [sys.executable, "-I", script, file, "--public-key", str(alone / key)]
        return subprocess.run(line, capture_output=True, check=False)

    assert (run("old.pem").returncode, run("old.pem").stdout) == (0, pem(THIRD))
    assert (run("newest.pem").returncode, run("none.pem").returncode) == (1, 2)


def pem(seed: bytes) -> bytes:
    return public_key_pem(signing_public(seed))


def public(seed: bytes) -> str:
    return verify_certificate.public_key_of(pem(seed)).hex()


def write(folder: Path, document: dict[str, Any]) -> None:
    (folder / key_succession.FILE).write_bytes(verify_certificate.canonical(document))
