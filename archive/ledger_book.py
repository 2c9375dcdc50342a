"""The ledger of disposals and holds as it lies in ``ledger/``: signed pages, each written once.

``docs/formats/ledger.md`` is the format. The rows and the keystore are the record; ``keep`` writes down what the pages
do not say yet. Whoever changes a hold or carries out a disposal calls it, and so does whoever makes a backup, so that
a crash in between is made good.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from archive import disposal_records, hold_records
from archive.disposal_records import DisposalState
from archive.ledger_page import (
    NO_PAGE,
    DisposalOnRecord,
    Ledger,
    LedgerPage,
    all_together,
    digest_of,
    page_of,
    signed,
)
from mailstore import audit_trail, durable_file
from mailstore.database import Database
from mailstore.document_signing import DocumentSigner
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.wall_clock import Clock

KeepLedger = Callable[[], object]
"""Told that rows or keys changed of which the ledger has to speak: ``LedgerBook.keep``."""

_NAME = re.compile(r"(\d{8})\.json\Z")
_BEGUN = frozenset({DisposalState.RUNNING, DisposalState.COMPLETED})


class LedgerBook:
    """The pages of one appliance. Safe to keep from several processes at once."""

    def __init__(
        self, directory: Path, *, database: Database, keystore: Keystore, signer: DocumentSigner, clock: Clock
    ) -> None:
        self._directory = directory
        self._database = database
        self._keystore = keystore
        self._signer = signer
        self._clock = clock

    def keep(self) -> int | None:
        """Write a page with what no page says yet; its number, or None when there is nothing to say.

        Raises ``TamperedError`` for a page that is not what was written, ``StorageUnavailableError``.
        """
        try:
            durable_file.make_directory(self._directory)
            with _one_writer(self._directory):
                return self._kept()
        except OSError as error:
            raise StorageUnavailableError("the ledger of disposals and holds cannot be written") from error

    def files(self) -> Mapping[str, bytes]:
        """Every page by its name, oldest first."""
        return files_in(self._directory)

    def says(self) -> Ledger:
        """What all pages say together."""
        return all_together(pages_of(self.files(), public_key=self._signer.audit_public))

    def _kept(self) -> int | None:
        files = self.files()
        pages = pages_of(files, public_key=self._signer.audit_public)
        with self._database.read() as connection:
            new = self._recorded(connection).beyond(all_together(pages))
            entries = audit_trail.size(connection)
        if not new:
            return None
        number = len(files) + 1
        previous = digest_of(files[name_of(number - 1)]) if files else NO_PAGE
        page = LedgerPage(number, previous, self._clock.now(), entries, new)
        reached("ledger_book.before_page")
        durable_file.write_new(self._directory / name_of(number), signed(page, self._signer))
        reached("ledger_book.after_page")
        return number

    def _recorded(self, connection: Connection) -> Ledger:
        """All that rows and keystore say."""
        begun = [each for each in disposal_records.all_disposals(connection) if each.state in _BEGUN]
        disposals = [
            DisposalOnRecord(
                record,
                tuple(disposal_records.items(connection, record.id)),
                disposal_records.certificate_of(connection, record.id),
            )
            for record in begun
        ]
        holds = hold_records.all_holds(connection)
        held = [each for hold in holds for each in hold_records.placed_on(connection, hold.id)]
        return Ledger(
            {mark.message: mark.at for mark in self._keystore.marks()},
            {each.record.id: each for each in disposals},
            {hold.id: hold for hold in holds},
            {(each.hold, each.message): each for each in held},
        )


def name_of(number: int) -> str:
    """The file name of a page."""
    return f"{number:08}.json"


def files_in(directory: Path) -> dict[str, bytes]:
    """The pages that lie in a directory by their names, oldest first. Raises ``StorageUnavailableError``."""
    try:
        names = sorted(path.name for path in directory.iterdir() if _NAME.match(path.name))
        return {name: (directory / name).read_bytes() for name in names}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageUnavailableError("the ledger of disposals and holds cannot be read") from error


def pages_of(files: Mapping[str, bytes], *, public_key: bytes) -> list[LedgerPage]:
    """The pages in these files, each held against its signature and the page before it.

    ``TamperedError`` naming the first that is missing, changed or in another's place: a gap may hide what died.
    """
    found: list[LedgerPage] = []
    previous = NO_PAGE
    for number, (name, content) in enumerate(sorted(files.items()), start=1):
        if name != name_of(number):
            raise TamperedError(f"ledger page {name_of(number)} is missing")
        page = page_of(content, public_key=public_key, name=name)
        if page.page != number or page.previous != previous:
            raise TamperedError(f"ledger page {name} does not follow the one before it")
        found.append(page)
        previous = digest_of(content)
    return found


@contextmanager
def _one_writer(directory: Path) -> Iterator[None]:
    """The lock falls with the process that holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
