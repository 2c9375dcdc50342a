"""How many messages a CPU-second the search index takes: ``python -m tests.bench.index_rate FOLDER``.

Counted is the way from a raw message to the durable sealed index: parsing, the process that reads HTML and attachments,
merging, sealing, fsync. Left out are the sealed object and the rows, so that the figure compares with notmuch and mu,
which read plain files. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from archive.document_reading import read_document
from archive.index_document import IndexDocument
from archive.search_index_whoosh import WhooshIndex
from archive.text_extraction import TextExtractor
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, identifier_from
from tests import index_files

BATCH = 100
ENVELOPE = Envelope(parse_mailbox("sender@elsewhere.example"), (parse_mailbox("pat@clinic.example"),))


def documents(paths: list[Path], extractor: TextExtractor) -> Iterator[IndexDocument]:
    """Every file of the folder as the intake would see it."""
    for number, path in enumerate(paths):
        yield read_document(
            path.read_bytes(),
            message=MessageId(identifier_from(number.to_bytes(16, "big"))),
            received_at=received_at(path, number),
            envelope=ENVELOPE,
            extractor=extractor,
        ).document


def received_at(path: Path, number: int) -> datetime:
    """When a Maildir's file says it was delivered, by its name; other files a minute apart."""
    first = path.name.partition(".")[0]
    known = datetime.fromtimestamp(int(first), UTC) if first.isdecimal() else None
    return known or datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(paths: list[Path], directory: Path) -> dict[str, float]:
    """Index the files in batches and say what it cost."""
    index = WhooshIndex(index_files.storage_in(directory, bytes(32)))
    cpu, wall = cpu_seconds(), time.perf_counter()
    with TextExtractor() as extractor:
        waiting = documents(paths, extractor)
        while batch := list(itertools.islice(waiting, BATCH)):
            index.add(batch)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    size = sum(path.stat().st_size for path in directory.iterdir())
    return {
        "documents": len(paths),
        "documents_per_cpu_second": round(len(paths) / cpu, 1),
        "documents_per_second": round(len(paths) / wall, 1),
        "index_bytes_per_mail_byte": round(size / sum(path.stat().st_size for path in paths), 3),
        "largest_resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure over the files of a folder, sub-folders included."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--keep", type=Path, help="where the index stays")
    chosen = parser.parse_args()
    paths = [path for path in sorted(chosen.folder.rglob("*")) if path.is_file()][: chosen.limit]
    with tempfile.TemporaryDirectory() as directory:
        sys.stdout.write(json.dumps(measure(paths, chosen.keep or Path(directory) / "index")) + "\n")


if __name__ == "__main__":
    main()
