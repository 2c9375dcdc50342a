"""How a document lies in a part of the index that SQLite keeps: one row of facts, and its words by column.

What facets are made of is shared by many messages: each such kind is a row of its own, of which a message names one.

Words are those of ``archive.words``. SQLite's own tokenizer only cuts at what is no ASCII letter, no digit and below
U+0080, so that folded words joined by spaces come out as they went in. Written down in
``docs/formats/sqlite-index.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from typing import TypeAlias, assert_never

from archive.index_document import Field, IndexDocument
from archive.query_conditions import CategoryIs, DirectionIs, HasAttachment, MarkCondition, SenderDomainIs, marks_of
from archive.words import LONGEST_WORD_CHARACTERS, words_of
from mailstore.instants import microseconds

FORMAT = 4
"""Stands in the list of the parts; another one is made anew."""

PAGE_BYTES = 8_192
_LEAF_BYTES = 7_900
"""What FTS5 puts into one row, so that with its head it fits a page of which the cipher keeps 80 bytes."""

_HASH_BYTES = 32 * 1024 * 1024
_MERGED_TOGETHER = 16
"""Runs of words that FTS5 gathers before it merges them: what is merged seldom is written seldom."""


COLUMNS = (Field.SUBJECT, Field.PARTICIPANT, Field.BODY, Field.FILENAME, Field.ATTACHMENT)
"""The fields that a word without a field is looked for in; each is a column of its own.

