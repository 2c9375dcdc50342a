"""Dictionaries of the practice's mail: the only module that touches ``mail_dictionaries``.

A dictionary is sealed under a key of its own that lies with the keys of messages, so that it can be destroyed. It goes
when a newer one is in use and no message needs it any more. Its text is what many share (``mail_dictionary``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.message import ID_BYTES, MessageId, identifier_from
from mailstore.message_keys import MessageKeys
from mailstore.sealed_format import Context, Dictionary, Randomness, open_sealed, seal
from mailstore.sealed_rows import rows_of
from mailstore.tables import mail_dictionaries, messages
from mailstore.wall_clock import Clock

_LEVEL = 12
_NEWEST = select(func.max(mail_dictionaries.c.number))


class MailDictionaries:
    """Opens dictionaries, and remembers those that it opened. Safe to use from many threads."""

    def __init__(self, database: Database, keys: MessageKeys) -> None:
        self._database = database
        self._keys = keys
        self._opened: dict[int, Dictionary] = {}
        self._lock = threading.Lock()

    def by_number(self, number: int) -> Dictionary:
        """The dictionary of that number. ``TamperedError`` when it is not here: some message needs it."""
        with self._lock:
            if number in self._opened:
                return self._opened[number]
        with self._database.read() as connection:
            row = rows_of(connection).first(connection, mail_dictionaries, "number", number)
        if row is None:
            raise TamperedError(f"dictionary {number} of the mail is missing")
        dictionary = self._of(row)
        with self._lock:
            return self._opened.setdefault(number, dictionary)

    def sealed(self, number: int) -> tuple[MessageId, bytes]:
        """The id under which the dictionary's key is kept, and the dictionary sealed. ``TamperedError`` as above."""
        with self._database.read() as connection:
            row = rows_of(connection).one(connection, mail_dictionaries, mail_dictionaries.c.number == number)
        if row is None:
            raise TamperedError(f"dictionary {number} of the mail is missing")
        return MessageId(row["id"]), row["sealed_dictionary"]

    def newest(self) -> Dictionary | None:
        """The one to pack with; None before there is any."""
        with self._database.read() as connection:
            number = newest_number(connection)
        return None if number is None else self.by_number(number)

    def _of(self, row: Mapping[str, Any]) -> Dictionary:
        key = self._keys.key(MessageId(row["id"]))
        return Dictionary(row["number"], open_sealed(row["sealed_dictionary"], key=key, context=_context(row["id"])))


def newest_number(connection: Connection) -> int | None:
    """The number of the newest dictionary. The row is not verified."""
    number = connection.execute(_NEWEST).scalar()
    return None if number is None else int(number)


def id_of(connection: Connection, number: int) -> MessageId:
    """Under which id the key of a dictionary is kept. ``TamperedError`` when it is not here: some message needs it."""
    row = rows_of(connection).one(connection, mail_dictionaries, mail_dictionaries.c.number == number)
    if row is None:
        raise TamperedError(f"dictionary {number} of the mail is missing")
    return MessageId(row["id"])


def is_known(connection: Connection, number: int) -> bool:
    """True while the dictionary is here: whoever packed with it asks so in the transaction of the message's row."""
    return rows_of(connection).first(connection, mail_dictionaries, "number", number) is not None


def messages_then(connection: Connection) -> int | None:
    """How many messages there were when it was last looked whether a new dictionary is needed; None before."""
    number = newest_number(connection)
    if number is None:
        return None
    row = rows_of(connection).one(connection, mail_dictionaries, mail_dictionaries.c.number == number)
    return None if row is None else int(row["messages_then"])


def set_looked(connection: Connection, messages_now: int) -> None:
    """The newest dictionary was found to be good enough still."""
    where = mail_dictionaries.c.number == newest_number(connection)
    rows_of(connection).update(connection, mail_dictionaries, where, {"messages_then": messages_now})


def add(
    database: Database, keys: MessageKeys, text: bytes, *, messages_now: int, clock: Clock, randomness: Randomness
) -> None:
    """A new dictionary, durable, to be packed with from now on. Its key comes first: one without a row is swept."""
    name = identifier_from(randomness(ID_BYTES))
    key = keys.made(MessageId(name), clock=clock, randomness=randomness)
    reached("dictionary_records.after_key")
    sealed = seal(text, key=key, context=_context(name), randomness=randomness, level=_LEVEL)
    with database.write() as connection:
        rows_of(connection).insert(
            connection,
            mail_dictionaries,
            {"id": name, "made_at": clock.now(), "messages_then": messages_now, "sealed_dictionary": sealed},
        )
    reached("dictionary_records.after_row")


def destroy_unused(database: Database, keystore: Keystore, *, clock: Clock) -> int:
    """Destroy the dictionaries that nothing needs any more, all but the newest. Answers how many.

    The rows go in the transaction that sees that no message needs them; a key that a crash leaves is swept.
    """
    with database.write() as connection:
        newest = newest_number(connection)
        older = rows_of(connection).select(connection, mail_dictionaries, mail_dictionaries.c.number != newest)
        gone = [row for row in older if not _is_needed(connection, row["number"])]
        for row in gone:
            rows_of(connection).delete(connection, mail_dictionaries, mail_dictionaries.c.number == row["number"])
    reached("dictionary_records.after_removal")
    if gone:
        keystore.destroy([MessageId(row["id"]) for row in gone], at=clock.now())
    return len(gone)


def _is_needed(connection: Connection, number: int) -> bool:
    asked = select(messages.c.id).where(messages.c.object_dictionary == number).limit(1)
    return connection.execute(asked).first() is not None


def _context(name: str) -> Context:
    return ("mail dictionary", name, 1)
