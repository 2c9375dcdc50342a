from __future__ import annotations

import hashlib
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore import sealed_format
from mailstore.errors import TamperedError, WrongKeyError
from mailstore.sealed_format import (
    HEADER_BYTES,
    TAG_BYTES,
    Dictionary,
    dictionary_of,
    open_field,
    open_sealed,
    seal,
    seal_field,
)

KEY = bytes(range(32))
CONTEXT = ("message", "a" * 26, 1)
CHUNK = 1 << 16


def sealed(content: bytes) -> bytes:
    return seal(content, key=KEY, context=CONTEXT, randomness=os.urandom)


def opened(data: bytes) -> bytes:
    return open_sealed(data, key=KEY, context=CONTEXT)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_what_was_sealed_opens_at_every_chunk_boundary(size: int) -> None:
    content = os.urandom(size)
    assert opened(sealed(content)) == content


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=2000))
def test_what_was_sealed_opens(content: bytes) -> None:
    assert opened(sealed(content)) == content


def test_text_is_stored_smaller_than_it_is() -> None:
    assert len(sealed(b"Dear patient, " * 500)) < 300


def test_content_that_does_not_shrink_costs_only_header_and_tag() -> None:
    assert len(sealed(os.urandom(1000))) == 1000 + HEADER_BYTES + TAG_BYTES


def test_the_same_content_never_looks_the_same() -> None:
    assert sealed(b"again") != sealed(b"again")


def test_no_flipped_bit_opens() -> None:
    data = sealed(b"Results of the examination")
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(TamperedError):
            opened(bytes(changed))


def test_truncated_object_is_refused() -> None:
    data = sealed(os.urandom(2 * CHUNK))
    step = CHUNK + TAG_BYTES
    for end in (0, 4, HEADER_BYTES, HEADER_BYTES + 5, HEADER_BYTES + step, len(data) - 1):
        with pytest.raises(TamperedError):
            opened(data[:end])


def test_extended_object_is_refused() -> None:
    data = sealed(os.urandom(CHUNK))
    for tail in (b"\0", data[-TAG_BYTES:], data[HEADER_BYTES:]):
        with pytest.raises(TamperedError):
            opened(data + tail)


def test_reordered_chunks_are_refused() -> None:
    data = sealed(os.urandom(3 * CHUNK))
    step = CHUNK + TAG_BYTES
    first, second = data[HEADER_BYTES:][:step], data[HEADER_BYTES + step :][:step]
    with pytest.raises(TamperedError):
        opened(data[:HEADER_BYTES] + second + first + data[HEADER_BYTES + 2 * step :])


def test_wrong_key_is_told_from_damage() -> None:
    with pytest.raises(WrongKeyError):
        open_sealed(sealed(b"x"), key=bytes(32), context=CONTEXT)


@pytest.mark.parametrize(
    "context",
    [("message", "b" * 26, 1), ("messages", "a" * 26, 1), ("message", "a" * 26, 2), ("messagea", "a" * 25, 1)],
)
def test_object_does_not_open_in_another_place(context: sealed_format.Context) -> None:
    with pytest.raises(TamperedError):
        open_sealed(sealed(b"x"), key=KEY, context=context)


@pytest.mark.parametrize(("offset", "value"), [(4, 2), (5, 2), (6, 11), (6, 25), (7, 1), (11, 1), (12, 1)])
def test_header_of_another_form_is_refused_even_with_a_good_check(offset: int, value: int) -> None:
    """Before the key is asked: the commitment, which does not cover these bytes, still fits."""
    data = bytearray(sealed(b"x"))
    data[offset] = value
    fixed = bytes(data[: HEADER_BYTES - 4])
    data[HEADER_BYTES - 4 : HEADER_BYTES] = hashlib.sha256(fixed).digest()[:4]
    with pytest.raises(TamperedError, match=r"form that this release|more than any may"):
        opened(bytes(data))


