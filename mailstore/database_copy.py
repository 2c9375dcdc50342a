"""A row database copied into another one, table by table, every row verified by its seal on both sides.

A copy that was cut short is gone on with; where the first database has changed since, it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sqlalchemy import Connection, MetaData, Table, delete

from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.failpoint import reached
from mailstore.row_form import Stored

ROWS_AT_ONCE = 1_000
"""Rows in one transaction of the copy, and in memory."""

Progress = Callable[[str, int], None]
"""Told the table and how many of its rows are there."""


@dataclass(frozen=True)
class Copied:
    """What a copy came to. ``verified`` rows were read again on both sides, and are the same."""

    tables: int
    rows: int
    verified: int


def copy(
    source: Database, reading: Connection, target: Database, metadatas: Sequence[MetaData], tell: Progress
) -> Copied:
    """Make the tables of ``target``, which has them all, hold exactly the rows that ``reading`` sees in ``source``.

    Nobody else may write either of them meanwhile. Raises ``TamperedError`` for a row whose seal does not hold, and
    when the two do not agree in the end.
    """
    tables = [table for metadata in metadatas for table in metadata.sorted_tables]
    if any(not _is_beginning(source, reading, target, table) for table in tables):
        _empty(target, tables)
        reached("database_copy.after_emptying")
    for table in tables:
        _copy_table(source, reading, target, table, tell)
    counts = [_verified(source, reading, target, table) for table in tables]
    return Copied(len(tables), sum(counts), sum(counts))


def _is_beginning(source: Database, reading: Connection, target: Database, table: Table) -> bool:
    """True when what the target has of a table are the first rows of the source's, in their order."""
    with target.read() as there:
        pages = zip_longest(target.rows.pages(there, table, ROWS_AT_ONCE), _lazily(source, reading, table))
        for copied, wanted in pages:
            if copied is None:
                return True
            if copied != (wanted or [])[: len(copied)]:
                return False
    return True


def _lazily(source: Database, reading: Connection, table: Table) -> Iterator[list[Stored]]:
    return source.rows.pages(reading, table, ROWS_AT_ONCE)


def _empty(target: Database, tables: Sequence[Table]) -> None:
    with target.write() as connection:
        for table in reversed(tables):
            connection.execute(delete(table))


def _copy_table(source: Database, reading: Connection, target: Database, table: Table, tell: Progress) -> None:
    """Add what is not there yet, behind the last row that is."""
    with target.read() as connection:
        done, last = target.rows.extent(connection, table)
    for page in source.rows.pages(reading, table, ROWS_AT_ONCE, after=last):
        with target.write() as connection:
            target.rows.put_copies(connection, table, page)
        reached("database_copy.after_page")
        done += len(page)
        tell(table.name, done)


def _verified(source: Database, reading: Connection, target: Database, table: Table) -> int:
    """Read every row on both sides once more, prove its seal, and compare. Answers how many there are."""
    count = 0
    with target.read() as there:
        pages = zip_longest(_lazily(source, reading, table), target.rows.pages(there, table, ROWS_AT_ONCE))
        for wanted, copied in pages:
            if wanted != copied:
                raise TamperedError(f"the rows of {table.name} are not the same on both sides", fix="move them again")
            count += len(wanted)
    return count
