"""One call of a command and what comes of it: what ``cli`` hands to a command and takes back."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.data_directory import DataDirectory
from mailstore.addresses import display
from mailstore.errors import RefusedError
from mailstore.wall_clock import Clock

WIDEST_CELL = 60


@dataclass(frozen=True)
class Outcome:
    """What a command answers: ``fields`` for programs, ``text`` for people.

    ``raw`` goes to stdout byte for byte when the caller did not ask for JSON. ``exit_code`` is 1 for an answer
    that says no (a certificate that is not valid), which is an answer all the same. ``is_silent`` means that the
    command has written its one JSON object by itself.
    """

    fields: Mapping[str, Any]
    text: str = ""
    raw: bytes | None = field(default=None, repr=False)
    exit_code: int = 0
    is_silent: bool = False


@dataclass(frozen=True)
class Call:
    """A command line, understood: the directory, the secret's whereabouts, the person, and the rest."""

    arguments: argparse.Namespace = field(repr=False)
    data_path: str | None
    passphrase_file: Path | None
    key_file: Path | None
    as_email: str | None
    clock: Clock
    other_secret: tuple[str, Path] | None = None
    """The kind and the file of a secret that is neither a passphrase nor a key file."""

    @property
    def data(self) -> DataDirectory:
        """The data directory. ``RefusedError`` when none was named."""
        if self.data_path is None:
            raise RefusedError(
                "no data directory was named", fix="say --data DIR, or set STRONGROOM_DATA to the directory"
            )
        return DataDirectory(Path(self.data_path).absolute())


def shown(value: object) -> str:
    """One value for a person's eyes: times to the second, nothing that could steer a terminal."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(each) for each in value)
    return display("" if value is None else str(value))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str = "Nothing.") -> str:
    """Rows under aligned headings."""
    if not rows:
        return empty
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    heads = [column.replace("_", " ") for column in columns]
    widths = [max(len(line[place]) for line in [heads, *cells]) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *cells]
    )


def _cell(value: object) -> str:
    text = shown(value)
    return text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 1] + "…"


def facts(fields: Mapping[str, Any]) -> str:
    """Names and values, one a line, aligned."""
    width = max((len(name) for name in fields), default=0)
    return "\n".join(f"{name.replace('_', ' ').ljust(width)}  {shown(value)}" for name, value in fields.items())


def listed(items: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str = "Nothing.") -> Outcome:
    """The outcome of a command that lists things."""
    return Outcome({"items": list(items), "total": len(items)}, table(items, columns, empty=empty))
