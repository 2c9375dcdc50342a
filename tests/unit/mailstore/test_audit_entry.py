from __future__ import annotations

from typing import Any

import pytest

from mailstore.audit_entry import MAX_INTEGER, AuditFact, Detail, detail_of, detail_text, placed
from tests.ledger_room import NOW


@pytest.mark.parametrize(
    "value",
    [
        "Jane Doe",
        "jane@clinic.example",
        "subject: biopsy",
        "zwölf",
        "line\nbreak",
        "x" * 97,
        "<b>",
        'quote"',
        "nul\x00",
        "-option",
        True,
        None,
        1.5,
        MAX_INTEGER + 1,
        ["a"],
        b"bytes",
    ],
)
def test_free_text_and_addresses_do_not_get_into_the_log(value: Any) -> None:
    with pytest.raises(ValueError, match="plain word or number"):
        AuditFact("message.opened", "system", "abc", {"why": value})


@pytest.mark.parametrize("key", ["", "Why", "who am i", "jane@clinic.example", "k" * 33, "1st", "a-b"])
def test_detail_names_are_short_plain_words(key: str) -> None:
    with pytest.raises(ValueError, match="plain word or number"):
        AuditFact("message.opened", "system", "abc", {key: 1})


def test_number_of_details_is_bounded() -> None:
    with pytest.raises(ValueError, match="too many"):
        AuditFact("message.opened", "system", "abc", {f"k{number}": number for number in range(17)})


@pytest.mark.parametrize(
    ("event", "actor", "about"),
    [
        ("", "system", "a"),
        ("Message opened", "system", "a"),
        ("message.opened", "", "a"),
        ("message.opened", "jane@clinic.example", "a"),
        ("message.opened", "system", "a b"),
        ("message.opened", "system", "a\n"),
        ("message.opened\n", "system", "a"),
        ("message.opened", "system", "x" * 129),
    ],
)
def test_event_actor_and_object_are_ids_and_plain_words(event: str, actor: str, about: str) -> None:
    with pytest.raises(ValueError, match="plain words only"):
        AuditFact(event, actor, about)


def test_ids_digests_states_numbers_and_host_names_are_plain_words() -> None:
    words: Detail = {"state": "deferred", "digest": "ab" * 32, "host": "mx.clinic.example", "count": -5, "none": ""}
    assert AuditFact("disposal.run", "a" * 26, "certificates/ab.json", words).detail == words


def test_canonical_bytes_do_not_depend_on_the_order_of_details() -> None:
    one = placed(AuditFact("a", "system", "x", {"b": 1, "a": "y"}), sequence=5, at=NOW)
    other = placed(AuditFact("a", "system", "x", {"a": "y", "b": 1}), sequence=5, at=NOW)
    assert one.canonical() == other.canonical()
    assert one.leaf() == other.leaf()


def test_details_come_back_and_only_in_their_canonical_form() -> None:
    detail: Detail = {"a": "y", "b": 1}
    assert detail_of(detail_text(detail)) == detail
    for text in ("", "[]", "{", '{"b":1,"a":2}', '{"a": 1}', "null", '{"a":NaN}'):
        with pytest.raises(ValueError):  # noqa: PT011 -- json and we word it differently; refusing is the promise
            detail_of(text)
