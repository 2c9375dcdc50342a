"""Core: the one canonical form of a row, and the seal over it (``docs/formats/sealed-rows.md``)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Boolean, Column, Insert, Table, Update, bindparam, insert, select, type_coerce, update
from sqlalchemy.sql.selectable import Select
from sqlalchemy.types import UserDefinedType

from mailstore.errors import TamperedError
from mailstore.tables import SEAL_BYTES, Instant, instant_of, microseconds

DOMAIN = "strongroom row 1"
EXACT = frozenset({str, int, bytes, bool, type(None)})
FIX = "Run `strongroom doctor`; restore the row database from a backup taken before the change."


class AsStored(UserDefinedType[Any]):
    """A value that passes between Python and the driver untouched."""

    cache_ok = True


STORED_AS_IS = AsStored()


def encoded(value: object) -> bytes:
    """One stored value with its type and length, so that no two rows share an encoding.

    None ``n``, booleans ``t``/``f``, integers ``i<decimal>;``, bytes ``b<length>:<bytes>``, text
    ``s<length>:<UTF-8>``. Anything else is a TypeError: there is no canonical form for it.
    """
    if isinstance(value, str):
        text = value.encode()
        return b"s%d:%b" % (len(text), text)
    if value is None:
        return b"n"
    if isinstance(value, bytes):
        return b"b%d:%b" % (len(value), value)
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        return b"i%d;" % value
    raise TypeError(f"no canonical form for {type(value).__name__}")


def _plain(value: object) -> object:
    """The built-in value behind a subclass: an enumeration's text, a buffer's bytes."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"no canonical form for {type(value).__name__}")


def _boolean(value: object) -> object:
    """SQLite keeps truth as 0 and 1, PostgreSQL as itself; anything else is left to break the seal."""
    return bool(value) if type(value) is int and value in (0, 1) else value


class RowForm:
    """What is worked out once for a table: its columns in sealing order and its ready-made statements."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns = tuple(sorted((c for c in table.columns if c.name != "seal"), key=lambda c: c.name))
        self.names = tuple(column.name for column in self.columns)
        self.known = frozenset(self.names)
        self.instants = frozenset(c.name for c in self.columns if isinstance(c.type, Instant))
        self.booleans = frozenset(c.name for c in self.columns if isinstance(c.type, Boolean))
        self.primary_key = tuple(column.name for column in table.primary_key.columns)
        self.number = None if table.autoincrement_column is None else table.autoincrement_column.name
        self.prefix = b"".join(encoded(part) for part in (DOMAIN, table.name, len(self.names), *self.names))
        self.defaults = dict(_defaults(self.columns))

    @cached_property
    def select(self) -> Select[*tuple[Any, ...]]:
        """All columns as the database stores them: the seal covers those, not what Python makes of them."""
        every = (*self.columns, self.table.c.seal)
        return select(*(type_coerce(column, STORED_AS_IS).label(column.name) for column in every))

    @cached_property
    def insert(self) -> Insert:
        """One whole stored row."""
        names = (*self.names, "seal")
        return insert(self.table).values({name: bindparam(name, type_=STORED_AS_IS) for name in names})

    @cached_property
    def update(self) -> Update:
        """Every column but the primary key, found by ``key_<column>``."""
        changing = [name for name in (*self.names, "seal") if name not in self.primary_key]
        keys = [self.table.c[name] == bindparam(f"key_{name}", type_=STORED_AS_IS) for name in self.primary_key]
        new = {name: bindparam(name, type_=STORED_AS_IS) for name in changing}
        return update(self.table).where(*keys).values(new)

    def whole(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The whole stored row, defaults filled in. Unknown or missing columns: ValueError."""
        row = self.stored({**self.defaults, **values})
        if row.keys() != self.known:
            odd = sorted(row.keys() ^ self.known)
            raise ValueError(f"{self.table.name}: unknown or missing columns {odd}")
        return row

    def stored(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as the database keeps them: times as integers, subclasses as their plain values."""
        row = dict(values)
        for name in self.instants & row.keys():
            row[name] = None if row[name] is None else microseconds(row[name])
        for name, value in row.items():
            if type(value) not in EXACT:
                row[name] = _plain(value)
        return row

    def seal(self, row: Mapping[str, Any], row_key: bytes) -> bytes:
        """HMAC-SHA256 (RFC 2104), cut to 128 bits, over a whole stored row."""
        text = self.prefix + b"".join([encoded(row[name]) for name in self.names])
        return hmac.digest(row_key, text, "sha256")[:SEAL_BYTES]

    def verified(self, found: Iterable[Any], row_key: bytes) -> dict[str, Any]:
        """The stored row, proved to be what was sealed. Raises TamperedError naming table and primary key."""
        *values, seal = found
        row = dict(zip(self.names, values, strict=True))
        for name in self.booleans:
            row[name] = _boolean(row[name])
        try:
            good = type(seal) is bytes and hmac.compare_digest(seal, self.seal(row, row_key))
        except TypeError:
            good = False
        if not good:
            raise TamperedError(f"the row {self.name_of(row)} is not what was written", fix=FIX)
        return row

    def opened(self, row: dict[str, Any]) -> dict[str, Any]:
        """A verified stored row as Python sees it."""
        for name in self.instants:
            if row[name] is not None:
                row[name] = instant_of(row[name])
        return row

    def name_of(self, row: Mapping[str, Any]) -> str:
        """Table and primary key in words: ``recipients(message=..., position=0)``."""
        keys = ", ".join(f"{name}={_shown(row[name])}" for name in self.primary_key)
        return f"{self.table.name}({keys})"


def _defaults(columns: Iterable[Column[Any]]) -> Iterable[tuple[str, Any]]:
    """What a column holds that nobody names: its constant default, or NULL where that is allowed."""
    for column in columns:
        if column.default is not None and column.default.is_scalar:
            yield column.name, getattr(column.default, "arg")  # noqa: B009  # typed only on a private subclass
        elif column.nullable:
            yield column.name, None


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