The column ``marks`` holds what else a message is found by: words of single address fields, whole addresses, facts."""

SCHEMA = (
    """CREATE TABLE kinds (
        kind INTEGER PRIMARY KEY, year INTEGER NOT NULL, category TEXT NOT NULL, has_attachment INTEGER NOT NULL,
        sender_domain TEXT NOT NULL, direction TEXT NOT NULL,
        UNIQUE (sender_domain, year, category, has_attachment, direction))""",
    """CREATE TABLE messages (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, received_at INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL, kind INTEGER NOT NULL)""",
    "CREATE TABLE facts (kinds BLOB NOT NULL, circles BLOB NOT NULL, told TEXT NOT NULL)",
    "CREATE INDEX messages_by_time ON messages (received_at, id)",
    "CREATE INDEX messages_by_kind ON messages (kind)",
    """CREATE VIRTUAL TABLE words USING fts5 (
        subject, participant, body, filename, attachment, marks,
        content='', contentless_delete=1, tokenize='ascii')""",
)
SETTINGS = {
    "pgsz": _LEAF_BYTES,
    "hashsize": _HASH_BYTES,
    "automerge": _MERGED_TOGETHER,
    "crisismerge": 2 * _MERGED_TOGETHER,
}
"""What the table of words is told once (https://www.sqlite.org/fts5.html section 6)."""

KIND = (
    "INSERT INTO kinds (year, category, has_attachment, sender_domain, direction) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET kind = kind RETURNING kind"
)
"""Answers the number of a kind, a new one when it is seen for the first time."""

FORGET_KINDS = "DELETE FROM kinds WHERE kind NOT IN (SELECT kind FROM messages)"
"""Of what no message is any more, as a sender's domain that only removed messages had."""

KEEP_FACTS = "INSERT INTO facts (kinds, circles, told) VALUES (?, ?, ?)"
KEPT_FACTS = "SELECT kinds, circles, told FROM facts"
FORGET_FACTS = "DELETE FROM facts"
"""What facets count, worked out when a part is settled and true until it changes (``sqlite_facts``)."""

PEOPLE = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.people USING fts5vocab(main, words, row)"
FREQUENT = "SELECT term FROM temp.people WHERE term >= ? AND term < ? AND doc >= ?"
"""Tokens between two that at least so many messages have."""

INSERT_FACTS = (
    "INSERT INTO messages (number, id, received_at, size_bytes, kind) VALUES (?, ?, ?, ?, ?) RETURNING number"
)
INSERT_WORDS = (
    "INSERT INTO words (rowid, subject, participant, body, filename, attachment, marks) VALUES (?, ?, ?, ?, ?, ?, ?)"
)

# The marks are private-use characters (general category Co), which are no part of any word: what carries one is
# never mistaken for a word, nor for what carries another.
_WORD_MARKS = {Field.FROM: "\ue001", Field.TO: "\ue002", Field.CC: "\ue003", Field.BCC: "\ue004"}
_ADDRESS_MARKS = {name: chr(0xE010 + number) for number, name in enumerate([*_WORD_MARKS, Field.PARTICIPANT])}
_CATEGORY_MARK = "\ue020"
_HAS_ATTACHMENT = "\ue021"
NOWHERE = "\ue022"
"""A token that no message has."""

_DOMAIN_MARK = "\ue023"
_DIRECTION_MARK = "\ue024"

_BETWEEN_TEXTS = " \u00b6 "
"""Two texts of a field are this far apart: a token that no query holds, so that no phrase crosses."""

_LONG_RUN = re.compile(f"[A-Za-z0-9]{{{LONGEST_WORD_CHARACTERS + 1}}}")


def word_token(name: Field | None, word: str) -> str:
    """A word, or the beginning of one, as it is looked for in this field."""
    return _WORD_MARKS.get(name, "") + word if name else word


def column_of(name: Field | None) -> str:
    """The column that the words of this field lie in; without a field, all of them: a mark tells them apart."""
    return "" if name is None or name in _WORD_MARKS else name.value


def address_token(name: Field, address: str) -> str:
    """A whole canonical address in this field."""
    return _ADDRESS_MARKS[name] + _letters(address)


PARTICIPANTS = _ADDRESS_MARKS[Field.PARTICIPANT], chr(ord(_ADDRESS_MARKS[Field.PARTICIPANT]) + 1)
"""Between these two lie the tokens of all addresses among the participants."""


def address_of(token: str) -> str:
    """The address that ``address_token`` gave this for."""
    return bytes.fromhex(token[1:]).decode("utf-8", "surrogatepass")


def mark_token(condition: MarkCondition) -> str:
    """One word about a whole message: its folded category, its sender's domain, its direction."""
    match condition:
        case CategoryIs(name):
            return _CATEGORY_MARK + _letters(name)
        case SenderDomainIs(domain):
            return _DOMAIN_MARK + _letters(domain)
        case DirectionIs(direction):
            return _DIRECTION_MARK + direction.value
        case HasAttachment():
            return _HAS_ATTACHMENT
        case _:
            assert_never(condition)


Kind: TypeAlias = tuple[int, str, int, str, str]


def kind_of(document: IndexDocument) -> Kind:
    """What facets count it as, as ``KIND`` takes it; years are those of UTC."""
    return (
        document.received_at.astimezone(UTC).year,
        document.category,
        int(document.has_attachment),
        document.sender_domain,
        document.direction.value,
    )


def facts_of(document: IndexDocument) -> tuple[str | int, ...]:
    """The row of a document, as ``INSERT_FACTS`` takes it, but for its number and its kind."""
    return document.id, microseconds(document.received_at), document.size_bytes


def words_row(document: IndexDocument) -> tuple[str, ...]:
    """The words of a document: the columns, then the marks."""
    columns = (_BETWEEN_TEXTS.join(map(_spaced, _distinct(document, name))) for name in COLUMNS)
    return (*columns, _BETWEEN_TEXTS.join(_marks(document)))


def _distinct(document: IndexDocument, name: Field) -> tuple[str, ...]:
    """The texts of a field. One that stands there twice answers no more than once."""
    return tuple(dict.fromkeys(document.texts.get(name, ())))


def _spaced(text: str) -> str:
    """The text as SQLite may cut it. Plain ASCII it cuts as ``words_of`` does; any other text comes cut."""
    return text if text.isascii() and not _has_long_run(text) else " ".join(words_of(text))


def _has_long_run(text: str) -> bool:
    """True when a word is longer than words may be. Most texts hold nothing that long at all."""
    longest = max(map(len, text.split()), default=0)
    return longest > LONGEST_WORD_CHARACTERS and _LONG_RUN.search(text) is not None


def _marks(document: IndexDocument) -> Iterator[str]:
    for name, mark in _WORD_MARKS.items():
        for text in _distinct(document, name):
            yield " ".join(mark + word for word in words_of(text))
    for name, addresses in document.addresses.items():
        yield " ".join(address_token(name, address) for address in sorted(addresses))
    yield from map(mark_token, marks_of(document))


def _letters(text: str) -> str:
    """Any text as ASCII letters and digits, so that it stays one token; different texts stay different."""
    return text.encode("utf-8", "surrogatepass").hex()
