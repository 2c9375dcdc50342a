from __future__ import annotations

import hmac

from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.keyed_digest import KeyedDigest, keyed_digest

VECTOR_KEY = b"Jefe"
VECTOR_TEXT = b"what do ya want for nothing?"
VECTOR = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
"""RFC 4231 section 4.3."""


def test_published_vector_comes_out() -> None:
    assert keyed_digest(VECTOR_KEY, VECTOR_TEXT).hex() == VECTOR
    assert KeyedDigest(VECTOR_KEY).over(VECTOR_TEXT).hex() == VECTOR


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=130), st.lists(st.binary(max_size=300), max_size=4))
def test_digests_are_the_librarys_for_every_key_and_however_often_one_is_used(key: bytes, texts: list[bytes]) -> None:
    keyed = KeyedDigest(key)
    for text in texts:
        expected = hmac.digest(key, text, "sha256")
        assert keyed.over(text) == keyed_digest(key, text) == expected
