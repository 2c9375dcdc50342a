"""The certificate as a page that people read, print and file. It says what the JSON says and proves nothing by itself.

Made from the certificate's own bytes, so that the two cannot differ; the hash printed on it names those bytes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

INK = (33, 37, 41)
QUIET = (92, 102, 112)
LINE = (200, 206, 212)
MARGIN_MM = 20
LABEL_MM = 44
LINE_MM = 5.2


class _Page(FPDF):
    """A4, one column, a footer that names the certificate on every page."""

    def __init__(self, certificate: str) -> None:
        super().__init__(format="A4")
        self._certificate = certificate
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(auto=True, margin=MARGIN_MM)

    def footer(self) -> None:
        """What stands at the foot of every page."""
        self.set_y(-14)
        self.set_font("Helvetica", size=8)
        self.set_text_color(*QUIET)
        self.cell(0, 6, f"Certificate {self._certificate} - page {self.page_no()}", align="C")

    def heading(self, text: str) -> None:
        """A section's name with a thin line under it."""
        self.ln(3)
        self.set_font("Helvetica", "B", 11)
        self.set_text_color(*INK)
        self.cell(0, 7, _printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_draw_color(*LINE)
        self.line(MARGIN_MM, self.get_y(), self.w - MARGIN_MM, self.get_y())
        self.ln(1.5)

    def fact(self, label: str, value: str, *, is_code: bool = False) -> None:
        """One line of label and value; long values wrap under themselves."""
        self.set_font("Helvetica", size=9.5)
        self.set_text_color(*QUIET)
        self.cell(LABEL_MM, LINE_MM, _printable(label))
        self.set_text_color(*INK)
        self.set_font("Courier" if is_code else "Helvetica", size=8 if is_code else 9.5)
        self.multi_cell(0, LINE_MM, _printable(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")

    def paragraph(self, text: str) -> None:
        """Running text."""
        self.set_font("Helvetica", size=9.5)
        self.set_text_color(*INK)
        self.multi_cell(0, LINE_MM, _printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")
        self.ln(1)


def certificate_pdf(certificate: bytes) -> bytes:
    """The PDF of a certificate's JSON. The same bytes give the same PDF."""
    told = json.loads(certificate)
    page = _Page(told["id"])
    page.set_title("Certificate of disposal")
    page.set_author(_printable(told["practice"]))
    page.set_creation_date(datetime.fromisoformat(told["issued_at"]))
    page.add_page()
    _title(page, told)
    _people(page, told)
    _authority(page, told)
    _method(page, told)
    _proofs(page, told, hashlib.sha256(certificate).hexdigest())
    return bytes(page.output())


def _title(page: _Page, told: dict[str, Any]) -> None:
    page.set_text_color(*INK)
    page.set_font("Helvetica", "B", 20)
    page.cell(0, 11, "Certificate of disposal", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.set_font("Helvetica", size=12)
    page.set_text_color(*QUIET)
    page.cell(0, 7, _printable(told["practice"]), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.ln(3)
    count = told["count"]
    records = "1 record was" if count == 1 else f"{count:,} records were"
    first, last = _moment(told["destroyed"]["first_at"]), _moment(told["destroyed"]["last_at"])
    page.paragraph(f"{records} destroyed between {first} and {last}. The keys that open them exist here no more.")
    for kept in told["kept"]:
        page.paragraph(f"Approved and kept all the same: {kept['count']:,} ({kept['why'].replace('_', ' ')}).")


def _people(page: _Page, told: dict[str, Any]) -> None:
    page.heading("Who")
    for label, key in (("Proposed by", "proposed"), ("Approved by", "approved"), ("Carried out by", "run")):
        person = told[key]
        page.fact(label, f"{person['name']} ({person['role']}), {_moment(person['at'])}")
    page.fact("Cooling-off until", _moment(told["cooled_off_at"]))
    page.fact("Issued", _moment(told["issued_at"]))


def _authority(page: _Page, told: dict[str, Any]) -> None:
    page.heading("By what authority")
    page.fact(
        "Schedule", f"{told['authority']['schedule']}, in force since {_moment(told['authority']['approved_at'])}"
    )
    for category in told["authority"]["categories"]:
        name = category["title"] or category["name"]
        page.fact("Category", f"{name}: {category['count']:,}; kept {category['retain']} from receipt")
        page.fact("", category["citation"])


def _method(page: _Page, told: dict[str, Any]) -> None:
    page.heading("How")
    page.paragraph(told["method"]["standard"])
    for step in told["method"]["steps"]:
        page.fact(step["place"].capitalize(), step["done"])
    page.heading("What risk is left")
    for risk in told["residual_risks"]:
        page.paragraph(risk)


def _proofs(page: _Page, told: dict[str, Any], digest: str) -> None:
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


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M:%S} UTC"


def _printable(text: str) -> str:
    """What the built-in fonts can show (Latin-1); the JSON keeps every letter."""
    return text.encode("latin-1", "replace").decode("latin-1")
