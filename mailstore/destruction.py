"""The end of a message. Only ``archive.disposal_run`` may call this, after deciding under lock that it must die.

The row of a message is the list of what there is to destroy, so it goes last: a run that was cut short anywhere is
simply run again, with the same ids, and finds what is left to do.

1. Read the rows: where the sealed bytes lie. No row and a tombstone: done before; only 2, 7 and 8 are done again.
2. Destroy the wrapped keys (``Keystore.destroy``). **The point of no return**: from here nobody can read the
   messages, their columns included, in any copy of the data (NIST SP 800-88r2 section 3.2, cryptographic erase).
3. Overwrite and punch out the sealed bytes in the spool: the row of a promoted message goes on naming its segment
   until that is gone (``spool_release``), so no bytes are left there that no row knows of.
4. Delete the objects, every version of them.
5. Prove 3 and 4, while the rows still say where the bytes were.
6. In one transaction: hold the places against the rows once more (a message may have been promoted, or its segment
   released, since 1; then begin again at 1), let the caller forget its own rows, cut the links to shared parts, remove
   our rows, leave a tombstone each.
7. Destroy the shared parts that lost their last use in 6, and any that an interrupted run left so: key, object, row.
   A part that another message needs stays, and is not readable by what died.
8. Cut the journal of the row database to nothing, so that no older page stays in it.

Whatever cannot be done or proved stops the run with an error; nothing is reported as destroyed that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection

from mailstore import message_records, part_records, spool
from mailstore.database import Database
from mailstore.errors import NotFoundError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.message import MessageId, StoredMessage
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks
from mailstore.sealed_copies import place_of
from mailstore.wall_clock import Clock

_ROUNDS = 4
"""A message is promoted once and released once, so a third look is enough; a fourth says that something is wrong."""

Forget = Callable[[Connection, Sequence[MessageId]], None]
"""Removes the caller's own rows of the messages, and writes its audit entries, in the transaction it is given."""


class Destruction:
    """Destroys messages so that a crash at any step is mended by running it again."""

    def __init__(
        self,
        database: Database,
        keystore: Keystore,
        spool_directory: Path,
        objects: ObjectStore,
        *,
        links: PartLinks,
        clock: Clock,
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._spool_directory = spool_directory
        self._objects = objects
        self._links = links
        self._clock = clock

    def destroy(self, messages: Sequence[MessageId], *, certificate: str, forget: Forget) -> None:
        """Destroy messages as the module says. ``certificate`` is the id under which it will be certified.

        Raises ``NotFoundError`` before anything is done when one was never ours, ``StorageUnavailableError`` when
        a step could not be done or proved: run it again.
        """
        if not messages:
            return
        self._refuse_unknown(messages)
        self._keystore.destroy(messages, at=self._clock.now())
        reached("destruction.after_keys")
        for _ in range(_ROUNDS):
            stored = self._stored(messages)
            self._erase_bytes(stored)
            self._refuse_remains(stored)
            if self._rows_removed(messages, stored, certificate=certificate, forget=forget):
                break
        else:
            raise StorageUnavailableError("messages were moved again and again while they were destroyed")
        reached("destruction.after_rows")
        self.finish()
        reached("destruction.after_journal")

    def finish(self) -> None:
        """Steps 7 and 8 again, for whoever was cut short behind 6, when no message is left to be destroyed.

        Raises ``StorageUnavailableError`` when a step could not be done: run it again.
        """
        self._destroy_unused_parts()
        self._database.truncate_journal()

    def prove_absent(self, message: MessageId) -> tuple[str, ...]:
        """What is still there of a destroyed message, in plain words; nothing, when it is as it must be."""
        with self._database.read() as connection:
            has_row = bool(message_records.stored_many(connection, [message]))
            has_recipients = bool(message_records.recipient_rows(connection, message))
            has_tombstone = message_records.is_disposed(connection, message)
            has_unused_parts = bool(part_records.unused(connection))
        found = {
            "its key is still there": self._keystore.has_key(message),
            "its key has no mark of destruction": not self._keystore.is_destroyed(message),
            "its row is still there": has_row,
            "rows of its recipients are still there": has_recipients,
            "it has no tombstone": not has_tombstone,
            "shared parts that no message needs are still there": has_unused_parts,
        }
        return tuple(problem for problem, is_so in found.items() if is_so)

    def _refuse_unknown(self, messages: Sequence[MessageId]) -> None:
        with self._database.read() as connection:
            known = {stored.id for stored in message_records.stored_many(connection, messages)}
            unknown = [
                message
                for message in messages
                if message not in known and not message_records.is_disposed(connection, message)
            ]
        if unknown:
            raise NotFoundError(f"message {unknown[0]} is not here: nothing was destroyed")

    def _stored(self, messages: Sequence[MessageId]) -> list[StoredMessage]:
        with self._database.read() as connection:
            return message_records.stored_many(connection, messages)

    def _destroy_unused_parts(self) -> None:
        """Of this destruction and of any that was cut short. A part without uses never gets one again."""
        with self._database.read() as connection:
            dying = part_records.unused(connection)
        if not dying:
            return
        self._keystore.destroy([MessageId(part.id) for part in dying], at=self._clock.now())
        reached("destruction.after_part_keys")
        for part in dying:
            self._objects.delete(part.object.name)
            if self._objects.exists(part.object.name):
                raise StorageUnavailableError(f"the sealed bytes of shared part {part.id} are still there")
        reached("destruction.after_part_objects")
        with self._database.write() as connection:
            part_records.remove(connection, [part.id for part in dying])
        reached("destruction.after_part_rows")

    def _erase_bytes(self, stored: Sequence[StoredMessage]) -> None:
        for message in stored:
            if (place := place_of(message)) is not None:
                spool.erase_range(self._spool_directory, place)
        reached("destruction.after_spool")
        for message in stored:
            if message.object_name is not None:
                self._objects.delete(message.object_name)
                reached("destruction.after_object")

    def _refuse_remains(self, stored: Sequence[StoredMessage]) -> None:
        for message in stored:
            place = place_of(message)
            is_in_spool = place is not None and not spool.is_erased(self._spool_directory, place)
            if is_in_spool or (message.object_name is not None and self._objects.exists(message.object_name)):
                raise StorageUnavailableError(f"the sealed bytes of message {message.id} are still there")

    def _rows_removed(
        self,
        messages: Sequence[MessageId],
        before: Sequence[StoredMessage],
        *,
        certificate: str,
        forget: Forget,
    ) -> bool:
        """False, and nothing is changed, when a message was moved since its row was read."""
        with self._database.write() as connection:
            stored = message_records.stored_many(connection, messages)
            if list(stored) != list(before):
                return False
            forget(connection, messages)
            self._links.cut(connection, messages)
            message_records.remove(connection, messages)
            dead = [message for message in messages if not message_records.is_disposed(connection, message)]
            message_records.tombstone(connection, dead, certificate=certificate, now=self._clock.now())
        return True
