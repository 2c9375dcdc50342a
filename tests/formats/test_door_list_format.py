"""The door list as docs/formats/door-list.md says it, read without the program and with it."""

from __future__ import annotations

import base64
import hmac
import json
import struct
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret_raw

from appliance import door_list

VECTOR: Any = json.loads((Path(__file__).parent / "door_list_v1.json").read_text())
FILE: Any = json.loads(VECTOR["file"])


def digest_of(address: str) -> str:
    found = hash_secret_raw(
        secret=address.encode(),
        salt=base64.b64decode(FILE["salt"]),
        time_cost=FILE["passes"],
        memory_cost=FILE["memory_kib"],
        parallelism=1,
        hash_len=16,
        type=Type.ID,
    )
    return base64.b64encode(found).decode()


def tag_of(purpose: bytes, text: str) -> str:
    told = struct.pack(">I", len(purpose)) + purpose + text.encode()
    return base64.b64encode(hmac.digest(bytes.fromhex(VECTOR["lookup_key"]), told, "sha256")[:16]).decode()


def test_page_and_bytes_agree() -> None:
    assert FILE["format"] == "strongroom/door-list/v1"
    assert len(FILE["entries"]) == 64
    told = {name: value for name, value in FILE.items() if name != "seal"}
    canonical = json.dumps(told, separators=(",", ":"), sort_keys=True).encode()
    assert hmac.digest(bytes.fromhex(VECTOR["row_key"]), canonical, "sha256").hex() == FILE["seal"]
    tags = dict(FILE["entries"])
    for address in VECTOR["listed"]:
        assert tags.pop(digest_of(address)) == tag_of(b"door address", address)
    for digest, tag in tags.items():
        assert tag == tag_of(b"door filling", base64.b64decode(digest).hex())


def test_program_reads_the_vector() -> None:
    door = door_list.verified(VECTOR["file"], row_key=bytes.fromhex(VECTOR["row_key"]))
    assert all(door.holds(door.digest_of(address)) for address in VECTOR["listed"])
    assert not any(door.holds(door.digest_of(address)) for address in VECTOR["not_listed"])
