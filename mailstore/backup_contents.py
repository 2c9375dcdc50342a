"""Core: what is in a generation of a backup, as docs/formats/backup.md says. Sealed: it names files and counts mail."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from mailstore.backup_listing import GenerationKind, canonical
from mailstore.backup_pack import joined_marks, marks_in
from mailstore.errors import TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.keystore import HighWater

FORMAT: Final = "strongroom/backup-contents/v1"
DESTROYED: Final = "destroyed"
LOST: Final = "lost"
"""Why an object that the rows name is absent: its key died while the backup was made, or the store did not have it."""

Contents = TypeVar("Contents")


@dataclass(frozen=True)
class BackedFile:
    """One file below the data directory. ``chunk``: the bytes of each of its chunks but the last."""

    path: str
    size: int
    digest: str
    chunk: int
    marks: tuple[bytes, ...] = field(repr=False)

    def told(self) -> dict[str, Any]:
        """As it stands in the contents."""
        marks = base64.b64encode(joined_marks(self.marks)).decode("ascii")
        return {"path": self.path, "size": self.size, "digest": self.digest, "chunk": self.chunk, "marks": marks}


@dataclass(frozen=True)
class DataContents:
    """What a data generation is put together from."""

    sequence: int
    as_of: datetime
    mark_key: bytes = field(repr=False)
    files: tuple[BackedFile, ...]
    indexes: tuple[str, ...]
    objects: int
    object_bytes: int
    absent: tuple[tuple[str, str], ...]
    engine: str
    schema: str
    audit_entries: int

    def to_bytes(self) -> bytes:
        """As it is sealed."""
        return canonical(
            {
                "format": FORMAT,
                "kind": GenerationKind.DATA.value,
                "sequence": self.sequence,
                "as_of": microseconds(self.as_of),
                "mark_key": self.mark_key.hex(),
                "files": [file.told() for file in self.files],
                "indexes": list(self.indexes),
                "objects": self.objects,
                "object_bytes": self.object_bytes,
                "absent": [list(each) for each in self.absent],
                "rows": {"engine": self.engine, "schema": self.schema, "audit_entries": self.audit_entries},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> DataContents:
        """What ``to_bytes`` gave. ``TamperedError`` for anything else."""
        return _parsed(data, GenerationKind.DATA, _data_contents)


@dataclass(frozen=True)
class KeyTotals:
    """What there is in the keystore once a generation was put on top of those before it."""

    batches: int
    keys: int
    marks: int


@dataclass(frozen=True)
class KeysContents:
    """What a keys generation is put together from. ``files``: path below the data directory, and the bytes."""

    sequence: int
    as_of: datetime
    base: int
    records: tuple[str, ...]
    totals: KeyTotals
    high_water: HighWater | None
    files: tuple[tuple[str, bytes], ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """As it is sealed."""
        mark, totals = self.high_water, self.totals
        return canonical(
            {
                "format": FORMAT,
                "kind": GenerationKind.KEYS.value,
                "sequence": self.sequence,
                "as_of": microseconds(self.as_of),
                "base": self.base,
                "records": list(self.records),
                "totals": {"batches": totals.batches, "keys": totals.keys, "marks": totals.marks},
                "high_water": None if mark is None else {"entries": mark.entries, "leaf": mark.leaf.hex()},
                "files": [
                    {"path": path, "content": base64.b64encode(data).decode("ascii")} for path, data in self.files
                ],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> KeysContents:
        """What ``to_bytes`` gave. ``TamperedError`` for anything else."""
        return _parsed(data, GenerationKind.KEYS, _keys_contents)


def _parsed(data: bytes, kind: GenerationKind, made: Callable[[Mapping[str, Any]], Contents]) -> Contents:
    try:
        told = json.loads(data)
        if (told["format"], told["kind"]) != (FORMAT, kind.value):
            raise TamperedError("the contents of a generation are of a form that this release does not know")
        return made(told)
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
        raise TamperedError("the contents of a generation are not what was written") from None


def _data_contents(told: Mapping[str, Any]) -> DataContents:
    rows = told["rows"]
    return DataContents(
        sequence=int(told["sequence"]),
        as_of=instant_of(int(told["as_of"])),
        mark_key=bytes.fromhex(told["mark_key"]),
        files=tuple(_file(each) for each in told["files"]),
        indexes=tuple(str(each) for each in told["indexes"]),
        objects=int(told["objects"]),
        object_bytes=int(told["object_bytes"]),
        absent=tuple((str(name), str(why)) for name, why in told["absent"]),
        engine=str(rows["engine"]),
        schema=str(rows["schema"]),
        audit_entries=int(rows["audit_entries"]),
    )


def _file(told: Mapping[str, Any]) -> BackedFile:
    marks = tuple(marks_in(base64.b64decode(told["marks"], validate=True)))
    return BackedFile(str(told["path"]), int(told["size"]), str(told["digest"]), int(told["chunk"]), marks)


def _keys_contents(told: Mapping[str, Any]) -> KeysContents:
    totals, mark = told["totals"], told["high_water"]
    return KeysContents(
        sequence=int(told["sequence"]),
        as_of=instant_of(int(told["as_of"])),
        base=int(told["base"]),
        records=tuple(str(each) for each in told["records"]),
        totals=KeyTotals(int(totals["batches"]), int(totals["keys"]), int(totals["marks"])),
        high_water=None if mark is None else HighWater(int(mark["entries"]), bytes.fromhex(mark["leaf"])),
        files=tuple((str(each["path"]), base64.b64decode(each["content"], validate=True)) for each in told["files"]),
    )
