"""Rows for any table, made up from what its columns may hold: for tests that are about every table alike."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table

from mailstore.database import Database
from mailstore.message import ID_BYTES, identifier_from
from mailstore.tables import Instant


def fill(database: Database, table: Table, *, now: datetime) -> None:
    """Two made-up rows for a table that has none; the tables it names come before it."""
    with database.write() as connection:
        for number in (1, 2) if not database.rows.select(connection, table, limit=1) else ():
            columns = [column for column in table.columns if column is not table.autoincrement_column]
            values = {column.name: _made_up(database, connection, column, number, now) for column in columns}
            del values["seal"]
            database.rows.insert(connection, table, values)


def _made_up(database: Database, connection: Connection, column: Column[Any], number: int, now: datetime) -> object:
    for reference in column.foreign_keys:
        named = reference.column
        return database.rows.select(connection, named.table, order_by=named)[number - 1][named.name]
    match column.type:
        case Boolean():
            return True
        case Instant():
            return now
        case Integer():
            return number
        case String():
            return identifier_from(os.urandom(ID_BYTES))[: column.type.length or 26]
    return os.urandom(16)
