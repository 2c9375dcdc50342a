from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive.index_document import DEFINITION, IndexDocument, document_of
from archive.posting_file import PostingFile
from archive.search_index import IndexOutdatedError
from archive.search_index_whoosh import WhooshIndex
from archive.search_query import parse
from archive.whoosh_segment import POSTINGS
from archive.whoosh_writer import MOST_SEGMENT_DOCUMENTS, table_of
from mailstore.addresses import parse_mailbox
from mailstore.errors import TamperedError
from mailstore.message import Envelope, MessageId, identifier_from
from tests import index_files

KEY = bytes(range(32))
ENVELOPE = Envelope(parse_mailbox("dr@clinic.example"), (parse_mailbox("pat@mail.example"),))


def document(number: int, text: str = "recall") -> IndexDocument:
    return document_of(
        message=MessageId(identifier_from(number.to_bytes(16, "big"))),
        received_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        category="unclassified",
        envelope=ENVELOPE,
        header_fields={},
        subjects=[text],
        bodies=[],
        file_names=[],
        attachment_texts=[],
        has_attachment=False,
    )


def index_in(directory: Path, key: bytes = KEY, words: str = DEFINITION) -> WhooshIndex:
    return WhooshIndex(index_files.storage_in(directory, key, words=words))


def every_term(directory: Path) -> set[bytes]:
    """What somebody with the index key in hand finds in all files."""
    storage = index_files.storage_in(directory, KEY)
    storage.refresh()
    found: set[bytes] = set()
    for name in storage.list():
        if name.endswith(POSTINGS):
            with storage.open_file(name) as file:
                found |= {term for term, _ in PostingFile(file, storage.file_length(name)).beginning_with(b"")}
    return found


def segment_sizes(directory: Path) -> list[int]:
    storage = index_files.storage_in(directory, KEY)
    storage.refresh()
    return [segment.doc_count_all() for segment in table_of(storage).segments]


def plain_bytes(directory: Path) -> bytes:
    storage = index_files.storage_in(directory, KEY)
    storage.refresh()
    return b"".join(storage.open_file(name).read() for name in storage.list())


def test_no_word_of_a_removed_message_is_left_for_who_has_the_key(tmp_path: Path) -> None:
    index = index_in(tmp_path)
    for batch in range(4):
        index.add([document(batch * 10 + n, f"shared zebra{batch * 10 + n}") for n in range(10)])
    gone = [document(12).id, document(35).id]
    index.remove(gone)
    left = b" ".join(every_term(tmp_path))
    assert b"zebra11" in left
    assert b"zebra12" not in left
    assert b"zebra35" not in left
    plain = plain_bytes(tmp_path)
    assert not any(message.encode() in plain for message in gone)
    assert document(11).id.encode() in plain


def test_small_segments_are_merged_and_none_outgrows_the_bound(tmp_path: Path) -> None:
    index = index_in(tmp_path)
    for batch in range(22):
        index.add([document(batch * 100 + n) for n in range(100)])
    sizes = segment_sizes(tmp_path)
    assert sum(sizes) == 2_200
    assert max(sizes) <= MOST_SEGMENT_DOCUMENTS
    assert len(sizes) <= 9
    assert index.search(parse("recall"), limit=1).total == 2_200


def test_what_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    index = index_in(tmp_path)
    index.add([document(1)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    index.add([])
    index.remove([])
    index.remove([document(9).id])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_index_with_another_idea_of_a_word_is_refused_until_it_is_made_anew(tmp_path: Path) -> None:
    old = index_files.storage_in(tmp_path, KEY, words="0/older").create()
    with old.exclusively(seconds=1):
        old.publish()
    index = index_in(tmp_path)
    with pytest.raises(IndexOutdatedError):
        index.search(parse("recall"), limit=1)
    with pytest.raises(IndexOutdatedError):
        index.add([document(1)])
    index.clear()
    index.add([document(1)])
    assert index.document_count() == 1


def test_a_damaged_index_is_refused_and_can_be_cleared(tmp_path: Path) -> None:
    index_in(tmp_path).add([document(1)])
    for path in tmp_path.glob("*.sealed"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(TamperedError, match=path.name):
            index_in(tmp_path).search(parse("recall"), limit=1)
        path.write_bytes(content)
    path.write_bytes(b"nonsense")
    index = index_in(tmp_path)
    index.clear()
    index.add([document(2)])
    assert index.search(parse("recall"), limit=1).total == 1


def _write(directory: Path, first: int, count: int) -> None:
    index = index_in(directory)
    for number in range(first, first + count):
        index.add([document(number)])


def test_processes_write_in_turn_while_others_search(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, first, 15)) for first in (0, 100)]
    for writer in writers:
        writer.start()
    reader, seen = index_in(tmp_path), 0
    while any(writer.is_alive() for writer in writers):
        total = reader.search(parse("recall"), limit=5).total
        assert total >= seen
        seen = total
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert reader.search(parse("recall"), limit=5).total == 30


def test_nothing_is_written_outside_of_the_sealed_files(tmp_path: Path) -> None:
    """Every path that indexing, merging and searching opens for writing, as the kernel saw it."""
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from tests.unit.archive.test_search_index_whoosh import *\n"
        "index = index_in(Path(sys.argv[2]))\n"
        "for n in range(14): index.add([document(n, 'potassium ' * 3000)])\n"
        "index.remove([document(3).id]); index.search(parse('pot*'), limit=9)\n"
    )
    trace, index = tmp_path / "trace", tmp_path / "index"
    root = str(Path(__file__).resolve().parents[3])
    calls = "--trace=open,openat,creat,memfd_create,rename,renameat,renameat2,link,linkat"
    subprocess.run(
        ["strace", "-f", "-o", str(trace), calls, sys.executable, "-B", "-c", program, root, str(index)],
        check=True,
        env={"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    written = [line for line in trace.read_text().splitlines() if "O_WRONLY" in line or "O_RDWR" in line]
    assert any("manifest.sealed" in line for line in written)
    strangers = [line for line in written if str(index) not in line and "/dev/" not in line and "ENOENT" not in line]
    assert not strangers
    assert not [path for path in index.rglob("*") if b"potassium" in path.read_bytes()]
    assert {path.name for path in tmp_path.iterdir()} == {"trace", "index", "index.secrets"}
