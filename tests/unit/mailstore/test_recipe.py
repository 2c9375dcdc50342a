from __future__ import annotations

import base64
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.errors import TamperedError
from mailstore.recipe import (
    MAX_PIECES,
    Encoded,
    PartId,
    Piece,
    Recipe,
    Shared,
    Verbatim,
    content_of,
    pieces_of,
    recipe_of,
)

PART = PartId("abcdefghijklmnopqrstuvwxyz")


def in_lines(data: bytes, line: int = 76) -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[start : start + line] + b"\r\n" for start in range(0, len(text), line))


def no_part(part: PartId) -> bytes:
    raise AssertionError(part)


def again(content: bytes) -> bytes:
    """Taken apart, written, read and put together."""
    recipe = recipe_of(content, list(pieces_of(content)))
    return content_of(Recipe.from_bytes(recipe.to_bytes()), no_part)


@pytest.mark.parametrize("line", [40, 60, 64, 72, 76, 996])
@pytest.mark.parametrize("extra", range(4))
def test_base64_lines_are_kept_decoded_and_come_back_to_the_byte(line: int, extra: int) -> None:
    data = os.urandom(line * 30 + extra)
    content = b"Subject: x\r\n\r\n" + in_lines(data, line) + b"--boundary--\r\n"
    assert [type(piece) for piece in pieces_of(content)] == [Verbatim, Encoded, Verbatim]
    assert len(recipe_of(content, list(pieces_of(content))).to_bytes()) < len(data) + 200
    assert again(content) == content


def test_what_follows_the_lines_is_not_taken_for_one_of_them() -> None:
    for tail in (b"\r\n", b"Thanks\r\n", b"==\r\n", b"", b"QUI=\r\nQUI=\r\n"):
        content = in_lines(os.urandom(57 * 40)) + tail
        assert any(isinstance(piece, Encoded) for piece in pieces_of(content))
        assert again(content) == content


@pytest.mark.parametrize(
    "odd",
    [
        in_lines(os.urandom(5000)).replace(b"\r\n", b"\n"),
        in_lines(os.urandom(5000))[:-4] + b"B==\r\n",
        in_lines(os.urandom(5000), 75),
        in_lines(os.urandom(5000)).replace(b"\r\n", b" \r\n"),
        in_lines(os.urandom(3000)) + in_lines(os.urandom(3000), 60),
        b"A" * 500_000,
        b"",
    ],
)
def test_odd_lines_come_back_as_they_came(odd: bytes) -> None:
    assert again(b"X: y\r\n\r\n" + odd) == b"X: y\r\n\r\n" + odd
    assert again(odd) == odd


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=90), st.binary(min_size=900, max_size=3000).map(in_lines)), max_size=6))
def test_every_message_comes_back_to_the_byte(stretches: list[bytes]) -> None:
    content = b"".join(stretches)
    assert again(content) == content


def test_shared_parts_are_named_once_and_put_back() -> None:
    data = os.urandom(30_000)
    content = b"one\r\n" + in_lines(data) + b"two\r\n" + in_lines(data, 64)
    pieces: list[Piece] = [
        Shared(PART, len(piece.data), piece.line) if isinstance(piece, Encoded) else piece
        for piece in pieces_of(content)
    ]
    recipe = Recipe.from_bytes(recipe_of(content, pieces).to_bytes())
    assert recipe.parts == (PART,)
    assert content_of(recipe, lambda _part: data) == content
    with pytest.raises(TamperedError):
        content_of(recipe, lambda _part: data[:-1])
    with pytest.raises(TamperedError):
        content_of(recipe, lambda _part: data[:-1] + b"\0")


def test_no_flipped_bit_and_no_cut_gives_other_text() -> None:
    content = b"Subject: x\r\n\r\n" + in_lines(os.urandom(1500))
    written = recipe_of(content, list(pieces_of(content))).to_bytes()
    for place in range(len(written)):
        for changed in (written[:place], written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :]):
            with pytest.raises(TamperedError):
                content_of(Recipe.from_bytes(changed), no_part)


def test_recipe_that_would_make_a_giant_is_refused_before_it_is_made() -> None:
    many: tuple[Piece, ...] = tuple(Shared(PART, 1 << 30, 76) for _ in range(100))
    with pytest.raises(TamperedError):
        Recipe.from_bytes(Recipe(many, bytes(16)).to_bytes())
    with pytest.raises(TamperedError):
        Recipe.from_bytes(b"SRRP\x01\xff\xff" + bytes(16))


def test_message_of_a_million_stretches_has_bounded_pieces_and_time() -> None:
    content = (in_lines(os.urandom(57 * 17)) + b"-\r\n") * 6000
    began = time.process_time()
    pieces = list(pieces_of(content))
    assert len(pieces) <= MAX_PIECES
    assert again(content) == content
    assert time.process_time() - began < 2


@pytest.mark.parametrize("hostile", [b"A" * 4_000_000, (b"A" * 76 + b"\r\n") * 15 + b"!" * 100, b"A" * 39 + b"\r\n"])
def test_lines_made_to_cost_time_cost_none(hostile: bytes) -> None:
    content = hostile * max(1, 4_000_000 // len(hostile))
    began = time.process_time()
    assert again(content) == content
    assert time.process_time() - began < 2
