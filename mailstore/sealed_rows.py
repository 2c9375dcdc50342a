"""Rows that cannot be edited unseen: each carries a keyed digest over its table and every other column.

``docs/formats/sealed-rows.md`` is the format. A seal proves that this very row was written by someone who had
the row key. It does not prove that no row is missing or that this is its newest version; the audit tree and
the consistency check look after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.selectable import Select

from mailstore.errors import StrongroomError, TamperedError
from mailstore.row_form import RowForm, RowSeal, Stored
from mailstore.tables import row_numbers

ROW_KEY_BYTES = 32
OPTION = "sealed_rows"
WRITING = "sealed_rows_writing"
ERRORS = "sealed_rows_errors"
"""The option that holds what makes our own error of the driver's, or None where the mistake is in our code."""

EXAMINED_AT_ONCE = 1_000

SealedRow = Mapping[str, Any]
Where = ColumnElement[bool]
Order = Sequence[ColumnElement[Any]]
Question = Select[*tuple[Any, ...]]


@dataclass(frozen=True)
class DamagedRow:
    """A row whose seal does not hold, by table and primary key."""

    name: str


class SealedRows:
    """Inserts, reads, changes and deletes rows; nothing else in the house may.

    Rows go in and come out as mappings of column name to Python value. A connection comes from
    ``Database.read()`` or, for everything that changes rows, ``Database.write()``.
    """

    def __init__(self, row_key: bytes) -> None:
        if len(row_key) != ROW_KEY_BYTES:
            raise ValueError("the row key has 32 bytes")
        self._seal = RowSeal(row_key)
        self._forms: dict[Table, RowForm] = {}

    def insert(self, connection: Connection, table: Table, values: Mapping[str, Any]) -> int | None:
        """Add one row. Answers the number it got, where the table counts its rows."""
        numbers = self.insert_many(connection, table, (values,))
        return numbers[0] if numbers else None

    def insert_many(self, connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> range:
        """Add many rows with one statement. Answers the numbers they got, where the table counts its rows.

        A number given by the caller is kept as it is; then the answer is empty.
        """
        _require_writing(connection)
        form = self._form(table)
        given, numbers = self._numbered(connection, form, list(rows))
        if given:
            statement, arranged = form.insert(connection.dialect)
            sealed = [arranged(form.sealed(form.stored(row), self._seal)) for row in given]
            _driven(connection, statement, sealed)
        return numbers

    def select(
        self,
        connection: Connection,
        table: Table,
        where: Where | None = None,
        *,
        order_by: Order | ColumnElement[Any] | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[SealedRow]:
        """The matching rows, each verified. Raises TamperedError for the first that was edited."""
        form = self._form(table)
        statement = _asked(form, where, order_by=order_by, limit=limit, offset=offset)
        return [form.opened(row) for row in self._found(connection, form, statement)]

    def examine(
        self,
        connection: Connection,
        table: Table,
        where: Where | None = None,
        *,
        order_by: Order | ColumnElement[Any] | None = None,
    ) -> Iterator[SealedRow | DamagedRow]:
        """The matching rows, each that was edited as a ``DamagedRow`` in its place: for checks only.

        Read little by little, so that a table of any size can be examined.
        """
        form = self._form(table)
        statement = _asked(form, where, order_by=order_by)
        found = connection.execute(statement, execution_options={"yield_per": EXAMINED_AT_ONCE})
        return (self._examined(form, row) for row in found)

    def one(self, connection: Connection, table: Table, where: Where) -> SealedRow | None:
        """The single row that matches, verified, or None. More than one match is a ValueError."""
        found = self.select(connection, table, where, limit=2)
        if len(found) > 1:
            raise ValueError(f"{table.name}: more than one row matches")
        return found[0] if found else None

    def first(self, connection: Connection, table: Table, column: str, value: Any) -> SealedRow | None:
        """The first row, by primary key, with a value in a column, verified. The quick way: never compiled again."""
        form = self._form(table)
        asked, arranged = form.first_with(column, connection.dialect)
        found = _driven(connection, asked, arranged([value] * len(form.names))).fetchone()
        return None if found is None else form.opened(form.verified(found, self._seal))

    def update(self, connection: Connection, table: Table, where: Where, changes: Mapping[str, Any]) -> int:
        """Verify each matching row, change it, seal it again. Answers how many. Primary keys never change."""
        return self.update_each(connection, table, where, lambda _row: changes)

    def update_each(
        self, connection: Connection, table: Table, where: Where, changes: Callable[[SealedRow], Mapping[str, Any]]
    ) -> int:
        """As ``update``, where each row is changed in its own way. ``changes`` is told the verified row."""
        _require_writing(connection)
        form = self._form(table)
        found = self._found(connection, form, _asked(form, where).with_for_update())
        statement, arranged = form.update(connection.dialect)
        changed = []
        for row in found:
            told = changes(form.opened(list(row)))
            if not told.keys().isdisjoint(form.primary_key):
                raise ValueError(f"{table.name}: a primary key never changes")
            changed.append(arranged(form.sealed(form.changed(row, told), self._seal)))
        if changed:
            _driven(connection, statement, changed)
        return len(changed)

    def change(
        self,
        connection: Connection,
        table: Table,
        first: Mapping[str, Any],
        changes: Callable[[SealedRow], Mapping[str, Any]],
    ) -> SealedRow:
        """Change the one row with the primary key of ``first``, beginning from ``first`` if it is not there.

        ``changes`` is told the verified row as it is. Answers the row as it becomes. The quick way for running
        totals: two statements that are never compiled again.
        """
        _require_writing(connection)
        form = self._form(table)
        start = form.stored(first)
        asked, arranged = form.lookup(connection.dialect)
        found = _driven(connection, asked, arranged(start)).fetchone()
        before = start if found is None else form.verified(found, self._seal)
        after = form.changed(before, changes(form.opened(list(before))))
        verb = form.insert if found is None else form.update
        statement, arranged = verb(connection.dialect)
        _driven(connection, statement, arranged(form.sealed(after, self._seal)))
        return form.opened(after)

    def delete(self, connection: Connection, table: Table, where: Where) -> int:
        """Delete the matching rows, damaged ones too. Answers how many."""
        _require_writing(connection)
        return connection.execute(delete(table).where(where)).rowcount

    def pages(
        self, connection: Connection, table: Table, size: int, *, after: Stored | None = None
    ) -> Iterator[list[Stored]]:
        """Every row as it is stored, its seal behind it, verified, in the order of primary keys: for copies.

        ``after``: only rows behind this one. Raises TamperedError for the first row that was edited.
        """
        form = self._form(table)
        while found := connection.execute(form.behind(after).limit(size)).all():
            page = [[*form.verified(row, self._seal), row[-1]] for row in found]
            yield page
            after = page[-1]

    def put_copies(self, connection: Connection, table: Table, rows: Iterable[Stored]) -> None:
        """Add rows as ``pages`` gave them, with their seals, each verified once more."""
        _require_writing(connection)
        form = self._form(table)
        statement, arranged = form.insert(connection.dialect)
        copies = [[*form.with_truth(form.verified(row, self._seal)), row[-1]] for row in rows]
        _driven(connection, statement, [arranged(copy) for copy in copies])

    def extent(self, connection: Connection, table: Table) -> tuple[int, Stored | None]:
        """How many rows there are, and the last one in the order of primary keys, as ``pages`` gives it."""
        form = self._form(table)
        count = connection.execute(select(func.count()).select_from(table)).scalar_one()
        last = connection.execute(form.last).first()
        return count, None if last is None else [*form.verified(last, self._seal), last[-1]]

    def _form(self, table: Table) -> RowForm:
        form = self._forms.get(table)
        if form is None:
            form = self._forms[table] = RowForm(table)
        return form

    def _found(self, connection: Connection, form: RowForm, statement: Question) -> list[Stored]:
        """The matching stored rows, each verified."""
        return [form.verified(found, self._seal) for found in connection.execute(statement).all()]

    def _examined(self, form: RowForm, found: Iterable[Any]) -> SealedRow | DamagedRow:
        values = tuple(found)
        try:
            return form.opened(form.verified(values, self._seal))
        except TamperedError:
            return DamagedRow(form.name_of(values))

    def _numbered(
        self, connection: Connection, form: RowForm, rows: list[Mapping[str, Any]]
    ) -> tuple[list[Mapping[str, Any]], range]:
        """The rows with their numbers, where the table counts them and the caller gave none."""
        name = form.number
        if name is None or not rows or name in rows[0]:
            return rows, range(0)
        numbers = self._take_numbers(connection, form.table.name, len(rows))
        return [{**row, name: number} for row, number in zip(rows, numbers, strict=True)], numbers

    def _take_numbers(self, connection: Connection, table_name: str, count: int) -> range:
        """The next ``count`` numbers of a table, from 1 on; no number is ever given twice."""
        row = self.change(
            connection,
            row_numbers,
            {"table": table_name, "next": 1},
            lambda row: {"next": row["next"] + count},
        )
        return range(row["next"] - count, row["next"])


def _asked(
    form: RowForm,
    where: Where | None,
    *,
    order_by: Order | ColumnElement[Any] | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> Question:
    statement = form.select if where is None else form.select.where(where)
    if order_by is not None:
        order = (order_by,) if isinstance(order_by, ColumnElement) else order_by
        statement = statement.order_by(*order)
    return statement.limit(limit).offset(offset)


def _driven(connection: Connection, statement: str, given: Any) -> DBAPICursor:
    """Run a ready-made statement, once or for each of a list of parameters, on the driver's own cursor.

    What the engine does around such a statement costs several times the statement; it is one of the hot paths of
    taking mail in. Errors become ours as the engine's do.
    """
    cursor = connection.connection.cursor()
    try:
        if isinstance(given, list):
            cursor.executemany(statement, given)
        else:
            cursor.execute(statement, given)
    except Exception as error:
        translated: StrongroomError | None = connection.get_execution_options()[ERRORS](error)
        if translated is None:
            raise
        raise translated from error
    return cursor


def _require_writing(connection: Connection) -> None:
    """A change beside the one writer could take a number or a place in the log that another takes too."""
    if not connection.get_execution_options().get(WRITING):
        raise RuntimeError("rows are changed inside Database.write() only")


def rows_of(connection: Connection) -> SealedRows:
    """The sealed rows of the database that a connection belongs to."""
    rows = connection.get_execution_options().get(OPTION)
    if not isinstance(rows, SealedRows):
        raise TypeError("this connection does not come from Database.read() or Database.write()")
    return rows
