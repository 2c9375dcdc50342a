"""Names, sizes and context strings in the format pages are those of the code."""

from __future__ import annotations

import dataclasses
import re
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import birth_record, decommission_order, role_charge, schema
from appliance.data_directory import DataDirectory
from archive import (
    index_secret,
    ledger_book,
    ledger_page,
    posting_file,
    saved_searches,
    sealed_index_file,
    sealed_index_storage,
    verify_certificate,
    verify_decommission,
    verify_drill_report,
    words,
)
from archive.holds import RELEASE_REASON
from archive.index_document import Field
from archive.legal_hold import HoldState
from archive.living_holds import DETAILS
from archive.schedules import TEXT
from mailstore import (
    audit_entry,
    audit_tree,
    backup_claim,
    backup_contents,
    backup_listing,
    backup_pack,
    backup_piece,
    backup_ways_in,
    first_key_files,
    key_hierarchy,
    key_ring_file,
    keystore_postgresql,
    keystore_sqlite,
    row_form,
    sealed_format,
    slot_key_file,
    slot_shares,
    slot_token,
    spool,
    unlock_slot,
)
from mailstore.message import MessageSummary
from mailstore.sealed_columns import RecipientDetail
from mailstore.slot_passphrase import Argon2Cost
from mailstore.tables import METADATA, SEAL_BYTES
from tests.repository_room import ROOT

FOLDER = ROOT / "docs" / "formats"


def page(name: str) -> str:
    """The text of a format's page, with line ends as spaces."""
    return " ".join((FOLDER / f"{name}.md").read_text("utf-8").split())


def missing(name: str, *told: object) -> list[str]:
    """What should stand on the page and does not."""
    text = page(name)
    return [str(each) for each in told if str(each) not in text]


def test_every_format_page_is_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text("utf-8")
    assert [
        path.name for path in FOLDER.glob("*.md") if f"({path.name})" not in index and path.name != "README.md"
    ] == []


def test_sealed_object() -> None:
    commitment, chunks, column = (
        sealed_format._COMMITMENT_INFO.decode(),
        sealed_format._CHUNKS_INFO.decode(),
        sealed_format._FIELD_INFO.decode(),
    )
    assert missing("sealed-object", f"`{sealed_format.MAGIC.decode()}`", commitment, chunks, column) == []
    assert sealed_format.MAX_PLAIN_BYTES == 2**28
    assert (sealed_format._CHUNK_LOG2_RANGE.start, sealed_format._CHUNK_LOG2_RANGE.stop - 1) == (12, 24)
    assert f"| {sealed_format.HEADER_BYTES} | .. | chunks |" in page("sealed-object")
    assert f"we write {sealed_format._CHUNK_LOG2}" in page("sealed-object")


def test_backup() -> None:
    told = (
        backup_piece.MAGIC.decode(),
        backup_piece.INFO.decode(),
        backup_piece.CONTEXT_KIND,
        backup_pack._MARKS_INFO.decode(),
        backup_listing.FORMAT,
        backup_listing.HEADING.decode().strip(),
        backup_contents.FORMAT,
        backup_ways_in.FORMAT,
        backup_claim.FORMAT,
        backup_claim._PRACTICE_LABEL.decode(),
    )
    assert missing("backup", *told) == []
    assert f"| {backup_piece.HEAD_BYTES} | .. | sealed object" in page("backup")
    fields = [field.name for field in dataclasses.fields(backup_listing.Listing)]
    assert missing("backup", *(f"`{name}`" for name in fields)) == []


def test_offsets_of_the_sealed_object() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", (FOLDER / "sealed-object.md").read_text("utf-8"), re.MULTILINE)
    header = [(int(offset), int(size)) for offset, size in rows][:10]
    sizes = [struct.calcsize(f">{part}") for part in ("4s", "B", "B", "B", "B", "I", "Q", "16s", "32s")]
    sizes.append(sealed_format._CHECK_BYTES)
    assert header == [(sum(sizes[:at]), size) for at, size in enumerate(sizes)]
    assert sum(sizes) == sealed_format.HEADER_BYTES


