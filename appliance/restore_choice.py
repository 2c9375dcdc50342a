"""What a restore begins from: which generation of the data, which of the keys, and the newest ledger of all.

Data and keys are backed up apart. Keys that are older than the data lack those of the mail that came in between; data
without keys can be proved and not read. Both are told before anything is laid down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from archive import ledger_book
from archive.ledger_page import Ledger, all_together
from mailstore import backup_catalogue
from mailstore.backup_catalogue import Generation
from mailstore.backup_contents import BackedFile, DataContents, KeysContents
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pack import Marks, chunk_at
from mailstore.errors import NotFoundError, RefusedError, TamperedError
from mailstore.restore_source import ELSEWHERE, RestoreSource, ledger_pages

_LEDGER = "ledger/"


class NoKeysError(RefusedError):
    """There is data and no keys: nothing of it can be read."""

    code = "data_only"


class NoDataError(RefusedError):
    """There are keys and no data: nothing is there that they open."""

    code = "keys_only"


@dataclass(frozen=True)
class Choice:
    """What is restored. ``book``: the pages to go on with; ``ledger``: what all pages everywhere say."""

    source: RestoreSource
    keys_source: RestoreSource
    data: Generation
    contents: DataContents
    keys: Generation
    chain: tuple[KeysContents, ...] = field(repr=False)
    book: Mapping[str, bytes] = field(repr=False)
    ledger: Ledger = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def as_of(self) -> datetime:
        """The moment whose mail is whole: what came later is in no generation of the data."""
        return self.contents.as_of


@dataclass(frozen=True)
class Wish:
    """What was asked for. None: the newest."""

    data: int | None = None
    keys: int | None = None


def choose(source: RestoreSource, keys_source: RestoreSource, wish: Wish) -> Choice:
    """Which generations to restore. ``keys_source`` is ``source``, or another target of the same practice.

    Raises ``NoKeysError``, ``NoDataError``, ``NotFoundError`` for a number that is not there, and ``TamperedError``
    naming what is not what was written.
    """
    if source.record.practice != keys_source.record.practice:
        raise RefusedError("data and keys are of two practices", fix="name two targets of one practice")
    data = source.generation(GenerationKind.DATA, wish.data)
    keys = keys_source.generation(GenerationKind.KEYS, wish.keys)
    _require_both(source, keys_source, data, keys)
    if data is None or keys is None:
        raise NotFoundError("there is no backup")
    contents, chain = source.data_contents(data), keys_source.keys_contents(keys)
    books = _books(source, keys_source, contents, chain)
    ledger = Ledger()
    for book in books:
        pages = ledger_book.pages_of(book, public_key=source.audit_public)
        ledger = all_together(pages).and_also(ledger)
    return Choice(
        source,
        keys_source,
        data,
        contents,
        keys,
        tuple(chain),
        max(books, key=len, default={}),
        ledger,
        tuple(_warnings(source, keys_source, wish, contents, chain[-1])),
    )


def _require_both(
    source: RestoreSource, keys_source: RestoreSource, data: Generation | None, keys: Generation | None
) -> None:
    if data is not None and keys is None:
        raise NoKeysError(
            f"{keys_source.url} holds data and no keys: it can be proved whole, and no mail in it can be read",
            fix="name the target that has the keys as well: --keys-from TARGET",
        )
    if keys is not None and data is None:
        raise NoDataError(
            f"{source.url} holds keys and no data: there is nothing that they open",
            fix="name the target that has the data: --from TARGET",
        )


def _books(
    source: RestoreSource, keys_source: RestoreSource, contents: DataContents, chain: Iterable[KeysContents]
) -> list[dict[str, bytes]]:
    """Every copy of the ledger that is at hand: with what is restored, and with the newest of each kind."""
    found = [_book_of_data(source, contents), _book_of_keys(chain)]
    newest_keys = keys_source.generation(GenerationKind.KEYS, None)
    if newest_keys is not None:
        found.append(_book_of_keys(keys_source.keys_contents(newest_keys)))
    newest_data = source.generation(GenerationKind.DATA, None)
    if newest_data is not None and newest_data.listing.sequence != contents.sequence:
        found.append(_book_of_data(source, source.data_contents(newest_data)))
    return [book for book in found if book]


def _book_of_keys(chain: Iterable[KeysContents]) -> dict[str, bytes]:
    pages: dict[str, bytes] = {}
    for contents in chain:
        pages.update(ledger_pages(contents))
    return pages


def _book_of_data(source: RestoreSource, contents: DataContents) -> dict[str, bytes]:
    files = [file for file in contents.files if file.path.startswith(_LEDGER)]
    wanted = {mark for file in files for mark in file.marks}
    places = {mark: at for mark, at in source.places(contents) if mark in wanted} if wanted else {}
    marks = Marks(contents.mark_key)
    chunks: dict[bytes, bytes] = {}
    for pack in {at.pack for at in places.values()}:
        opened = source.pack(pack)
        chunks.update({mark: chunk_at(opened, at, mark, marks) for mark, at in places.items() if at.pack == pack})
    return {file.path.removeprefix(_LEDGER): _whole(file, chunks) for file in files}


def _whole(file: BackedFile, chunks: Mapping[bytes, bytes]) -> bytes:
    try:
        return b"".join(chunks[mark] for mark in file.marks)
    except KeyError:
        raise TamperedError(f"{file.path} of the backup is not whole", fix=ELSEWHERE) from None


def _warnings(
    source: RestoreSource, keys_source: RestoreSource, wish: Wish, contents: DataContents, keys: KeysContents
) -> Iterable[str]:
    if keys.as_of < contents.as_of:
        yield (
            f"the keys are of {keys.as_of:%Y-%m-%d %H:%MZ} and older than the data of {contents.as_of:%Y-%m-%d %H:%MZ}:"
            " mail that came in between has no key and is named at the end"
        )
    for which in dict.fromkeys((source, keys_source)):
        newest = {kind: which.generation(kind, None) for kind in GenerationKind}
        for each in (*newest.values(), *(one for one in (which.generation(GenerationKind.DATA, wish.data),) if one)):
            if each is not None:
                told = backup_catalogue.rolled_back(which.record.target, newest, each.listing.seen)
                if told:
                    yield f"{which.url}: {told}"
    if contents.absent:
        yield f"{len(contents.absent)} objects were not in the store when the backup was made"
