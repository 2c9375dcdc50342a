"""One part of the index that SQLite keeps: an encrypted database of some thousand messages under a key of its own.

Every page carries its authentication code, so that what is read is what was written. The file is in the format of
SQLCipher 4 (AES-256-CBC, HMAC-SHA-512), made by SQLite3 Multiple Ciphers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import apsw

from archive.index_document import IndexDocument
from archive.sqlite_facts import KINDS, MESSAGES, PartFacts, Tally
from archive.sqlite_question import EVERYTHING, SAME_FOR_ALL, Question, address_question
from archive.sqlite_schema import (
    FORGET_FACTS,
    FORGET_KINDS,
    FREQUENT,
    INSERT_FACTS,
    INSERT_WORDS,
    KEEP_FACTS,
    KEPT_FACTS,
    KIND,
    PAGE_BYTES,
    PARTICIPANTS,
    PEOPLE,
    SCHEMA,
    SETTINGS,
    address_of,
    facts_of,
    kind_of,
    words_row,
)
from mailstore import durable_file
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.message import MessageId

ENDING = ".part"
"""How the name of a part ends."""

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database under its name."""

_SQLCIPHER = 4
"""The version of SQLCipher whose format this is: all of the first page is encrypted too."""

_BUSY_MILLISECONDS = 30_000
_STEPS_BETWEEN_LOOKS = 2_000
"""Steps of SQLite's machine between two looks at the clock: well under a millisecond."""

_OPEN = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOFOLLOW
_DAMAGE = (apsw.NotADBError, apsw.CorruptError)

_FROM_WORDS = "FROM words CROSS JOIN messages AS m ON m.number = words.rowid WHERE words MATCH ?"
_FROM_MESSAGES = "FROM messages AS m WHERE 1"
_COUNTED_WORDS = "SELECT count(*) FROM words WHERE words MATCH ?"
_WORDS_ALONE = "SELECT json_group_array(rowid) FROM words WHERE words MATCH ?"
_EXTENT = """SELECT (SELECT count(*) FROM messages),
    (SELECT min(received_at) FROM messages), (SELECT max(received_at) FROM messages)"""
"""Asked so, SQLite reads the two ends of an index and counts pages; in one SELECT it reads every row."""

_FREQUENT_ONE_IN = 128
"""Who takes part in at least one of so many messages of a part is known beforehand; of all others SQLite is asked."""

_NEWEST_FIRST = "m.received_at DESC, m.id DESC LIMIT"


@dataclass(frozen=True)
class PartAnswer:
    """``total`` messages of a part match, ``first`` are the first of them: relevance, time of receipt and id."""

    total: int
    first: list[tuple[int, int, str]]


