from __future__ import annotations

from datetime import UTC, datetime

import pytest

from archive.index_document import IndexDocument, document_of
from archive.search_highlight import MOST_SNIPPETS, highlights
from archive.search_query import parse
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId


def document(*bodies: str, subject: str = "") -> IndexDocument:
    return document_of(
        message=MessageId("a" * 26),
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        category="unclassified",
        envelope=Envelope(None, (parse_mailbox("pat@mail.example"),)),
        header_fields={"from": ["Dr Who <dr@clinic.example>"]},
        subjects=[subject],
        bodies=bodies,
        file_names=[],
        attachment_texts=[],
        has_attachment=False,
    )


def marked(query: str, found: IndexDocument) -> list[str]:
    return [place.marked for place in highlights(parse(query), found)]


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("potassium", "The POTASSIUM is fine", ["The «POTASSIUM» is fine"]),
        ('"lab result"', "lab; a lab result, late", ["lab; a «lab» «result», late"]),
        ("pota*", "potassium", ["«potassium»"]),
        ("strasse", "Straße 5", ["«Straße» 5"]),
        ("糖尿", "私は糖尿病です", ["私は«糖»«尿»病です"]),
        ("fine -bad", "fine", ["«fine»"]),
        ("has:attachment", "fine", []),
        ("diabetes", "dia\u00adbetes\r\n now", ["«diabetes» now"]),
        ("<b>", "a <b> c", ["a <«b»> c"]),
        ("x1", "\u202ex1 \x07", ["«x1» \ufffd"]),
    ],
)
def test_the_place_is_shown_with_its_words_marked(query: str, body: str, expected: list[str]) -> None:
    assert marked(query, document(body)) == expected


def test_a_long_text_is_cut_around_the_place() -> None:
    [place] = marked("needle", document("hay " * 500 + "needle " + "hay " * 500))
    assert "«needle»" in place
    assert len(place) < 140


def test_people_are_shown_when_they_are_why() -> None:
    assert marked("from:dr@clinic.example", document()) == ["«dr»@«clinic».«example»"]
    assert marked('from:"dr who"', document()) == ["«Dr» «Who»"]


def test_a_few_places_are_enough() -> None:
    assert len(marked("word", document(*["word"] * 50, subject="word"))) == MOST_SNIPPETS
