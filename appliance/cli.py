"""The ``strongroom`` command: understands the line, calls one function, and says what came of it.

Exit 0 is done, 1 refused, 2 a wrong call. With ``--json`` stdout carries exactly one JSON object; everything else
goes to stderr. This is one of the three places that turn our errors into words for people.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from appliance import VERSION, command_gate, process_hardening
from appliance.command_call import Call, Outcome
from appliance.command_table import ENTRIES, GROUPS, SECRETS, Entry
from mailstore.errors import RefusedError, StrongroomError
from mailstore.wall_clock import SystemClock

DONE, REFUSED, WRONG_CALL = 0, 1, 2
QUERY_WITH_HYPHEN = "put -- before a query that begins with -, after all options; where it is an option: --query=-WORD"


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code. A process of its own is closed to others of its user."""
    if words is None:
        process_hardening.harden()
    os.umask(0o077)
    given = list(sys.argv[1:] if words is None else words)
    is_json = "--json" in given
    try:
        call, entry = _understood(given)
        command_gate.require_open(call, entry)
        outcome = _function(entry)(call)
    except _WrongCallError as error:
        return _tell_wrong_call(error, is_json=is_json)
    except StrongroomError as error:
        return _tell_refusal(error, is_json=is_json)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the edge: a stranger to us becomes words, never a traceback
        return _tell_fault(error, is_json=is_json)
    return _tell(outcome, is_json=is_json)


