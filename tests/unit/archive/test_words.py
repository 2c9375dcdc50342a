from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.words import LONGEST_WORD_CHARACTERS, WORD, fold, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World_foo don't", ["hello", "world", "foo", "don", "t"]),
        ("follow-up 10:30 a@b.example", ["follow", "up", "10", "30", "a", "b", "example"]),
        ("\uff26\uff35\uff2c\uff2c \u2460 \ufb01ne", ["full", "1", "fine"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("ΣΊΣΥΦΟΣ Σίσυφος", ["σίσυφοσ", "σίσυφοσ"]),
        ("e\u0301te\u0301 été", ["été", "été"]),
        ("糖尿病の検査2024年", ["糖", "尿", "病", "の", "検", "査", "2024", "年"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("… — !", []),
    ],
)
def test_a_text_has_these_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    "invisible", ["\u00ad", "\u200b", "\u200d", "\u202e", "\u2060", "\ufeff", "\ufe0f", "\U000e0041"]
)
def test_an_invisible_character_hides_no_word(invisible: str) -> None:
    assert words_of(f"dia{invisible}betes") == ["diabetes"]


def test_accents_make_a_difference() -> None:
    assert words_of("café") != words_of("cafe")


def test_a_very_long_run_is_cut_at_the_same_place_everywhere() -> None:
    assert words_of("x" * 500 + " y") == ["x" * LONGEST_WORD_CHARACTERS, "y"]


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_the_words_of_words_are_themselves(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_plain_ascii_takes_no_other_way(text: str) -> None:
    assert words_of(text) == [word[:LONGEST_WORD_CHARACTERS] for word in WORD.findall(fold(text))]
