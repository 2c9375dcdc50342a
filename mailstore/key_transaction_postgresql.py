"""A transaction of the keystore on a PostgreSQL server: one statement after the other, or in a pipeline.

What comes with every message goes out without waiting for each answer (libpq's pipeline mode, PostgreSQL 15, section
34.5): a server is told a group of keys in three round trips instead of seven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from mailstore.key_rows import Found


@dataclass(frozen=True)
class StepwiseTransaction:
    """One transaction on one connection."""

    cursor: psycopg.Cursor[Any]

    def ask(self, question: str, values: Sequence[object] = ()) -> Found:
        """Run one statement."""
        return asked(self.cursor, question, values)

    def tell(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run one statement that asks for nothing."""
        self.ask(statement, values)

    def run_each(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        """Run one statement for each of many values."""
        if values:
            self.cursor.executemany(statement.replace("?", "%s").encode(), values)


@dataclass(frozen=True)
class PipelinedTransaction:
    """One transaction whose statements go out without waiting for each other (PostgreSQL 15, section 34.5)."""

    connection: psycopg.Connection[Any]

    def ask(self, question: str, values: Sequence[object] = ()) -> Found:
        """Run one question, and wait for what it finds."""
        return self._sent(question, values).fetchall()

    def tell(self, statement: str, values: Sequence[object] = ()) -> None:
        """Send one statement. What is wrong with it is raised by the next question, or at the end."""
        self._sent(statement, values)

    def run_each(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        """Send one statement for each of many values."""
        if values:
            self.connection.cursor().executemany(statement.replace("?", "%s").encode(), values)

    def _sent(self, words: str, values: Sequence[object]) -> psycopg.Cursor[Any]:
        return self.connection.execute(words.replace("?", "%s").encode() if values else words.encode(), values or None)


def asked(cursor: psycopg.Cursor[Any], question: str, values: Sequence[object] = ()) -> Found:
    """Run one statement with ``?`` for each value; what it finds, if it asks for anything."""
    cursor.execute(question.replace("?", "%s").encode() if values else question.encode(), values or None)
    return cursor.fetchall() if cursor.description else []
