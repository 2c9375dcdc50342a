"""Tries the other engine on a sample of this archive's own messages, to say how long the same searches would take.

The sample is indexed in an encrypted part with a key that dies with the trial. Both engines are asked the same; what
the sample took is multiplied to the whole, which says too much rather than too little.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from archive import archive_records
from archive.engine_change import p95, queries_about
from archive.evidence import DocumentSource
from archive.index_document import IndexDocument
from archive.query_conditions import Query
from archive.search_index import QueryTooWideError, SearchIndex
from archive.sqlite_part import ENDING, Part
from archive.sqlite_question import question_of
from mailstore import durable_file, message_records
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, TamperedError, WrongKeyError
from mailstore.message import identifier_from
from mailstore.sealed_format import KEY_BYTES

SAMPLED_MESSAGES = 200
ASKED_ABOUT = 6
_CACHE_BYTES = 8 * 1024 * 1024
_SHOWN = 20


@dataclass(frozen=True)
class Trial:
    """How long 95 of 100 sample searches take at most: as it is, and with the engine ``sqlite``."""

    living_p95_ms: float
    sqlite_p95_ms: float


def trial(database: Database, index: SearchIndex, documents: DocumentSource, *, room: Path) -> Trial | None:
    """Try it. ``room``: a directory for what is gone afterwards. None when there is nothing to try it with."""
    sample = list(_sample(database, documents))
    queries = [query for document in sample[:ASKED_ABOUT] for query in queries_about(document)]
    if not queries:
        return None
    whole = index.document_count()
    durable_file.make_directory(room)
    with TemporaryDirectory(dir=room) as directory:
        part = Part.made(Path(directory) / f"trial{ENDING}", secrets.token_bytes(KEY_BYTES), cache_bytes=_CACHE_BYTES)
        part.put(sample, replaced={})
        tried = [_milliseconds_of(part, query) * whole / len(sample) for query in queries]
        part.close()
    return Trial(p95(_milliseconds_now(index, queries)), p95(tried))


def _sample(database: Database, documents: DocumentSource) -> list[IndexDocument]:
    with database.read() as connection:
        after = identifier_from(secrets.token_bytes(16))
        found = archive_records.indexed_page(connection, after=after, limit=SAMPLED_MESSAGES)
        found = found or archive_records.indexed_page(connection, after="", limit=SAMPLED_MESSAGES)
        stored = message_records.stored_many(connection, found)
    sample = []
    for each in stored:
        try:
            sample.append(documents.read(each).document)
        except (TamperedError, WrongKeyError, DestroyedError, NotFoundError):
            continue
    return sample


def _milliseconds_of(part: Part, query: Query) -> float:
    begun = time.perf_counter()
    part.answer(question_of(query), limit=_SHOWN, is_over=lambda: False)
    return (time.perf_counter() - begun) * 1000


def _milliseconds_now(index: SearchIndex, queries: Sequence[Query]) -> list[float]:
    times = []
    for query in queries:
        begun = time.perf_counter()
        with suppress(QueryTooWideError):  # the time until it was refused counts as well
            index.search(query, limit=_SHOWN)
        times.append((time.perf_counter() - begun) * 1000)
    return times
