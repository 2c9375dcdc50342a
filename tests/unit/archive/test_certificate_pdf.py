from __future__ import annotations

import hashlib
from io import BytesIO

from pypdf import PdfReader

from archive.certificate_pdf import certificate_pdf
from tests.unit.archive.certificate_samples import certificate, disposal


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def test_page_says_what_the_certificate_says() -> None:
    document = certificate()
    text = text_of(certificate_pdf(document))
    for part in ("Clinic \u00c9xample", "3 records were", "Rita (records)", "Paula (approver)", "10 years", "42 CFR"):
        assert part in text
    assert "2 (held)" in text
    assert hashlib.sha256(document).hexdigest() in text


def test_same_certificate_gives_the_same_pdf() -> None:
    assert certificate_pdf(certificate()) == certificate_pdf(certificate())


def test_thousands_of_records_still_fit_on_two_pages() -> None:
    assert len(PdfReader(BytesIO(certificate_pdf(certificate(disposal(200))))).pages) <= 2