def test_empty_chunk_at_the_end_is_refused() -> None:
    """Two encodings of one content would be one too many."""
    header = sealed(os.urandom(CHUNK))[:HEADER_BYTES]
    info = b"strongroom/sealed-object/v1/chunks" + sealed_format._context_bytes(CONTEXT)
    cipher = AESGCM(sealed_format.derive(KEY, info=info, salt=header[20:36]))
    full = cipher.encrypt(sealed_format._nonce(0, last=False), bytes(CHUNK), header)
    empty = cipher.encrypt(sealed_format._nonce(1, last=True), b"", header)
    with pytest.raises(TamperedError, match="empty chunk"):
        opened(header + full + empty)


def test_a_short_key_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(b"", key=b"short", context=CONTEXT, randomness=os.urandom)


def test_field_opens_only_with_its_key_and_in_its_place() -> None:
    field = seal_field(b"alice@clinic.example", key=KEY, context=CONTEXT, nonce=os.urandom(12))
    assert open_field(field, key=KEY, context=CONTEXT) == b"alice@clinic.example"
    with pytest.raises(TamperedError):
        open_field(field, key=bytes(32), context=CONTEXT)
    with pytest.raises(TamperedError):
        open_field(field, key=KEY, context=("message", "b" * 26, 1))


def test_no_flipped_bit_of_a_field_opens() -> None:
    field = seal_field(b"subject", key=KEY, context=CONTEXT, nonce=os.urandom(12))
    for position in range(len(field)):
        changed = bytearray(field)
        changed[position] ^= 0x80
        with pytest.raises(TamperedError):
            open_field(bytes(changed), key=KEY, context=CONTEXT)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01" * 28, b"\x02" * 60])
def test_field_of_unknown_form_is_refused(data: bytes) -> None:
    with pytest.raises(TamperedError):
        open_field(data, key=KEY, context=CONTEXT)


BOILERPLATE = Dictionary(3, b"This message may contain protected health information. " + bytes(range(256)))


def packed(content: bytes, dictionary: Dictionary = BOILERPLATE) -> bytes:
    return seal(content, key=KEY, context=CONTEXT, randomness=os.urandom, level=12, dictionary=dictionary)


def test_what_is_in_the_dictionary_costs_little() -> None:
    content = BOILERPLATE.content[:55] + b"Dear Ann"
    data = packed(content)
    assert len(data) < len(sealed(content)) - 30
    assert open_sealed(data, key=KEY, context=CONTEXT, dictionaries=lambda _number: BOILERPLATE) == content
    assert dictionary_of(data) == 3


def test_object_is_refused_without_its_dictionary_and_never_opened_with_another() -> None:
    content = BOILERPLATE.content * 3
    data = packed(content)
    with pytest.raises(TamperedError, match="dictionary 3"):
        opened(data)
    other = Dictionary(3, BOILERPLATE.content[:-100])
    with pytest.raises(TamperedError):
        open_sealed(data, key=KEY, context=CONTEXT, dictionaries=lambda _number: other)


def test_content_that_does_not_shrink_needs_no_dictionary() -> None:
    content = os.urandom(1000)
    data = packed(content)
    assert dictionary_of(data) == 0
    assert opened(data) == content


def test_many_dictionaries_are_kept_apart() -> None:
    several = [Dictionary(number, os.urandom(300)) for number in range(1, 9)]
    for _ in range(2):
        for each in several:
            data = packed(each.content + b"tail", each)
            assert len(data) < 200
            assert (
                open_sealed(data, key=KEY, context=CONTEXT, dictionaries=lambda n: several[n - 1])
                == each.content + b"tail"
            )


def test_packers_of_dictionaries_that_newer_ones_followed_are_let_go() -> None:
    of_program = Dictionary(1 << 32, os.urandom(300))
    sealed_format.packed(b"summary", level=9, dictionary=of_program)
    for number in (101, 102, 103):
        packed(b"mail", Dictionary(number, os.urandom(300)))
    kept = {number for _level, number in sealed_format._codecs._compressors}
    assert kept & {101, 102, 103, 1 << 32} == {103, 1 << 32}
