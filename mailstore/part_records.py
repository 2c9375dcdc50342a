"""Shared parts and which messages need them: the only module that touches ``shared_parts`` and ``part_links``.

Every function works inside the caller's transaction. How often a part is used changes in the transaction that changes
the links, so no crash comes between the two. Links name parts in a sealed column: who only has the disk does not
learn which messages share a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.key_hierarchy import part_links_key
from mailstore.message import MessageId, StoredObject
from mailstore.message_records import AT_ONCE
from mailstore.recipe import PartId
from mailstore.sealed_format import NONCE_BYTES, Randomness, open_field, seal_field
from mailstore.sealed_rows import rows_of
from mailstore.tables import ID_LENGTH, part_links, shared_parts


@dataclass(frozen=True)
class SharedPart:
    """A part that messages share. ``uses``: the messages that need it; one that none needs never gets a use again."""

    id: PartId
    digest_index: bytes | None = field(repr=False)
    size_bytes: int
    object: StoredObject
    uses: int = 0


class PartLinks:
    """Which message needs which parts."""

    def __init__(self, archive_key: bytes, randomness: Randomness) -> None:
        self._key = part_links_key(archive_key)
        self._randomness = randomness

    def add(self, connection: Connection, message: MessageId, parts: Sequence[SharedPart]) -> None:
        """A message without links needs these parts from now on, each named once; those that are new get a row.

        ``StorageUnavailableError`` when one of them lost its last use meanwhile: it is dying, keep it anew.
        """
        if not parts:
            return
        for part in parts:
            _use(connection, part)
        named = "".join(part.id for part in parts).encode("ascii")
        nonce = self._randomness(NONCE_BYTES)
        sealed = seal_field(named, key=self._key, context=_context(message), nonce=nonce)
        rows_of(connection).insert(connection, part_links, {"message": message, "sealed_parts": sealed})

    def replace(self, connection: Connection, message: MessageId, parts: Sequence[SharedPart]) -> None:
        """A message that may have links needs exactly these parts from now on. As ``add``."""
        before = self.of(connection, message)
        if before:
            rows_of(connection).delete(connection, part_links, part_links.c.message == message)
        self.add(connection, message, parts)
        if before:
            _give_up(connection, Counter(before))

    def cut(self, connection: Connection, messages: Collection[MessageId]) -> None:
        """These messages need no part any more. A part that none needs is ``unused`` from here on."""
        wanted = list(messages)
        for start in range(0, len(wanted), AT_ONCE):
            where = part_links.c.message.in_(wanted[start : start + AT_ONCE])
            found = rows_of(connection).select(connection, part_links, where)
            lost = Counter(part for row in found for part in self._parts(row))
            if lost:
                _give_up(connection, lost)
                rows_of(connection).delete(connection, part_links, where)

    def of(self, connection: Connection, message: MessageId) -> tuple[PartId, ...]:
        """The parts that a message needs."""
        row = rows_of(connection).first(connection, part_links, "message", message)
        return () if row is None else self._parts(row)

    def users(self, connection: Connection, wanted: PartId) -> list[MessageId]:
        """The messages that need a part. Reads every link: only an opened one tells."""
        rows = rows_of(connection).select(connection, part_links)
        return [MessageId(row["message"]) for row in rows if wanted in self._parts(row)]

    def problems(self, connection: Connection) -> Iterator[str]:
        """Parts whose uses are not as many as the messages that need them, and parts that are needed and missing."""
        counted: Counter[PartId] = Counter()
        for row in rows_of(connection).select(connection, part_links):
            counted.update(self._parts(row))
        known = {part.id: part.uses for part in all_parts(connection)}
        for part in sorted(counted.keys() | known.keys()):
            if part not in known:
                yield f"shared part {part} is needed by {counted[part]} messages and has no row"
            elif known[part] != counted[part]:
                yield f"shared part {part} counts {known[part]} uses and has {counted[part]}"

    def _parts(self, row: Mapping[str, Any]) -> tuple[PartId, ...]:
        named = open_field(row["sealed_parts"], key=self._key, context=_context(row["message"])).decode("ascii")
        return tuple(PartId(named[start : start + ID_LENGTH]) for start in range(0, len(named), ID_LENGTH))


def with_digest(connection: Connection, digest_index: bytes) -> SharedPart | None:
    """A part that has this content and is in use."""
    where = (shared_parts.c.digest_index == digest_index) & (shared_parts.c.uses > 0)
    found = rows_of(connection).select(connection, shared_parts, where, limit=1)
    return _part(found[0]) if found else None


def part(connection: Connection, wanted: PartId) -> SharedPart:
    """The part by that name. ``TamperedError`` when its row is gone: some message needs it."""
    row = rows_of(connection).one(connection, shared_parts, shared_parts.c.id == wanted)
    if row is None:
        raise TamperedError(f"the row of shared part {wanted} is missing")
    return _part(row)


def in_object(connection: Connection, name: str) -> SharedPart | None:
    """The part that lies in this object."""
    found = rows_of(connection).first(connection, shared_parts, "object_name", name)
    return None if found is None else _part(found)


def all_parts(connection: Connection) -> list[SharedPart]:
    """Every part."""
    return [_part(row) for row in rows_of(connection).select(connection, shared_parts)]


def page(connection: Connection, *, after: str, limit: int) -> list[SharedPart]:
    """The next parts beyond an id, in the order of their ids."""
    where = shared_parts.c.id > after
    order = shared_parts.c.id
    return [
        _part(row) for row in rows_of(connection).select(connection, shared_parts, where, order_by=order, limit=limit)
    ]


def unused(connection: Connection) -> list[SharedPart]:
    """The parts that no message needs any more: they are to be destroyed."""
    return [_part(row) for row in rows_of(connection).select(connection, shared_parts, shared_parts.c.uses == 0)]


def remove(connection: Connection, parts: Iterable[PartId]) -> None:
    """Forget parts of which nothing is left. Only for ``destruction``."""
    rows_of(connection).delete(connection, shared_parts, shared_parts.c.id.in_(list(parts)))


def set_object(connection: Connection, wanted: PartId, kept: StoredObject) -> None:
    """The part lies in another object now: the store lost the first."""
    changes = {"object_name": kept.name, "object_length": kept.length, "object_digest": kept.digest}
    rows_of(connection).update(connection, shared_parts, shared_parts.c.id == wanted, changes)


def _use(connection: Connection, part: SharedPart) -> None:
    sealed = rows_of(connection)
    where = shared_parts.c.id == part.id
    row = sealed.one(connection, shared_parts, where)
    if row is None:
        sealed.insert(connection, shared_parts, {**_values(part), "uses": 1})
    elif row["uses"] == 0:
        raise StorageUnavailableError(f"shared part {part.id} is dying")
    else:
        sealed.update(connection, shared_parts, where, {"uses": row["uses"] + 1})


def _give_up(connection: Connection, lost: Counter[PartId]) -> None:
    """A part without uses is no longer found by its content either, so it is never used again."""

    def changes(row: Mapping[str, Any]) -> Mapping[str, Any]:
        uses = row["uses"] - lost[row["id"]]
        if uses < 0:
            raise TamperedError(f"shared part {row['id']} has more uses than it counts")
        return {"uses": uses} if uses else {"uses": 0, "digest_index": None}

    wanted = list(lost)
    for start in range(0, len(wanted), AT_ONCE):
        where = shared_parts.c.id.in_(wanted[start : start + AT_ONCE])
        rows_of(connection).update_each(connection, shared_parts, where, changes)


def _context(message: str) -> tuple[str, str, int]:
    return ("part links", message, 1)


def _values(part: SharedPart) -> dict[str, Any]:
    return {
        "id": part.id,
        "digest_index": part.digest_index,
        "size_bytes": part.size_bytes,
        "object_name": part.object.name,
        "object_length": part.object.length,
        "object_digest": part.object.digest,
    }


def _part(row: Mapping[str, Any]) -> SharedPart:
    return SharedPart(
        id=PartId(row["id"]),
        digest_index=row["digest_index"],
        size_bytes=row["size_bytes"],
        object=StoredObject(row["object_name"], row["object_length"], row["object_digest"]),
        uses=row["uses"],
    )
