"""Core: which addresses mail is taken for while nothing can be opened, as a list that nobody can read.

The sealed machine has no key, so the list holds slow salted digests (Argon2id, RFC 9106) of the addresses that mail
can be delivered to here. A thief can try guesses, each at the price of one digest, and cannot read the list. How many
addresses there are is hidden among fillings; which entry is which is known to those who have the lookup key
(docs/formats/door-list.md).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from argon2.low_level import Type, hash_secret_raw

from mailstore.errors import TamperedError
from mailstore.key_hierarchy import BLIND_INDEX_BYTES, blind_index
from mailstore.sealed_format import SALT_BYTES, Randomness

FORMAT: Final = "strongroom/door-list/v1"
DIGEST_BYTES: Final = 16
LEAST_ENTRIES: Final = 64
MOST_ENTRIES: Final = 1 << 16

_BEARABLE_KIB = range(8, 2**18 + 1)
_BEARABLE_PASSES = range(1, 9)


@dataclass(frozen=True)
class DoorCost:
    """What one look costs: KiB of memory and passes over it. The default takes some 50 ms of one processor."""

    memory_kib: int = 32 * 1024
    passes: int = 2


@dataclass(frozen=True)
class DoorEntry:
    """An address or a filling: nobody without the lookup key can tell."""

    digest: bytes
    tag: bytes


@dataclass(frozen=True)
class DoorList:
    """The list. ``has_caretaker``: somebody reads what is written to postmaster."""

    salt: bytes
    cost: DoorCost
    has_caretaker: bool
    entries: tuple[DoorEntry, ...] = field(repr=False)

    def digest_of(self, canonical: str) -> bytes:
        """The slow digest of an address in its canonical spelling."""
        return hash_secret_raw(
            secret=canonical.encode("utf-8", "surrogatepass"),
            salt=self.salt,
            time_cost=self.cost.passes,
            memory_cost=self.cost.memory_kib,
            parallelism=1,
            hash_len=DIGEST_BYTES,
            type=Type.ID,
        )

    def holds(self, digest: bytes) -> bool:
        """True when mail for the address of this digest is taken."""
        return any(entry.digest == digest for entry in self.entries)


def brought_up_to_date(
    old: DoorList | None,
    addresses: Collection[str],
    *,
    has_caretaker: bool,
    lookup_key: bytes,
    randomness: Randomness,
    cost: DoorCost | None = None,
) -> DoorList:
    """The list for these canonical addresses. Digests that are there already are kept, and so are fillings."""
    cost = cost or DoorCost()
    if old is None or old.cost != cost:
        old = DoorList(randomness(SALT_BYTES), cost, has_caretaker, ())
    known = {entry.tag: entry for entry in old.entries}
    wanted = {blind_index(lookup_key, "door address", each): each for each in addresses}
    entries = [known[tag] if tag in known else DoorEntry(old.digest_of(each), tag) for tag, each in wanted.items()]
    room = max(LEAST_ENTRIES, 1 << (len(entries) - 1).bit_length() if entries else 0)
    fillings = [entry for entry in old.entries if entry.tag == _filling_tag(lookup_key, entry.digest)]
    entries += fillings[: room - len(entries)]
    while len(entries) < room:
        digest = randomness(DIGEST_BYTES)
        entries.append(DoorEntry(digest, _filling_tag(lookup_key, digest)))
    return DoorList(old.salt, cost, has_caretaker, tuple(sorted(entries, key=lambda entry: entry.digest)))


def to_text(door: DoorList, *, row_key: bytes) -> str:
    """The list as its file says it, with a seal for those who have the row key."""
    told = _told(door)
    return json.dumps({**told, "seal": _seal(told, row_key)}, indent=1) + "\n"


def unverified(text: str) -> DoorList:
    """The list in a file, for whoever has no key to verify it. ``TamperedError`` when it is none."""
    try:
        told = json.loads(text)
        cost = DoorCost(int(told["memory_kib"]), int(told["passes"]))
        entries = tuple(DoorEntry(_bytes(digest), _bytes(tag)) for digest, tag in told["entries"])
        door = DoorList(_bytes(told["salt"]), cost, bool(told["has_caretaker"]), entries)
        is_known = told["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise _tampered() from error
    is_bearable = cost.memory_kib in _BEARABLE_KIB and cost.passes in _BEARABLE_PASSES and len(entries) <= MOST_ENTRIES
    sizes = {(len(entry.digest), len(entry.tag)) for entry in entries}
    if not (is_known and is_bearable and len(door.salt) == SALT_BYTES and sizes <= {(DIGEST_BYTES, BLIND_INDEX_BYTES)}):
        raise _tampered()
    return door


def verified(text: str, *, row_key: bytes) -> DoorList:
    """The list in a file. ``TamperedError`` when it is not what we wrote."""
    door = unverified(text)
    if not hmac.compare_digest(str(json.loads(text).get("seal")), _seal(_told(door), row_key)):
        raise _tampered()
    return door


def _told(door: DoorList) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "memory_kib": door.cost.memory_kib,
        "passes": door.cost.passes,
        "salt": _text(door.salt),
        "has_caretaker": door.has_caretaker,
        "entries": [[_text(entry.digest), _text(entry.tag)] for entry in door.entries],
    }


def _seal(told: dict[str, Any], row_key: bytes) -> str:
    canonical = json.dumps(told, separators=(",", ":"), sort_keys=True)
    return hmac.digest(row_key, canonical.encode(), "sha256").hex()


def _filling_tag(lookup_key: bytes, digest: bytes) -> bytes:
    return blind_index(lookup_key, "door filling", digest.hex())


def _tampered() -> TamperedError:
    return TamperedError("the door list is not what was written", fix="unseal: it is then written anew")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: object) -> bytes:
    return base64.b64decode(str(text), validate=True)