class Part:
    """An open part. One thread at a time."""

    def __init__(self, path: Path, key: bytes, *, cache_bytes: int, is_new: bool = False) -> None:
        self._path = path
        with _as_ours(path):
            self._connection = _connected(path, key, cache_bytes=cache_bytes)
        self._extent: tuple[int, tuple[int, tuple[int, int]]] | None = None
        self._facts: tuple[tuple[int, frozenset[str]], PartFacts] | None = None
        with _as_ours(path):
            if not (is_new or _number(self._connection, "SELECT count(*) FROM sqlite_schema")):
                raise TamperedError(f"the index file {path.name} is empty")

    @classmethod
    def made(cls, path: Path, key: bytes, *, cache_bytes: int) -> Part:
        """A new and empty part, durable."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        part = cls(path, key, cache_bytes=cache_bytes, is_new=True)
        with _as_ours(path), part._connection as connection:
            for statement in SCHEMA:
                connection.execute(statement)
            connection.executemany("INSERT INTO words (words, rank) VALUES (?, ?)", SETTINGS.items())
        durable_file.sync_directory(path.parent)
        return part

    def close(self) -> None:
        """Let go of the file."""
        with suppress(apsw.Error):
            self._connection.close()

    def limit_cache(self, cache_bytes: int) -> None:
        """Keep no more pages than this in memory from now on."""
        with _as_ours(self._path):
            _limit_cache(self._connection, cache_bytes)

    def count(self) -> int:
        """How many messages it holds."""
        return self._known_extent()[0]

    def is_purge_due(self) -> bool:
        """True when messages were removed whose words are not out of the file yet."""
        with _as_ours(self._path):
            return _number(self._connection, "PRAGMA user_version") == 1

    def numbers_of(self, messages: Collection[MessageId]) -> dict[str, int]:
        """Those of these messages that it holds, with their numbers."""
        asked = "SELECT id, number FROM messages WHERE id IN (SELECT value FROM json_each(?))"
        with _as_ours(self._path):
            return dict(self._connection.execute(asked, (json.dumps(list(messages)),)))

    def put(self, documents: Sequence[IndexDocument], *, replaced: dict[str, int]) -> None:
        """Take these in with one commit, durably. ``replaced``: the numbers of those that are here already."""
        with _as_ours(self._path), self._connection as connection:
            connection.execute(FORGET_FACTS)
            self._take_out(replaced.values())
            kinds = {kind: connection.execute(KIND, kind).get for kind in {*map(kind_of, documents)}}
            for document in documents:
                facts = (replaced.get(document.id), *facts_of(document), kinds[kind_of(document)])
                number = connection.execute(INSERT_FACTS, facts).get
                connection.execute(INSERT_WORDS, (number, *words_row(document)))

    def remove(self, messages: Collection[MessageId]) -> bool:
        """Take these out with one commit, durably, and remember that their words are still to be purged."""
        found = self.numbers_of(messages)
        if not found:
            return False
        with _as_ours(self._path), self._connection as connection:
            connection.execute(FORGET_FACTS)
            self._take_out(found.values())
            connection.execute("PRAGMA user_version = 1")
        return True

    def settle(self) -> None:
        """Join all that was added into one run, without what was removed, and work out beforehand what facets count."""
        with _as_ours(self._path):
            self._connection.execute(FORGET_KINDS)
            self._connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            with self._connection as connection:
                connection.execute(FORGET_FACTS)
                connection.execute(KEEP_FACTS, self._read_facts().joined(self._frequent()).to_keep())
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def declare_purged(self) -> None:
        """Say, durably, that no word of what was removed is in this file: it is a fresh copy of what is in use."""
        with _as_ours(self._path):
            self._connection.execute("PRAGMA user_version = 0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def copy_to(self, path: Path, key: bytes) -> None:
        """Write what is in use, and nothing else, to a new file under another key, durably."""
        form = f"cipher=sqlcipher&legacy={_SQLCIPHER}&legacy_page_size={PAGE_BYTES}"
        words = f"file:{quote(path.as_posix())}?{form}&hexkey={_passphrase(key)}"
        with _as_ours(self._path):
            self._connection.execute("VACUUM INTO ?", (words,))
        path.chmod(0o600)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def verify(self) -> None:
        """Read every page in use. Raises ``TamperedError`` when one is not what was written; free ones nobody reads."""
        with _as_ours(self._path):
            _number(self._connection, "SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1")

    def span(self) -> tuple[int, int] | None:
        """When its first and last message were received, in microseconds since 1970; None when it is empty."""
        count, span = self._known_extent()
        return span if count else None

    def _known_extent(self) -> tuple[int, tuple[int, int]]:
        """How many messages, and when the first and last were received. Counted once for each state of the part."""
        with _as_ours(self._path):
            version = self._version()
            if self._extent is None or self._extent[0] != version:
                [(count, first, last)] = self._connection.execute(_EXTENT)
                self._extent = version, (int(count), (int(first or 0), int(last or 0)))
            return self._extent[1]

    def answer(self, question: Question, *, limit: int, is_over: Callable[[], bool]) -> PartAnswer | None:
        """How many match, and the first ``limit`` of them; None when the time was over before that was known."""
        where, parameters = _where(question)
        counted = _COUNTED_WORDS if _is_of_words_alone(question) else f"SELECT count(*) {where}"
        by_score = "" if question.score == SAME_FOR_ALL else "score DESC, "
        first = f"SELECT {question.score} AS score, m.received_at, m.id {where} ORDER BY {by_score}{_NEWEST_FIRST}"
        with suppress(apsw.InterruptError), self._interrupted_when(is_over), _as_ours(self._path):
            total = _number(self._connection, counted, parameters)
            if not total or limit < 1:
                return PartAnswer(total, [])
            asked = self._connection.execute(f"{first} {limit:d}", (*question.score_parameters, *parameters))
            return PartAnswer(total, list(asked))
        return None

    def facets(
        self, question: Question, *, mailboxes: Collection[str], is_over: Callable[[], bool]
    ) -> tuple[int, list[Tally]] | None:
        """How many match, and how many of them have which facet; None when the time was over before."""
        one_state = self._connection
        with suppress(apsw.InterruptError), self._interrupted_when(is_over), _as_ours(self._path), one_state:
            if question == EVERYTHING:
                return self._known_facts(frozenset(mailboxes)).of_all
            found = self._numbers(question)
            return self._known_facts(frozenset(mailboxes)).counted(found)
        return None

    def _numbers(self, question: Question) -> list[int]:
        where, parameters = _where(question)
        asked = _WORDS_ALONE if _is_of_words_alone(question) else f"SELECT json_group_array(m.number) {where}"
        return _listed(self._connection.execute(asked, parameters).get)

    def _known_facts(self, mailboxes: frozenset[str]) -> PartFacts:
        state = self._version(), mailboxes
        if self._facts is None or self._facts[0] != state:
            kept = self._connection.execute(KEPT_FACTS).fetchone()
            facts = PartFacts.kept(*kept) if kept else self._read_facts()
            facts = facts.joined(self._taking_part(facts.unknown(mailboxes))).of_mailboxes(mailboxes)
            self._facts = state, facts
        return self._facts[1]

    def _read_facts(self) -> PartFacts:
        [(numbers, kinds)] = self._connection.execute(MESSAGES)
        return PartFacts.read(self._connection.execute(KINDS), _listed(numbers), _listed(kinds))

    def _taking_part(self, addresses: Collection[str]) -> dict[str, list[int]]:
        return {address: self._numbers(address_question(address)) for address in addresses}

    def _frequent(self) -> dict[str, list[int]]:
        """In which messages those take part who take part in many."""
        self._connection.execute(PEOPLE)
        asked = (*PARTICIPANTS, max(1, self.count() // _FREQUENT_ONE_IN))
        return self._taking_part([address_of(str(token)) for (token,) in self._connection.execute(FREQUENT, asked)])

    def _version(self) -> int:
        """Another one after every change, ours or another process's."""
        return _number(self._connection, "PRAGMA data_version") * 2**32 + self._connection.total_changes()

    @contextmanager
    def _interrupted_when(self, is_over: Callable[[], bool]) -> Iterator[None]:
        self._connection.set_progress_handler(is_over, _STEPS_BETWEEN_LOOKS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None)

    def _take_out(self, numbers: Collection[int]) -> None:
        rows = [(number,) for number in numbers]
        self._connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
        self._connection.executemany("DELETE FROM messages WHERE number = ?", rows)


