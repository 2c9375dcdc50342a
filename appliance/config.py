"""``strongroom.toml``: read once into frozen settings, with every problem reported at once and by line.

The commented sample that ``init`` writes and the reference page are made from the same fields.
"""

from __future__ import annotations

import json
import re
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from appliance.settings import Settings, problems_between
from mailstore.errors import RefusedError

FILE_NAME = "strongroom.toml"
Section = TypeVar("Section")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-]+)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\-]+|\"[^\"]*\")\s*=")


@dataclass(frozen=True)
class Problem:
    """One thing wrong in the file. ``line`` is 0 when the file does not say the key at all."""

    key: str
    sentence: str
    line: int = 0

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.key}: {self.sentence}"


class SettingsError(RefusedError):
    """The settings cannot be used; ``problems`` is all of them."""

    code = "bad_settings"

    def __init__(self, path: str, problems: tuple[Problem, ...]) -> None:
        listed = "; ".join(str(problem) for problem in problems)
        super().__init__(f"{path}: {listed}", fix=f"correct these lines of {path}")
        self.problems = problems


def load(path: Path, *, is_loopback: bool) -> Settings:
    """The settings in a file. Raises ``SettingsError`` with everything that is wrong."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise RefusedError(
            f"no settings at {path}",
            fix="name the data directory with --data, or make one with: strongroom init",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path} cannot be read", fix="check the file's owner, mode and encoding") from error
    return parse(text, name=str(path), is_loopback=is_loopback)


def parse(text: str, *, name: str = FILE_NAME, is_loopback: bool) -> Settings:
    """The settings in a text. Raises ``SettingsError`` with everything that is wrong."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(name, (Problem("the file", str(error)),)) from error
    lines = _lines_of_keys(text)
    reader = _Reader(lines)
    settings = reader.read(Settings, given)
    problems = reader.problems or [
        Problem(key, sentence, lines.get(key, 0))
        for key, sentence in problems_between(settings, is_loopback=is_loopback)
    ]
    if problems:
        raise SettingsError(name, tuple(sorted(problems, key=lambda problem: problem.line)))
    return settings


def _lines_of_keys(text: str) -> dict[str, int]:
    """Where each dotted key stands; an array of tables counts up: ``outbound.route.0.domain``."""
    lines: dict[str, int] = {}
    table = ""
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header[2]
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}.{counts[table]}"
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{key[1]}".lstrip(".").replace('"', ""), number)
    return lines


@dataclass
class _Reader:
    """Walks the sections once and gathers what is wrong; the default stands in for a bad value meanwhile."""

    lines: Mapping[str, int]
    problems: list[Problem] = field(default_factory=list)

    def read(self, kind: type[Section], given: Mapping[str, Any], prefix: str = "") -> Section:
        """One section as its dataclass."""
        hints = get_type_hints(kind)
        known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type] # every section is a dataclass
        for word in given.keys() - known.keys():
            self._complain(f"{prefix}{word}", "there is no such setting")
        values: dict[str, Any] = {}
        for word, one in known.items():
            key = f"{prefix}{word}"
            if _is_section(one):
                values[word] = self._section(hints[word], given.get(word, {}), key)
            elif word in given:
                values[word] = self._value(one, hints[word], given[word], key)
            elif sentence := one.metadata["check"](one.default):
                self._complain(key, f"is missing: {sentence}", near=prefix.rstrip("."))
        return kind(**values)

    def _complain(self, key: str, sentence: str, *, near: str = "") -> None:
        self.problems.append(Problem(key, sentence, self.lines.get(near or key, 0)))

    def _section(self, kind: type[Section], given: Any, key: str) -> Section:
        if not isinstance(given, Mapping):
            self._complain(key, "must be a section")
            given = {}
        return self.read(kind, given, f"{key}.")

    def _value(self, one: Field[Any], hint: Any, given: Any, key: str) -> Any:
        if row := _row_kind(hint):
            return self._rows(row, given, key)
        if hint == tuple[int, ...]:
            given = tuple(given) if isinstance(given, list) else given
            sentence = "" if _are_counts(given) else "must be a list of whole numbers above 0"
        elif hint == tuple[str, ...]:
            given = tuple(given) if isinstance(given, list) else given
            sentence = one.metadata["check"](given) if _are_texts(given) else "must be a list of texts in quotes"
        elif type(given) is not hint:
            sentence = f"must be {_kind_name(hint)}"
        else:
            sentence = one.metadata["check"](given) or _unknown_time_zone(one, given)
        if sentence:
            self._complain(key, sentence)
        return given

    def _rows(self, kind: type[Section], given: Any, key: str) -> tuple[Section, ...]:
        """An array of tables; the first field of each is its name and may not occur twice."""
        if not (isinstance(given, list) and all(isinstance(each, Mapping) for each in given)):
            self._complain(key, f"must be written as [[{key}]] sections")
            return ()
        rows = tuple(self.read(kind, each, f"{key}.{place}.") for place, each in enumerate(given))
        names = {next(iter(vars(row).values())) for row in rows}
        if len(names) < len(rows):
            self._complain(key, "says the same twice", near=f"{key}.0")
        return rows


