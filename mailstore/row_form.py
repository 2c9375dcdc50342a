"""The one canonical form of a row, and the seal over it (``docs/formats/sealed-rows.md``).

This runs for every row that is written or read, so it works on plain lists in sealing order.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.engine import Compiled
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.sql.selectable import Select
from sqlalchemy.types import UserDefinedType

from mailstore.errors import TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.tables import SEAL_BYTES, Instant

DOMAIN: Final = "strongroom row 1"
KINDS: Final = ((String, str), (LargeBinary, bytes), (Boolean, bool), (Integer, int), (Instant, int))
"""The column types that have a canonical form, and what they hold besides NULL."""

MISSING: Final = object()
FIX: Final = "Run `strongroom doctor`; restore the row database from a backup taken before the change."

Stored = list[Any]
"""The values of one row as the database keeps them, in the order of their column names."""

Bound = tuple[str, Callable[[Sequence[Any]], Any]]
"""A statement in the driver's own words, and what turns a row with its seal into its parameters."""


class AsStored(UserDefinedType[Any]):
    """A value that passes between Python and the driver untouched."""

    cache_ok = True


STORED_AS_IS: Final = AsStored()
KEY: Final = "the key "
"""Before a column's name: the parameter that finds a row by this column of its primary key."""


def encoded(values: Iterable[object]) -> bytes:
    """Stored values one after the other, each with its type and length, so that no two rows share an encoding.

    None ``n``, integers ``i<decimal>;`` (truth is 1 and 0), bytes ``b<length>:<bytes>``, text
    ``s<length>:<UTF-8>``. Anything else is a TypeError: there is no canonical form for it.
    """
    parts: list[bytes] = []
    for value in values:
        if isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
            parts += (b"s%d:" % len(text), text)
        elif value is None:
            parts.append(b"n")
        elif isinstance(value, bytes):
            parts += (b"b%d:" % len(value), value)
        elif isinstance(value, int):
            parts.append(b"i%d;" % value)
        else:
            raise TypeError(f"no canonical form for {type(value).__name__}")
    return b"".join(parts)


class RowSeal:
    """HMAC-SHA256 (RFC 2104) under the row key, cut to 128 bits."""

    def __init__(self, row_key: bytes) -> None:
        self._keyed = hmac.new(row_key, digestmod="sha256")

    def over(self, text: bytes) -> bytes:
        """The seal over a row's encoding."""
        keyed = self._keyed.copy()
        keyed.update(text)
        return keyed.digest()[:SEAL_BYTES]