def _where(question: Question) -> tuple[str, tuple[str | int, ...]]:
    """The rest of a statement that asks this, with its parameters."""
    source = _FROM_MESSAGES if question.match is None else _FROM_WORDS
    where = " ".join([source, *(f"AND ({condition})" for condition in question.conditions)])
    return where, (*([] if question.match is None else [question.match]), *question.parameters)


def _is_of_words_alone(question: Question) -> bool:
    return question.match is not None and not question.conditions


def _listed(numbers: object) -> list[int]:
    """Numbers that SQLite answered as one list of JSON."""
    found: list[int] = json.loads(str(numbers))
    return found


def unlink(path: Path) -> None:
    """Remove a part and what SQLite kept beside it."""
    for ending in ("", *BESIDE):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _limit_cache(connection: apsw.Connection, cache_bytes: int) -> None:
    connection.pragma("cache_size", -(cache_bytes // 1024))


def _connected(path: Path, key: bytes, *, cache_bytes: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=_OPEN)
    try:
        connection.set_busy_timeout(_BUSY_MILLISECONDS)
        connection.pragma("cipher", "sqlcipher")
        connection.pragma("legacy", _SQLCIPHER)
        connection.pragma("legacy_page_size", PAGE_BYTES)
        connection.pragma("hexkey", _passphrase(key))
        connection.pragma("temp_store", 2)
        _limit_cache(connection, cache_bytes)
        connection.pragma("secure_delete", 1)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", 2)
    except apsw.Error:
        connection.close()
        raise
    return connection


def _passphrase(key: bytes) -> str:
    """A raw key as SQLite3 Multiple Ciphers takes it: 64 hexadecimal digits after "raw:", in hexadecimal again."""
    return f"raw:{key.hex()}".encode().hex()


def _number(connection: apsw.Connection, asked: str, parameters: Sequence[str | int] = ()) -> int:
    found = connection.execute(asked, tuple(parameters)).get
    return int(found or 0)


@contextmanager
def _as_ours(path: Path) -> Iterator[None]:
    """SQLite's errors in our words. Its own may hold the key of a file, so none is handed on."""
    try:
        yield
    except apsw.CantOpenError:
        _missing(path)
    except _DAMAGE:
        raise TamperedError(f"the index file {path.name} is not what was written") from None
    except apsw.InterruptError:
        raise
    except apsw.Error as error:
        told = f"the search index cannot be read or written now ({type(error).__name__})"
        raise StorageUnavailableError(told) from None


def _missing(path: Path) -> NoReturn:
    if path.exists():
        raise StorageUnavailableError("the search index cannot be opened now") from None
    raise FileNotFoundError(path.name) from None