def test_key_hierarchy() -> None:
    labels = (
        key_hierarchy._BATCH_INFO,
        key_hierarchy._MESSAGE_INFO,
        key_hierarchy._PART_DIGEST_INFO,
        key_hierarchy._PART_LINKS_INFO,
        key_hierarchy._RING_MAGIC[:4],
        key_hierarchy._DEPOSIT_MAGIC[:4],
        slot_key_file.INFO.encode(),
        slot_key_file.CREDENTIAL_INFO.encode(),
        slot_shares.INFO.encode(),
        slot_token._DATA,
        unlock_slot.LABEL.encode(),
        key_ring_file.LABEL.encode(),
        first_key_files.SLOT_LABEL.encode(),
        first_key_files.MEMBER_LABEL.encode(),
    )
    assert missing("key-hierarchy", *(label.decode() for label in labels)) == []
    text = (FOLDER / "key-hierarchy.md").read_text("utf-8")
    ring = re.findall(r"^\| `(\w+)` \|", text[text.index("## Ring") : text.index("## Batch")], re.MULTILINE)
    assert ring == list(key_hierarchy.MEMBERS)
    cost = Argon2Cost()
    assert f"{cost.memory_kib // 1024} MiB, {cost.passes} passes, {cost.lanes} lanes" in text
    assert f"0x{keystore_sqlite._APPLICATION_ID:X}" in text
    assert f"at most {role_charge.LONGEST:,}" in text


def test_blind_indexes() -> None:
    """The purposes on the page are those that the code asks for, and no other."""
    asked = {
        purpose.split("{")[0]
        for package in ("mailstore", "archive", "portal", "appliance")
        for path in (ROOT / package).rglob("*.py")
        for purpose in re.findall(r"blind_index\([\w.]+, f?\"([^\"]+)\"", path.read_text("utf-8"))
    }
    text = (FOLDER / "key-hierarchy.md").read_text("utf-8")
    told = re.findall(r"^\| `([\w -]+)`", text[text.index("## Blind index") : text.index("## Pipes")], re.MULTILINE)
    assert set(told) == asked


def test_keystore_tables() -> None:
    text = (FOLDER / "key-hierarchy.md").read_text("utf-8")
    for table, columns in re.findall(r"CREATE TABLE (\w+) \(\n(.*?)\n\)", keystore_sqlite._SCHEMA, re.DOTALL):
        (line,) = re.findall(rf"^\| `{table}` \|(.*)$", text, re.MULTILINE)
        assert re.findall(r"`(\w+)`", line) == re.findall(r"(\w+) (?:BLOB|INTEGER|TEXT)", columns)
    tables = re.findall(r"CREATE TABLE (\w+)", keystore_postgresql._SCHEMA)
    assert [table for table in tables if f"`{table}`" not in text] == []


def test_spool_segment() -> None:
    magic = spool._HEADER[:4].decode()
    assert len(spool._HEADER) == 16
    assert missing("spool-segment", f"`{magic}`", f"{spool._SEGMENT_BYTES // 2**20} MiB") == []


def test_sealed_rows() -> None:
    assert missing("sealed-rows", f"`{row_form.DOMAIN}`", f"the first {SEAL_BYTES} bytes") == []
    numbered = [name for name, table in METADATA.tables.items() if row_form.RowForm(table).number]
    assert missing("sealed-rows", *(f"`{name}`" for name in numbered)) == []


def test_audit_log() -> None:
    fact = audit_entry.AuditFact("a.b", "system")
    entry = audit_entry.placed(fact, sequence=0, at=datetime(2026, 1, 2, tzinfo=UTC))
    names = re.findall(rb'"(\w+)":', entry.canonical())
    assert missing("audit-log", *(f"`{name.decode()}`" for name in names)) == []
    assert missing("audit-log", audit_tree.NOTE_HEADER, f"up to {audit_entry.MAX_DETAILS} names") == []