def _row_kind(hint: Any) -> type[Any] | None:
    """The dataclass of an array of tables, or None for every other kind of setting."""
    member = next(iter(get_args(hint)), None)
    return member if isinstance(member, type) and is_dataclass(member) else None


def _is_section(one: Field[Any]) -> bool:
    return "says" not in one.metadata


def _are_counts(given: Any) -> bool:
    return isinstance(given, tuple) and bool(given) and all(type(each) is int and each > 0 for each in given)


def _are_texts(given: Any) -> bool:
    return isinstance(given, tuple) and all(type(each) is str for each in given)


def _kind_name(hint: Any) -> str:
    return {int: "a whole number", str: "text in quotes", bool: "true or false"}[hint]


def _unknown_time_zone(one: Field[Any], given: Any) -> str:
    if one.name == "time_zone" and given != "UTC" and given not in zoneinfo.available_timezones():
        return "is not a time zone this machine knows"
    return ""


def with_values(text: str, values: Mapping[str, str]) -> str:
    """A settings text in which some dotted keys say other text; every other line stays as it is.

    A key that is not there is added to its section, a section that is not there at the end.
    """
    lines = text.splitlines()
    for key, value in values.items():
        said = f"{key.rpartition('.')[2]} = {_toml(value)}"
        known = _lines_of_keys("\n".join(lines))
        section = key.rpartition(".")[0]
        if key in known:
            lines[known[key] - 1] = said
        elif section in known:
            lines.insert(known[section], said)
        else:
            lines += ["", f"[{section}]", said]
    return "\n".join(lines) + "\n"


def sample(settings: Settings) -> str:
    """The commented ``strongroom.toml`` that says these settings."""
    parts = ["# Strongroom's settings, read at start. An unknown key or a bad value stops it and is named.\n"]
    parts += [_sample_section(one.name, getattr(settings, one.name)) for one in fields(settings)]
    return "\n".join(parts)


def _sample_section(name: str, section: Any) -> str:
    lines = [f"# {_first_sentence(type(section))}", f"[{name}]"]
    tail: list[str] = []
    hints = get_type_hints(type(section))
    for one in fields(section):
        value = getattr(section, one.name)
        if row := _row_kind(hints[one.name]):
            tail += _sample_rows(f"{name}.{one.name}", row, value)
        else:
            lines += [f"# {one.metadata['says']}", f"{one.name} = {_toml(value)}"]
    return "\n".join(lines + tail) + "\n"


def _sample_rows(key: str, kind: type[Any], rows: tuple[Any, ...]) -> list[str]:
    lines = ["", f"# {_first_sentence(kind)} As many sections as needed:", f"# [[{key}]]"]
    lines += [f"# {one.name}: {one.metadata['says']}" for one in fields(kind)]
    for row in rows:
        lines += ["", f"[[{key}]]"]
        lines += [f"{one.name} = {_toml(getattr(row, one.name))}" for one in fields(row)]
    return lines


def _toml(value: Any) -> str:
    """A value as TOML: a JSON string of printable characters is a TOML basic string too."""
    return json.dumps(value, ensure_ascii=False)


def _first_sentence(kind: type[Any]) -> str:
    return (kind.__doc__ or "").split("\n", maxsplit=1)[0]


def reference() -> str:
    """The reference page of all settings, in Markdown."""
    lines = [
        "# Settings",
        "",
        "Every key of `DIR/strongroom.toml`. Generated from the fields in `appliance/settings.py`.",
    ]
    for name, kind in _sections():
        hints = get_type_hints(kind)
        lines += ["", f"## `{name}`", "", _first_sentence(kind), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [_reference_row(one, hints[one.name]) for one in fields(kind) if not _row_kind(hints[one.name])]
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, type[Any]]]:
    for name, kind in get_type_hints(Settings).items():
        yield f"[{name}]", kind
        for word, hint in get_type_hints(kind).items():
            if row := _row_kind(hint):
                yield f"[[{name}.{word}]]", row


def _reference_row(one: Field[Any], hint: Any) -> str:
    words = {int: "whole number", str: "text", bool: "true or false"}
    kind = f"list of {words[get_args(hint)[0]]}s" if get_args(hint) else words[hint]
    return f"| `{one.name}` | {kind} | `{_toml(one.default)}` | {one.metadata['says']} |"
