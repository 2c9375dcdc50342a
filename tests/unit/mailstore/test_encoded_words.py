from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.encoded_words import decode_words, header_text, known_charset, text_of


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        ("=?UTF-8?B?Y2Fmw6k=?=", "café"),
        ("=?iso-8859-1?q?caf=E9?= noir", "café noir"),
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),
        ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=E9?=", "aé"),
        ("=?bogus?q?caf=C3=A9?=", "café"),
        ("=?utf-8?b?%%%?= x", " x"),
        ("=?utf-8?b?Y2Fm%w6k?=", "café"),
        ("=?utf-8?q?no end", "=?utf-8?q?no end"),
        ("=?utf-8?q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
    ],
)
def test_encoded_words_are_read(raw: str, expected: str) -> None:
    assert decode_words(raw) == expected


def test_folding_is_undone_and_raw_bytes_are_text() -> None:
    assert header_text(b"caf\xc3\xa9\r\n =?utf-8?q?au?=\r\n\tlait") == "café au\tlait"
    assert header_text(b"caf\xe9") == "café"


@given(st.binary(max_size=300), st.text(max_size=20))
def test_every_bytes_under_every_label_give_text(data: bytes, label: str) -> None:
    assert isinstance(text_of(data, label), str)


@pytest.mark.parametrize("data", [b"a+2AA-b", b"a+2AA-b\xff", b"a+3AA-b"])
def test_half_a_character_is_shown_as_one_that_could_not_be_read(data: bytes) -> None:
    """Half of a pair is what UTF-7 can write and nothing else can hold (RFC 2152 encodes UTF-16)."""
    assert text_of(data, "utf-7").startswith("a\ufffdb")
    assert text_of(b"+2D3cAA-", "utf-7") == "\U0001f400"


@pytest.mark.parametrize(
    "label", ["utf-8", "UTF8", '"iso-8859-15"', "windows-1252", "gb2312", "shift_jis", "koi8-r", "us-ascii"]
)
def test_charsets_of_real_mail_are_known(label: str) -> None:
    assert known_charset(label) is not None