def test_sealed_index() -> None:
    told = (
        sealed_index_file._MAGIC.decode(),
        sealed_index_storage._MAGIC.decode(),
        sealed_index_storage._INFO.decode(),
        index_secret._MAGIC.decode(),
        index_secret._INFO.decode(),
        f"two slots of {index_secret._SLOT_BYTES} bytes",
        sealed_index_storage._MANIFEST,
        f"{sealed_index_file.CHUNK_BYTES:,} bytes",
        ", ".join(f"{number} {field.value}" for number, field in enumerate(Field, start=1)),
    )
    assert missing("sealed-index", *told) == []
    assert (posting_file._ENTRY.format, posting_file._PLACE_IN_FILE.format) == ("<HI", "<QI")


def test_words() -> None:
    assert missing("words", f"version {words.DEFINITION.split('/')[0]}", f"first {words.LONGEST_WORD_CHARACTERS}") == []


def test_certificate() -> None:
    text = (FOLDER / "disposal-certificate.md").read_text("utf-8")
    assert verify_certificate.FORMAT in text
    assert verify_certificate.SIGNING_CONTEXT.decode().strip() in text
    assert verify_certificate.CHECKPOINT_HEADER in text
    table = text[text.index("## What stands in it") : text.index("## Hashes")]
    told = {name for cell in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert told == set(verify_certificate.SHAPE)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("schedules.text_sealed", TEXT),
        ("holds.details_sealed", DETAILS),
        ("holds.release_reason_sealed", RELEASE_REASON),
        ("saved_searches.details_sealed", saved_searches.DETAILS),
    ],
)
def test_contexts_of_the_archive(column: str, kind: str) -> None:
    assert f"| `{column}` | archive key | `{kind}` |" in page("sealed-columns")


def test_contents_of_sealed_columns() -> None:
    assert missing("sealed-columns", *(f"`{each.name}`" for each in dataclasses.fields(RecipientDetail))) == []
    assert "`MessageSummary`" in page("sealed-columns")
    assert dataclasses.is_dataclass(MessageSummary)


def test_every_sealed_column_is_told() -> None:
    """Columns that hold a sealed field are told one by one; digests and lengths of sealed bytes are none."""
    sealed = {
        f"{table.name}.{column.name}"
        for metadata in schema.METADATAS
        for table in metadata.tables.values()
        for column in table.columns
        if "sealed" in column.name and column.name not in {"sealed_digest", "sealed_length"}
    }
    text = (FOLDER / "sealed-columns.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+\.\w+)`", text, re.MULTILINE)) == sealed


def test_data_directory() -> None:
    data = DataDirectory(Path("DIR"))
    text = (FOLDER / "data-directory.md").read_text("utf-8")
    named = [getattr(data, name) for name, part in vars(DataDirectory).items() if isinstance(part, property)]
    places = [place for place in named if isinstance(place, Path)]
    assert [place.name for place in places if f"{place.name}" not in text] == []
    assert birth_record._FORMAT in text


def test_ledger() -> None:
    fields_told = [f"`{name}`" for name in ledger_page._FIELDS]
    assert missing("ledger", f"`{ledger_page.FORMAT}`", *fields_told, *[f"`{each}`" for each in HoldState]) == []
    assert ledger_book.name_of(1) == "00000001.json"


def test_drill_report() -> None:
    keys = [f"`{name}`" for name in verify_drill_report.SHAPE]
    context = verify_drill_report.SIGNING_CONTEXT.decode().strip()
    assert missing("drill-report", f"`{verify_drill_report.FORMAT}`", context, *keys) == []


def test_decommission() -> None:
    keys = [f"`{name}`" for part in verify_decommission.SHAPE.values() for name in part]
    contexts = [
        each.decode().strip() for each in (verify_decommission.ORDER_CONTEXT, verify_decommission.COMPLETION_CONTEXT)
    ]
    formats = [f"`{verify_decommission.FORMAT}`", f"`{decommission_order.FORMAT}`", f"`{verify_decommission.BEGUN}`"]
    assert missing("decommission", *formats, *contexts, *keys) == []
