"""How search grows with the archive: ``python -m tests.bench.search_growth [--messages 1000000] [--work DIR]``.

Streamed documents (``document_stream``) go into each engine through its port, in commits of 2,000; at 10,000, 20,000,
100,000 and 1,000,000 of them the fixed queries are asked in a process of their own, each three times, the best
counted, newest 20 wanted. Whoosh stops at 100,000. At 20,000 notmuch takes the same texts as files and is asked the
same; its figure has the reading of these files in it, ours has not. Facets are counted for words of every frequency and
for everything, with 20 mailboxes: by a process that has just opened the index, for as long as the search page gives
them and for as long as it takes, then again. At the end 1 % is disposed of, the oldest, in batches of 50 as a disposal
does. Counted is processor time, because machines are shared. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from archive import search_query
from archive.query_conditions import AllOf, Query
from archive.search_facets import FacetCounts
from archive.search_index import QueryTooWideError, SearchIndex
from archive.search_index_whoosh import WhooshIndex
from portal.pages.archive import FACET_SECONDS
from tests import index_files
from tests.bench import document_stream
from tests.bench.index_race import LIMIT, TRIES, cpu_of_children, for_notmuch, for_us, queries

KEY = bytes(32)
COMMIT = 2_000
MARKS = (10_000, 20_000, 100_000, 1_000_000)
WHOOSH_MOST = 100_000
BESIDE_NOTMUCH = 20_000
BATCH_OF_A_DISPOSAL = 50
ASKING = Path(__file__).with_name("notmuch_queries.py")
MORE_QUERIES = (
    ("prefix", ["diab*", "insur*", "presc*", "hyper*"]),
    ("without", ["insurance -claim", "blood -pressure", "report -patient"]),
    ("has", ["has:attachment pharmacy", "has:attachment invoice"]),
)
"""What the fixed queries of the corpus do not ask."""

FACETED = ("galied", "vaccine", "hypertension -blood", "insurance claim", "patient", "direction:sent", "the")
"""From a word of few messages to one of nearly all; "" besides, which is everything."""

MAILBOXES = 20
NO_END_SECONDS = 600.0
EVERYTHING = AllOf(())


def opened(engine: str, directory: Path) -> SearchIndex:
    """The index of an engine as any process opens it."""
    if engine == "whoosh":
        return WhooshIndex(index_files.storage_in(directory, KEY))
    return index_files.sqlite_in(directory, KEY)


def resident_mib() -> int:
    """What this process had in memory at most. getrusage(2) would answer what its parent had, if that was more."""
    told = Path("/proc/self/status").read_text()
    [(_, kib)] = [line.split()[:2] for line in told.splitlines() if line.startswith("VmHWM:")]
    return int(kib) // 1024


def size_of(directory: Path) -> int:
    """Bytes of all files of an index."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def grown(engine: str, directory: Path, messages: int) -> Iterator[dict[str, Any]]:
    """Index, and say at each mark what it cost so far and how it answers; at last dispose of 1 %."""
    index = opened(engine, directory)
    marks = sorted({mark for mark in MARKS if mark < messages} | {messages})
    waiting, used, done = document_stream.texts(messages), 0.0, 0
    for mark in marks:
        while done < mark:
            some = [text.document() for text in itertools.islice(waiting, min(COMMIT, mark - done))]
            begin = time.process_time()
            index.add(some)
            used += time.process_time() - begin
            done += len(some)
        yield {
            "engine": engine,
            "documents": done,
            "documents_per_cpu_second": round(done / used, 1),
            "index_bytes": size_of(directory),
            "indexing_resident_mib": resident_mib(),
            **_asked_elsewhere("--ask", engine, directory),
            "facets": _asked_elsewhere("--facets", engine, directory),
        }
    yield {"engine": engine, "documents": done, **_disposed_of(index, done // 100)}


def _disposed_of(index: SearchIndex, count: int) -> dict[str, Any]:
    ids = [document_stream.message_id(number) for number in range(count)]
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, count, BATCH_OF_A_DISPOSAL):
        index.remove(ids[start : start + BATCH_OF_A_DISPOSAL], more_follow=True)
    index.remove(ids)
    return {
        "disposed_of": count,
        "disposal_cpu_seconds": round(time.process_time() - cpu, 2),
        "disposal_seconds": round(time.perf_counter() - wall, 2),
    }


def _asked_elsewhere(what: str, engine: str, directory: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.bench.search_growth", what, engine, "--work", str(directory)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    answer: dict[str, Any] = json.loads(told)
    return answer


def asked(engine: str, directory: Path) -> dict[str, Any]:
    """The fixed queries of the corpus, then some more, by kind, in milliseconds of this thread's processor time."""
    index = opened(engine, directory)
    index.document_count()
    fixed = [(query["kind"], for_us(query)) for query in queries()]
    times: defaultdict[str, list[float]] = defaultdict(list)
    total = refused = 0
    for kind, text in fixed + [(kind, text) for kind, some in MORE_QUERIES for text in some]:
        try:
            best, hits = _best_of(index, text)
        except QueryTooWideError:
            refused += 1
            continue
        times[kind].append(best)
        total += hits
    of_fixed = [each for kind in dict(fixed) for each in times[kind]]
    return {
        "fixed": _figures(of_fixed),
        "by_kind": {kind: _figures(some) for kind, some in times.items()},
        "refused": refused,
        "hits": total,
        "asking_resident_mib": resident_mib(),
    }


def faceted(engine: str, directory: Path) -> dict[str, Any]:
    """How long facets take and how much they count, from the first time after opening the index on."""
    mailboxes = document_stream.mailboxes(MAILBOXES)
    on_page, first = opened(engine, directory), opened(engine, directory)
    within, _ = _counted(on_page, EVERYTHING, mailboxes, seconds=FACET_SECONDS)
    whole, opening = _counted(first, EVERYTHING, mailboxes, seconds=NO_END_SECONDS)
    found: dict[str, Any] = {
        "first_on_page": {"counted": within.total, "of": whole.total},
        "first_ms": round(opening, 1),
    }
    for text in ("", *FACETED):
        query = search_query.parse(text) if text else EVERYTHING
        tries = [_counted(first, query, mailboxes, seconds=NO_END_SECONDS) for _ in range(TRIES)]
        counts, milliseconds = min(tries, key=lambda each: each[1])
        found[text or "everything"] = {"results": counts.total, "ms": round(milliseconds, 1)}
    found["resident_mib"] = resident_mib()
    return found


def _counted(index: SearchIndex, query: Query, mailboxes: list[str], *, seconds: float) -> tuple[FacetCounts, float]:
    begin = time.thread_time()
    counts = index.facets(query, mailboxes=mailboxes, seconds=seconds)
    return counts, (time.thread_time() - begin) * 1000


def _best_of(index: SearchIndex, text: str) -> tuple[float, int]:
    query, tries, total = search_query.parse(text), [], 0
    for _ in range(TRIES):
        begin = time.thread_time()
        total = index.search(query, limit=LIMIT).total
        tries.append((time.thread_time() - begin) * 1000)
    return min(tries), total


def _figures(milliseconds: Sequence[float]) -> dict[str, float]:
    times = sorted(milliseconds)
    p95 = times[int(len(times) * 0.95)]
    return {"p50_ms": round(statistics.median(times), 2), "p95_ms": round(p95, 2), "max_ms": round(times[-1], 2)}


def notmuch(work: Path, messages: int) -> dict[str, Any]:
    """The same texts as files of plain text, indexed and asked."""
    folder = work / "mail" / "cur"
    folder.mkdir(parents=True)
    for text in document_stream.texts(messages):
        (folder / f"{text.number}:2,S").write_bytes(text.mail())
    config = work / "notmuch-config"
    config.write_text(f"[database]\npath={folder.parent}\n[new]\ntags=inbox\n[user]\nname=x\nprimary_email=x@x.test\n")
    environment = {**os.environ, "NOTMUCH_CONFIG": str(config)}
    begin = cpu_of_children()
    subprocess.run(["notmuch", "new", "--quiet"], check=True, env=environment, capture_output=True)
    used = cpu_of_children() - begin
    told = subprocess.run(
        ["/usr/bin/python3", str(ASKING), str(folder.parent), str(LIMIT), str(TRIES)],
        check=True,
        capture_output=True,
        text=True,
        input=json.dumps([for_notmuch(query) for query in queries()]),
        env=environment,
    )
    answers = json.loads(told.stdout)
    return {
        "engine": "notmuch",
        "documents": messages,
        "documents_per_cpu_second": round(messages / used, 1),
        "index_bytes": size_of(folder.parent / ".notmuch"),
        "fixed": _figures([milliseconds for milliseconds, _ in answers]),
        "hits": sum(total for _, total in answers),
    }


def measured(work: Path, messages: int, engines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Each engine in a fresh directory; notmuch between them."""
    if "notmuch" in engines:
        yield notmuch(work, min(messages, BESIDE_NOTMUCH))
    for engine in ("sqlite", "whoosh"):
        if engine in engines:
            most = min(messages, WHOOSH_MOST) if engine == "whoosh" else messages
            yield from grown(engine, work / engine, most)


def main() -> None:
    """Measure, or ask one index when a measurement says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--engines", default="notmuch,sqlite,whoosh")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-search-growth")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--facets", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ask or chosen.facets:
        print(json.dumps(asked(chosen.ask, chosen.work) if chosen.ask else faceted(chosen.facets, chosen.work)))
        return
    shutil.rmtree(chosen.work, ignore_errors=True)
    chosen.work.mkdir(parents=True)
    rows = []
    for row in measured(chosen.work, chosen.messages, chosen.engines.split(",")):
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    shutil.rmtree(chosen.work)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
