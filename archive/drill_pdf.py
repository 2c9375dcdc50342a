"""The report of a restore drill as a page that people read, print and file. It proves nothing by itself.

Made from the report's own bytes, so that the two cannot differ; the hash printed on it names those bytes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from archive.pdf_page import Page, moment, printable


def drill_pdf(report: bytes) -> bytes:
    """The PDF of a report's JSON. The same bytes give the same PDF."""
    told = json.loads(report)
    page = Page(f"Restore drill {told['id']}")
    page.set_title("Report of a restore drill")
    page.set_author(printable(told["practice"]))
    page.set_creation_date(datetime.fromisoformat(told["ended_at"]))
    page.add_page()
    _verdict(page, told)
    for label, kind in (("Backup of the data", "data"), ("Backup of the keys", "keys")):
        _generation(page, label, told[kind])
    _check(page, told, hashlib.sha256(report).hexdigest())
    return bytes(page.output())


def _verdict(page: Page, told: dict[str, Any]) -> None:
    page.title_lines("Report of a restore drill", told["practice"])
    page.heading("Passed" if told["passed"] else "Failed")
    messages, ledger = told["messages"], told["ledger"]
    page.paragraph(
        f"{messages['sampled']:,} of {messages['in_backup']:,} messages were picked by chance and put together from "
        f"the backups alone. {messages['compared']:,} were as they were written; {messages['opened']:,} opened."
    )
    page.fact("Begun", moment(told["begun_at"]))
    page.fact("Ended", moment(told["ended_at"]))
    page.fact("Opened with", told["opened_with"])
    page.fact("Missing files", f"{told['missing_pieces']:,}")
    page.fact("Messages without key", f"{messages['without_key']:,}")
    page.fact("Disposed records", f"{ledger['destroyed']:,} in the ledger; {ledger['with_key']:,} have a key")
    for problem in told["problems"]:
        page.fact("Problem", problem)


def _generation(page: Page, label: str, told: dict[str, Any]) -> None:
    page.heading(label)
    page.fact("Number", f"{told['sequence']:,}")
    page.fact("As of", moment(told["as_of"]))
    page.fact("Size", f"{told['pieces']:,} files, {told['bytes']:,} bytes")
    page.fact("Listing", told["listing"], is_code=True)


def _check(page: Page, told: dict[str, Any], digest: str) -> None:
    page.heading("How to check it")
    page.paragraph(
        "The file of the same name ending in .json is the report. Anyone with Python can check it, without a network: "
        "python3 -I verify_drill_report.py FILE --public-key disposal.pem"
    )
    page.fact("SHA-256 of the file", digest, is_code=True)
    page.fact("Merkle root", told["messages"]["merkle_root"], is_code=True)
    page.fact("Public key", told["public_key_fingerprint"], is_code=True)
