"""An answer in JSON, held against the reference of what its command answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from appliance.command_answers import ANSWERS


def command_of(words: Sequence[str]) -> str:
    """Which command a line calls."""
    return next(" ".join(words[:length]) for length in (1, 2, 3) if " ".join(words[:length]) in ANSWERS)


def check(words: Sequence[str], answer: dict[str, Any]) -> None:
    """Every field of the answer stands in the reference, and none that always is there is missing."""
    command = command_of(words)
    known = {name.removesuffix("?"): not name.endswith("?") for name in ANSWERS[command]}
    found = set(_paths(answer, known))
    assert found <= known.keys(), f"{command} answers what the reference does not say: {sorted(found - known.keys())}"
    missing = {path for path, is_always_there in known.items() if is_always_there} - found
    absent = sorted(path for path in missing if not _is_below_an_empty_list(path, answer))
    assert not absent, f"{command} does not answer {absent}"


def _paths(value: object, known: dict[str, bool], place: str = "") -> Iterator[str]:
    if place in known:
        yield place
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _paths(part, known, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        if f"{place}[]" in known:
            yield f"{place}[]"
        else:
            for part in value:
                yield from _paths(part, known, f"{place}[]")
    else:
        yield place


def _is_below_an_empty_list(path: str, answer: object) -> bool:
    """True when the answer has a list on the way to the field, and the list has no items there."""
    if isinstance(answer, list):
        return all(_is_below_an_empty_list(path, part) for part in answer)
    if not isinstance(answer, dict):
        return False
    name, _, rest = path.partition(".")
    found = answer.get(name.removesuffix("[]"))
    return _is_below_an_empty_list(rest, found) if rest else False
