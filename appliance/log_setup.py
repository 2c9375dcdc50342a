"""What goes into the log of the operators: times, event names and ids, one JSON object a line.

Content never gets there. Our own packages log constant event names with ids beside them
(``logger.info("message accepted", extra={"message_id": ...})``). Libraries may quote what they choke on, so
of their records only the logger's name and the level are kept, and of every exception and its causes only the class,
the error number and the places in the code, never the words.
"""

from __future__ import annotations

import errno
import json
import logging
import logging.handlers
import sqlite3
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

OUR_PACKAGES = ("mailstore", "archive", "portal", "appliance")
FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5
DEEPEST_FRAMES = 12
MOST_CAUSES = 5

_FIELDS_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    """One record as one line of JSON with nothing in it that a sender could have chosen."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line end."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "role": self._role,
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name.split(".", maxsplit=1)[0] in OUR_PACKAGES:
            line["event"] = str(record.msg)
            line |= _extras(record)
        if record.exc_info and record.exc_info[1] is not None:
            line |= _failure(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=lambda value: type(value).__name__)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {
        key: value
        for key, value in vars(record).items()
        if key not in _FIELDS_OF_EVERY_RECORD and isinstance(value, (str, int, float, bool))
    }


def _failure(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    told: dict[str, object] = {"exception": _named(error), "places": places}
    causes = [_named(cause) for cause in islice(_causes(error), MOST_CAUSES)]
    return {**told, "causes": causes} if causes else told


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What led to an error, the nearest first: "could not be stored" is our word, "no space left" is the cause."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield cause
        yield from _causes(cause)


def _named(error: BaseException) -> str:
    """Class and error number of an exception; its words may quote what a sender chose."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{kind} {errno.errorcode.get(error.errno, error.errno)}"
    if isinstance(error, sqlite3.Error):
        return f"{kind} {getattr(error, 'sqlite_errorname', '')}".rstrip()
    state = getattr(error, "sqlstate", None)  # PostgreSQL's five characters (appendix A of its manual)
    return f"{kind} {state}" if isinstance(state, str) else kind


def place_of(error: BaseException) -> str:
    """An exception's class and the places it came through: what may be shown of it."""
    return json.dumps(_failure(error), ensure_ascii=True)


def to_directory(directory: Path, role: str) -> None:
    """Log of one role to ``DIR/log/<role>.log``, rotated by size, readable by the owner alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        directory / f"{role}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
    )
    _use(handler, role)


def _use(handler: logging.Handler, role: str) -> None:
    """Make one handler the only one. A failing log never stops the work and never prints a record."""
    handler.setFormatter(EventFormatter(role))
    logging.raiseExceptions = False
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(logging.INFO)
