"""The certificate as a page that people read, print and file. It says what the JSON says and proves nothing by itself.

Made from the certificate's own bytes, so that the two cannot differ; the hash printed on it names those bytes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from archive.pdf_page import Page, moment, printable


def certificate_pdf(certificate: bytes) -> bytes:
    """The PDF of a certificate's JSON. The same bytes give the same PDF."""
    told = json.loads(certificate)
    page = Page(f"Certificate {told['id']}")
    page.set_title("Certificate of disposal")
    page.set_author(printable(told["practice"]))
    page.set_creation_date(datetime.fromisoformat(told["issued_at"]))
    page.add_page()
    _title(page, told)
    _people(page, told)
    _authority(page, told)
    _method(page, told)
    _proofs(page, told, hashlib.sha256(certificate).hexdigest())
    return bytes(page.output())


def _title(page: Page, told: dict[str, Any]) -> None:
    page.title_lines("Certificate of disposal", told["practice"])
    count = told["count"]
    records = "1 record was" if count == 1 else f"{count:,} records were"
    first, last = moment(told["destroyed"]["first_at"]), moment(told["destroyed"]["last_at"])
    page.paragraph(f"{records} destroyed between {first} and {last}. The keys that open them exist here no more.")
    for kept in told["kept"]:
        page.paragraph(f"Approved and kept all the same: {kept['count']:,} ({kept['why'].replace('_', ' ')}).")


def _people(page: Page, told: dict[str, Any]) -> None:
    page.heading("Who")
    for label, key in (("Proposed by", "proposed"), ("Approved by", "approved"), ("Carried out by", "run")):
        person = told[key]
        page.fact(label, f"{person['name']} ({person['role']}), {moment(person['at'])}")
    page.fact("Cooling-off until", moment(told["cooled_off_at"]))
    page.fact("Issued", moment(told["issued_at"]))


def _authority(page: Page, told: dict[str, Any]) -> None:
    page.heading("By what authority")
    page.fact("Schedule", f"{told['authority']['schedule']}, in force since {moment(told['authority']['approved_at'])}")
    for category in told["authority"]["categories"]:
        name = category["title"] or category["name"]
        page.fact("Category", f"{name}: {category['count']:,}; kept {category['retain']} from receipt")
        page.fact("", category["citation"])


def _method(page: Page, told: dict[str, Any]) -> None:
    page.heading("How")
    page.paragraph(told["method"]["standard"])
    for step in told["method"]["steps"]:
        page.fact(step["place"].capitalize(), step["done"])
    page.heading("What risk is left")
    for risk in told["residual_risks"]:
        page.paragraph(risk)


def _proofs(page: Page, told: dict[str, Any], digest: str) -> None:
    page.heading("How to check it")
    page.paragraph(
        "The file of the same name ending in .json is the certificate. Anyone with Python can check it, without a "
        "network: python3 -I verify_certificate.py FILE --public-key disposal.pem"
    )
    page.fact("SHA-256 of the file", digest, is_code=True)
    page.fact("Merkle root", told["merkle_root"], is_code=True)
    page.fact("Approved set", told["set_hash"], is_code=True)
    page.fact("Public key", told["public_key_fingerprint"], is_code=True)
    checkpoint = told["audit"]["checkpoint"]
    page.fact(
        "Audit log", f"entry {told['audit']['index']} of {checkpoint['size']}, root {checkpoint['root']}", is_code=True
    )
