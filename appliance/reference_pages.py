"""The reference pages of settings and commands, made from the code: ``python -m appliance.reference_pages``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from appliance import config
from appliance.command_answers import ANSWERS
from appliance.command_table import ENTRIES, Entry, Option

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

COMMON = """\
# Commands

Generated from `appliance/command_table.py` and `appliance/command_answers.py`. Every command takes, before or
after its words:

| option | meaning |
|---|---|
| `--data DIR` | the data directory (or `STRONGROOM_DATA`) |
| `--json` | answer with exactly one JSON object on stdout; everything else goes to stderr |
| `--as EMAIL` | the person in whose name it is done, who has signed in with `strongroom sign-in` |
| `--passphrase-file FILE` | a passphrase that unlocks the directory (or `STRONGROOM_PASSPHRASE_FILE`) |
| `--key-file FILE` | a key file that unlocks it; without either, the one inside it does (or `STRONGROOM_KEY_FILE`) |

`strongroom --version` says which release this is, and `strongroom COMMAND --help` what a command takes.

Exit code 0: done. 1: refused, with `{"error": {"code", "message", "fix"}}`. 2: a wrong call.
Commands marked † act in the name of a person: they are refused to everybody else, root included, and stand in the
audit trail under that name.

Under *answers* stand the fields of that JSON object: times are RFC 3339 in UTC, sizes are bytes, `[]` is a list. Fields
may be added, never renamed or dropped.
"""


def pages() -> Mapping[str, str]:
    """Every generated page by its file name."""
    return {"settings.md": config.reference(), "commands.md": commands()}


def commands() -> str:
    """The reference page of all commands, in Markdown."""
    return "\n".join([COMMON, *(_section(entry) for entry in ENTRIES)])


def _section(entry: Entry) -> str:
    mark = " †" if entry.is_in_name_of_person else ""
    says = entry.says[0].upper() + entry.says[1:]
    lines = [f"## `strongroom {' '.join(entry.words)}`{mark}", "", f"{says}.", ""]
    if entry.options:
        lines += ["| argument | meaning |", "|---|---|", *(_row(option) for option in entry.options), ""]
    answers = ANSWERS[" ".join(entry.words)].items()
    lines += ["| answers | |", "|---|---|", *(f"| `{name.removesuffix('?')}` | {says} |" for name, says in answers), ""]
    return "\n".join(lines)


def _row(option: Option) -> str:
    says = option.keywords["help"]
    choices = option.keywords.get("choices")
    told = f"{says}: {', '.join(choices)}" if choices else says
    return f"| `{_shown(option)}` | {told} |"


def _shown(option: Option) -> str:
    keywords = option.keywords
    if keywords.get("action") == "store_true":
        return f"[{option.name}]"
    placeholder = keywords.get("metavar") or option.name.strip("-").replace("-", "_").upper()
    if not option.name.startswith("-"):
        return str(placeholder)
    whole = f"{option.name} {placeholder}"
    return whole if keywords.get("required") else f"[{whole}]"


def main() -> int:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
