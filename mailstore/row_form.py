"""The one canonical form of a row, and the seal over it (``docs/formats/sealed-rows.md``).

This runs for every row that is written or read, so it works on plain lists in sealing order.
"""

from __future__ import annotations

import hmac
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
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
    literal_column,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.engine import Compiled
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.sql.selectable import Select
from sqlalchemy.types import UserDefinedType

from mailstore.errors import TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.keyed_digest import KeyedDigest
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
    return b"".join([_ENCODINGS.get(type(value), _odd)(value) for value in values])


def _encoded_text(value: str) -> bytes:
    text = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(text), text)


def _odd(value: object) -> bytes:
    """A value of a derived type, such as an enumeration's, or of none that has a form."""
    for kind in (str, bytes, int):
        if isinstance(value, kind):
            return _ENCODINGS[kind](value)
    raise TypeError(f"no canonical form for {type(value).__name__}")


_ENCODINGS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    str: _encoded_text,
    bytes: lambda value: b"b%d:%b" % (len(value), value),
    int: lambda value: b"i%d;" % value,
    bool: lambda value: b"i1;" if value else b"i0;",
    type(None): lambda _value: b"n",
}


class RowSeal:
    """HMAC-SHA256 (RFC 2104) under the row key, cut to 128 bits."""

    def __init__(self, row_key: bytes) -> None:
        self._keyed = KeyedDigest(row_key)

    def over(self, text: bytes) -> bytes:
        """The seal over a row's encoding."""
        return self._keyed.over(text)[:SEAL_BYTES]


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
        self._kinds = [_kind(column) for column in columns]
        self._columns = [(column.name, _default(column), _given_kind(column)) for column in columns]
        self._compiled: dict[tuple[str, str], Bound] = {}

    @cached_property
    def select(self) -> Select[*tuple[Any, ...]]:
        """All columns as the database stores them: the seal covers those, not what Python makes of them."""
        every = [self.table.c[name] for name in (*self.names, "seal")]
        return select(*(type_coerce(column, STORED_AS_IS).label(column.name) for column in every))

    def behind(self, row: Stored | None) -> Select[*tuple[Any, ...]]:
        """All rows, or those behind one, in the order of primary keys."""
        columns = [self.table.c[name] for name in self.primary_key]
        if row is None:
            return self.select.order_by(*columns)
        key = [bindparam(None, row[self.names.index(name)], type_=STORED_AS_IS) for name in self.primary_key]
        return self.select.where(tuple_(*columns) > tuple_(*key)).order_by(*columns)

    @property
    def last(self) -> Select[*tuple[Any, ...]]:
        """The last row in the order of primary keys."""
        return self.select.order_by(*(self.table.c[name].desc() for name in self.primary_key)).limit(1)

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

    def first_with(self, column: str, dialect: Dialect) -> Bound:
        """The statement that finds the first row with a value in a column, given any whole sealed row with it."""
        return self._bound(f"first with {column}", dialect, lambda: self._first_with(column))

    def _first_with(self, column: str) -> Select[*tuple[Any, ...]]:
        """Limit and offset are written out: they are no parameters."""
        wanted = self.table.c[column] == bindparam(KEY + column, type_=STORED_AS_IS)
        order = [self.table.c[name] for name in self.primary_key]
        return self.select.where(wanted).order_by(*order).limit(literal_column("1")).offset(literal_column("0"))

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
        row: Stored = []
        for name, default, kind in self._columns:
            value = values.get(name, default)
            if value is not None and type(value) is not kind:
                value = self._plain(name, kind, value)
            row.append(value)
        if not self.known.issuperset(values):
            raise ValueError(f"{self.table.name}: unknown or missing columns {sorted(values.keys() - self.known)}")
        for at in self.instants:
            if row[at] is not None:
                row[at] = microseconds(row[at])
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

    def with_truth(self, row: Stored) -> Stored:
        """The same stored row with truth where an engine that has no such kind gave 1 and 0; its seal is the same."""
        for at in self.booleans:
            if row[at] is not None:
                row[at] = bool(row[at])
        return row

    def opened(self, row: Stored) -> dict[str, Any]:
        """A verified stored row as Python sees it."""
        for at in self.instants:
            if row[at] is not None:
                row[at] = instant_of(row[at])
        return dict(zip(self.names, self.with_truth(row), strict=True))

    def _plain(self, name: str, kind: type, value: object) -> object:
        """The built-in value behind a subclass: an enumeration's text, a buffer's bytes.

        A value of another kind than its column would come back from the database changed, and break the seal.
        """
        if value is MISSING:
            raise ValueError(f"{self.table.name}: unknown or missing columns ['{name}']")
        if kind is str and isinstance(value, str):
            return str(value)
        if kind is bytes and isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        if kind is datetime and isinstance(value, datetime):
            return value
        raise TypeError(f"{self.table.name}.{name} does not take a {type(value).__name__}")

    def name_of(self, row: Sequence[Any]) -> str:
        """Table and primary key in words: ``recipients(message=..., position=0)``."""
        keys = ", ".join(f"{name}={_shown(row[self.names.index(name)])}" for name in self.primary_key)
        return f"{self.table.name}({keys})"


def _kind(column: Column[Any]) -> type:
    for column_type, kind in KINDS:
        if isinstance(column.type, column_type):
            return kind
    raise TypeError(f"no canonical form for a column of type {column.type!r}")


def _given_kind(column: Column[Any]) -> type:
    """What Python code gives for a column: what is kept, but an instant as a datetime."""
    return datetime if isinstance(column.type, Instant) else _kind(column)


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
        return str(compiled), _picking([places[name] for name in order])
    named = {name: places[name] for name in compiled.params}
    return str(compiled), lambda row: {name: row[at] for name, at in named.items()}


def _picking(wanted: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
    """Picks values by their places into a tuple, which ``itemgetter`` makes of two places or more."""
    if len(wanted) == 1:
        (only,) = wanted
        return lambda row: (row[only],)
    return operator.itemgetter(*wanted)


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
