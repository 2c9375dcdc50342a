from __future__ import annotations

import os

import pytest

from mailstore import object_layout
from mailstore.errors import RefusedError


def test_names_that_we_make_are_names_that_we_take() -> None:
    for _ in range(50):
        name = object_layout.new_object_name(os.urandom)
        assert object_layout.checked_object_name(name) == name
        segment = object_layout.new_segment_name(os.urandom)
        assert object_layout.checked_segment_name(segment) == segment
        assert not object_layout.is_object_name(segment)
        assert not object_layout.is_segment_name(name)


def test_names_are_random() -> None:
    assert len({object_layout.new_object_name(os.urandom) for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["", "../x", "aa/b", "aa/" + "a" * 24 + "\n", "aa/" + "1" * 24])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RefusedError):
        object_layout.checked_object_name(name)
    with pytest.raises(RefusedError):
        object_layout.checked_segment_name(name)