class _WrongCallError(Exception):
    """The line is not one we understand."""

    def __init__(self, message: str, usage: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.usage = usage
        self.fix = fix


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving, so that ``--json`` is answered in JSON there too."""

    def error(self, message: str) -> NoReturn:
        raise _WrongCallError(message, self.format_usage())


def _understood(words: list[str]) -> tuple[Call, Entry]:
    if any(not _is_text(word) for word in words):
        raise _WrongCallError("the line holds bytes that are not UTF-8", "")
    arguments = _parsed(words)
    entry: Entry = arguments.entry
    if entry.is_in_name_of_person and not arguments.as_email:
        raise RefusedError(
            "this is done in the name of a person", fix="sign in, then say --as EMAIL; nobody is exempt, root included"
        )
    kind, path = _secret(arguments)
    call = Call(
        arguments=arguments,
        data_path=arguments.data or os.environ.get("STRONGROOM_DATA") or None,
        passphrase_file=path if kind == "passphrase" else None,
        key_file=path if kind == "key_file" else None,
        as_email=getattr(arguments, "as_email", None),
        clock=SystemClock(),
        other_secret=(kind, path) if path and kind not in {"passphrase", "key_file"} else None,
    )
    return call, entry


def _parsed(words: list[str]) -> argparse.Namespace:
    try:
        return parser().parse_args(words)
    except _WrongCallError as error:
        if error.fix or not _holds_a_query_taken_for_an_option(words):
            raise
        raise _WrongCallError(error.message, error.usage, fix=QUERY_WITH_HYPHEN) from None


def _holds_a_query_taken_for_an_option(words: list[str]) -> bool:
    """A query may begin with a hyphen, and is no option then. The only option with one hyphen is ``-h``."""
    takes_query = any(
        set(entry.words) <= set(words) and any(option.name in {"query", "--query"} for option in entry.options)
        for entry in ENTRIES
    )
    return takes_query and any(re.match(r"-[^-]", word) and word != "-h" for word in words)


def _secret(arguments: argparse.Namespace) -> tuple[str, Path | None]:
    """The kind and the file of the secret that was named: on the line, else in the environment."""
    named = [(kind, path) for kind in SECRETS if (path := getattr(arguments, f"unlock_{kind}"))]
    if len(named) > 1:
        told = " and ".join(SECRETS[kind][0] for kind, _ in named)
        raise _WrongCallError(f"{told} exclude each other", "")
    variables = [(kind, path) for kind, (_, name, _) in SECRETS.items() if (path := os.environ.get(name))]
    for kind, path in [*named, *variables]:
        return kind, Path(path)
    return "", None


def _is_text(word: str) -> bool:
    """False when the system handed over bytes that are no text (PEP 383)."""
    return not any("\ud800" <= sign <= "\udfff" for sign in word)


def parser() -> argparse.ArgumentParser:
    """The grammar of the line. Options that every command takes may stand before or after its words."""
    top = _Parser(
        prog="strongroom", description="A secure mailbox, portal and archive for one practice.", allow_abbrev=False
    )
    _add_common(top, default=None)
    top.add_argument("--version", action="version", version=f"strongroom {VERSION}", help="say which release this is")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    groups: dict[str, Any] = {}
    for entry in ENTRIES:
        place = commands
        for count in range(1, len(entry.words)):
            words = " ".join(entry.words[:count])
            groups[words] = groups.get(words) or _add_group(place, words)
            place = groups[words]
        _add_command(place, entry)
    return top


def _add_group(commands: Any, words: str) -> Any:
    group = commands.add_parser(words.rpartition(" ")[2], help=GROUPS[words], allow_abbrev=False)
    _add_common(group, default=argparse.SUPPRESS)
    return group.add_subparsers(metavar="COMMAND", required=True)


def _add_command(place: Any, entry: Entry) -> None:
    command = place.add_parser(entry.words[-1], help=entry.says, description=entry.says, allow_abbrev=False)
    _add_common(command, default=argparse.SUPPRESS)
    for option in entry.options:
        command.add_argument(option.name, **option.keywords)
    command.set_defaults(entry=entry)


def _add_common(place: argparse.ArgumentParser, *, default: Any) -> None:
    add = place.add_argument
    add("--data", metavar="DIR", default=default, help="the data directory (or STRONGROOM_DATA)")
    add("--json", action="store_true", default=default or False, help="answer with one JSON object")
    add("--as", dest="as_email", metavar="EMAIL", default=default, help="the signed-in person who does this")
    for kind, (option, name, says) in SECRETS.items():
        add(option, dest=f"unlock_{kind}", metavar="FILE", default=default, help=f"{says} (or {name})")


def _function(entry: Entry) -> Any:
    module, _, name = entry.answer.partition(":")
    return getattr(importlib.import_module(f"appliance.commands.{module}"), name)


def _tell(outcome: Outcome, *, is_json: bool) -> int:
    if outcome.is_silent:
        return outcome.exit_code
    if is_json:
        _print_json(outcome.fields)
    elif outcome.raw is not None:
        sys.stdout.buffer.write(outcome.raw)
    else:
        sys.stdout.write(f"{outcome.text}\n")
    sys.stdout.flush()
    return outcome.exit_code


def _tell_refusal(error: StrongroomError, *, is_json: bool) -> int:
    if is_json:
        place = {"position": error.position} if hasattr(error, "position") else {}
        _print_json({"error": {"code": error.code, "message": error.message, "fix": error.fix, **place}})
    advice = f"  to mend it: {error.fix}\n" if error.fix else ""
    sys.stderr.write(f"strongroom: {error.message}\n{advice}")
    return REFUSED


def _tell_wrong_call(error: _WrongCallError, *, is_json: bool) -> int:
    if is_json:
        _print_error("wrong_call", error.message, error.fix or "see: strongroom --help")
    advice = f"  to mend it: {error.fix}\n" if error.fix else ""
    sys.stderr.write(f"{error.usage}strongroom: {error.message}\n{advice}")
    return WRONG_CALL


def _tell_fault(error: Exception, *, is_json: bool) -> int:
    """Our own fault: its class and place for whoever mends it, none of its words (they may quote mail)."""
    from appliance import log_setup  # noqa: PLC0415 - only needed here

    if is_json:
        _print_error("internal", "something went wrong here", "look at the line on stderr and run: strongroom doctor")
    sys.stderr.write(f"strongroom: something went wrong here: {log_setup.place_of(error)}\n")
    return REFUSED


def _print_error(code: str, message: str, fix: str) -> None:
    _print_json({"error": {"code": code, "message": message, "fix": fix}})


def _print_json(fields: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields, ensure_ascii=True, default=_plain) + "\n")


def _plain(value: object) -> object:
    """Times as RFC 3339 in UTC, paths as text."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Path():
            return str(value)
        case frozenset() | set():
            return sorted(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


if __name__ == "__main__":
    sys.exit(main())
