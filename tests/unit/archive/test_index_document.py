from __future__ import annotations

from datetime import UTC, datetime

from archive.classification import classify
from archive.index_document import Field, IndexDocument, document_of
from archive.retention_schedule import UNCLASSIFIED
from archive.retention_schedule import parse as parse_schedule
from archive.search_query import matches, parse
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId

RECEIVED = datetime(2026, 3, 4, 12, tzinfo=UTC)


def document(
    *,
    sender: str | None = "dr@clinic.example",
    recipients: tuple[str, ...] = ("pat@mail.example",),
    headers: dict[str, list[str]] | None = None,
    subjects: tuple[str, ...] = (),
    bodies: tuple[str, ...] = (),
) -> IndexDocument:
    return document_of(
        message=MessageId("a" * 26),
        received_at=RECEIVED,
        category=UNCLASSIFIED,
        envelope=Envelope(parse_mailbox(sender) if sender else None, tuple(map(parse_mailbox, recipients))),
        header_fields=headers or {},
        subjects=subjects,
        bodies=bodies,
        file_names=(),
        attachment_texts=(),
        has_attachment=False,
    )


def is_match(query: str, found: IndexDocument) -> bool:
    return matches(parse(query), found)


def test_a_recipient_that_no_header_names_is_a_blind_copy() -> None:
    found = document(
        recipients=("pat@mail.example", "AUDIT@clinic.example"), headers={"to": ["Pat <PAT@mail.example>"]}
    )
    assert found.addresses[Field.BCC] == {"audit@clinic.example"}
    assert is_match("bcc:audit@clinic.example", found)
    assert not is_match("to:audit@clinic.example", found)
    assert not is_match("bcc:pat@mail.example", found)


def test_the_envelope_sender_counts_as_from_beside_the_header() -> None:
    found = document(sender="real@elsewhere.example", headers={"from": ["Somebody Else <claimed@clinic.example>"]})
    assert is_match("from:real@elsewhere.example from:claimed@clinic.example", found)
    assert is_match('from:"somebody else" participant:real', found)


def test_an_internationalised_domain_is_found_in_both_spellings() -> None:
    for sender in ("päd@müller.example", "päd@xn--mller-kva.example", "päd@MÜLLER.example"):
        found = document(sender=sender)
        assert is_match("from:päd@müller.example", found)
        assert is_match("from:päd@xn--mller-kva.example", found)
        assert is_match("from:müller", found)


def test_no_phrase_crosses_from_one_text_to_the_next() -> None:
    found = document(bodies=("the lab", "result came"), subjects=("one", "two"))
    assert is_match("lab result one two", found)
    assert not is_match('"lab result"', found)
    assert not is_match('subject:"one two"', found)


def test_a_second_subject_hides_nothing() -> None:
    assert is_match("subject:diabetes", document(subjects=("Newsletter", "Diabetes")))


def test_after_includes_its_day_and_before_does_not() -> None:
    found = document()
    assert is_match("after:2026-03-04", found)
    assert not is_match("before:2026-03-04", found)
    assert is_match("before:2026-03-05", found)
    assert is_match("after:2026 before:2027", found)
    assert not is_match("after:2026-03-05", found)


SCHEDULE = parse_schedule(
    """
[category.short]
retain = "1 years"
clock = "receipt"
citation = "x"
[category.long]
retain = "6 years"
clock = "receipt"
citation = "x"
[[rule]]
category = "short"
match = "newsletter"
[[rule]]
category = "long"
match = "from:lab.example OR result"
"""
)


def test_the_rule_that_keeps_longest_decides() -> None:
    assert classify(document(subjects=("newsletter",)), SCHEDULE) == "short"
    assert classify(document(subjects=("newsletter with a result",)), SCHEDULE) == "long"


def test_a_message_that_no_rule_speaks_of_is_unclassified() -> None:
    assert classify(document(subjects=("hello",)), SCHEDULE) == UNCLASSIFIED


def test_an_earlier_category_does_not_decide_the_next() -> None:
    found = document(subjects=("newsletter",))
    assert classify(found.in_category("long"), SCHEDULE) == "short"


def test_classifying_does_not_cut_the_words_again() -> None:
    found = document(subjects=("newsletter",))
    assert found.words is found.in_category("long").words
    assert found.in_category(UNCLASSIFIED) is found