class RowForm:
    """What is worked out once for a table: its columns in sealing order and its ready-made statements."""

    def __init__(self, table: Table) -> None:
        self.table = table
        columns = sorted((column for column in table.columns if column.name != "seal"), key=lambda c: c.name)
        self.names = tuple(column.name for column in columns)
        self.known = frozenset(self.names)
        self.instants = [at for at, column in enumerate(columns) if isinstance(column.type, Instant)]
        self.booleans = [at for at, column in enumerate(columns) if isinstance(column.type, Boolean)]
        self.primary_key = tuple(column.name for column in table.primary_key.columns)
        self.number = None if table.autoincrement_column is None else table.autoincrement_column.name
        self.prefix = encoded((DOMAIN, table.name, len(self.names), *self.names))
        self._defaults = [(column.name, _default(column)) for column in columns]
        self._kinds = [_kind(column) for column in columns]
        self._compiled: dict[tuple[str, str], Bound] = {}

    @cached_property
    def select(self) -> Select[*tuple[Any, ...]]:
        """All columns as the database stores them: the seal covers those, not what Python makes of them."""
        every = [self.table.c[name] for name in (*self.names, "seal")]
        return select(*(type_coerce(column, STORED_AS_IS).label(column.name) for column in every))

    def insert(self, dialect: Dialect) -> Bound:
        """The statement that adds one whole sealed row."""
        return self._bound("insert", dialect, lambda: insert(self.table).values(self._parameters()))

    def update(self, dialect: Dialect) -> Bound:
        """The statement that changes the row of a primary key to a whole sealed row."""
        new = {name: value for name, value in self._parameters().items() if name not in self.primary_key}
        return self._bound("update", dialect, lambda: update(self.table).where(*self._keys()).values(new))

    def lookup(self, dialect: Dialect) -> Bound:
        """The statement that finds the row of a primary key, given any whole sealed row with that key."""
        return self._bound("lookup", dialect, lambda: self.select.where(*self._keys()).with_for_update())

    def _parameters(self) -> dict[str, BindParameter[Any]]:
        return {name: bindparam(name, type_=STORED_AS_IS) for name in (*self.names, "seal")}

    def _keys(self) -> list[ColumnElement[bool]]:
        columns = self.table.c
        return [columns[name] == bindparam(KEY + name, type_=STORED_AS_IS) for name in self.primary_key]

    def _bound(self, verb: str, dialect: Dialect, statement: Callable[[], ClauseElement]) -> Bound:
        bound = self._compiled.get((verb, dialect.name))
        if bound is None:
            bound = _bound(statement().compile(dialect=dialect), (*self.names, "seal"))
            self._compiled[verb, dialect.name] = bound
        return bound

    def stored(self, values: Mapping[str, Any]) -> Stored:
        """The whole row as stored, defaults filled in. Unknown or missing columns: ValueError."""
        row = [values.get(name, default) for name, default in self._defaults]
        if MISSING in row or not values.keys() <= self.known:
            missing = {name for name, value in zip(self.names, row, strict=True) if value is MISSING}
            odd = sorted(missing | (values.keys() - self.known))
            raise ValueError(f"{self.table.name}: unknown or missing columns {odd}")
        for at in self.instants:
            if row[at] is not None:
                row[at] = microseconds(row[at])
        for at, (value, kind) in enumerate(zip(row, self._kinds, strict=True)):
            if type(value) is not kind and value is not None:
                row[at] = self._plain(at, value)
        return row

    def changed(self, row: Stored, changes: Mapping[str, Any]) -> Stored:
        """A verified stored row with some columns changed."""
        return self.stored({**self.opened(row), **changes})

    def sealed(self, row: Stored, seal: RowSeal) -> Stored:
        """The stored row with its seal behind it."""
        return [*row, seal.over(self.prefix + encoded(row))]

    def verified(self, found: Iterable[Any], seal: RowSeal) -> Stored:
        """The stored row, proved to be what was sealed. Raises TamperedError naming table and primary key."""
        *row, claimed = found
        try:
            good = type(claimed) is bytes and hmac.compare_digest(claimed, seal.over(self.prefix + encoded(row)))
        except TypeError:
            good = False
        if not good:
            raise TamperedError(f"the row {self.name_of(row)} is not what was written", fix=FIX)
        return row

    def opened(self, row: Stored) -> dict[str, Any]:
        """A verified stored row as Python sees it."""
        for at in self.instants:
            if row[at] is not None:
                row[at] = instant_of(row[at])
        for at in self.booleans:
            if row[at] is not None:
                row[at] = bool(row[at])
        return dict(zip(self.names, row, strict=True))

    def _plain(self, at: int, value: object) -> object:
        """The built-in value behind a subclass: an enumeration's text, a buffer's bytes.

        A value of another kind than its column would come back from the database changed, and break the seal.
        """
        kind = self._kinds[at]
        if kind is str and isinstance(value, str):
            return str(value)
        if kind is bytes and isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        raise TypeError(f"{self.table.name}.{self.names[at]} does not take a {type(value).__name__}")

    def name_of(self, row: Sequence[Any]) -> str:
        """Table and primary key in words: ``recipients(message=..., position=0)``."""
        keys = ", ".join(f"{name}={_shown(row[self.names.index(name)])}" for name in self.primary_key)
        return f"{self.table.name}({keys})"


def _kind(column: Column[Any]) -> type:
    for column_type, kind in KINDS:
        if isinstance(column.type, column_type):
            return kind
    raise TypeError(f"no canonical form for a column of type {column.type!r}")


def _default(column: Column[Any]) -> object:
    """What a column holds that nobody names: its constant default, or NULL where that is allowed."""
    if column.default is not None and column.default.is_scalar:
        return getattr(column.default, "arg", None)
    return None if column.nullable else MISSING


def _bound(compiled: Compiled, names: tuple[str, ...]) -> Bound:
    """The statement as text, and how a sealed row becomes its parameters: a tuple, or a mapping by name."""
    places = {**{name: at for at, name in enumerate(names)}, **{KEY + name: at for at, name in enumerate(names)}}
    order = getattr(compiled, "positiontup", None)
    if order is not None:
        wanted = [places[name] for name in order]
        return str(compiled), lambda row: tuple([row[at] for at in wanted])
    named = {name: places[name] for name in compiled.params}
    return str(compiled), lambda row: {name: row[at] for name, at in named.items()}


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
