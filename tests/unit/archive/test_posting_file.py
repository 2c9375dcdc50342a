from __future__ import annotations

from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from archive.posting_file import PostingFile, packed_places, packed_postings, write_postings


class Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def get(self, position: int, length: int) -> bytes:
        return self._data[position : position + length]


def written(found: dict[bytes, dict[int, list[int]]]) -> PostingFile:
    file = BytesIO()
    write_postings(
        file,
        (
            (term, packed_postings([each for n in sorted(found[term]) for each in (n, packed_places(found[term][n]))]))
            for term in sorted(found)
        ),
    )
    return PostingFile(Bytes(file.getvalue()), len(file.getvalue()))


places = st.sets(st.integers(0, 100_000), min_size=1, max_size=5).map(sorted)
contents = st.dictionaries(
    st.binary(min_size=1, max_size=6),
    st.dictionaries(st.integers(0, 5_000), places, min_size=1, max_size=4),
    max_size=30,
)


@given(contents)
def test_what_was_written_is_found(found: dict[bytes, dict[int, list[int]]]) -> None:
    file = written(found)
    for term, by_document in found.items():
        postings = file.find(term)
        assert postings is not None
        assert postings.documents == tuple(sorted(by_document))
        wanted = frozenset(by_document)
        assert postings.places(wanted) == {number: frozenset(some) for number, some in by_document.items()}
    assert [term for term, _ in file.beginning_with(b"")] == sorted(found)


@given(contents, st.binary(max_size=3))
def test_a_beginning_finds_every_term_that_has_it(found: dict[bytes, dict[int, list[int]]], start: bytes) -> None:
    assert [term for term, _ in written(found).beginning_with(start)] == [
        t for t in sorted(found) if t.startswith(start)
    ]


def test_many_blocks_are_searched_like_one() -> None:
    found = {f"{number:06}".encode(): {number: [1]} for number in range(20_000)}
    file = written(found)
    assert file.find(b"000000") is not None
    assert file.find(b"019999") is not None
    assert file.find(b"0199990") is None
    assert file.find(b"") is None
    assert len(list(file.beginning_with(b"0123"))) == 100
