"""What goes into the log of the operators: times, event names and ids, one JSON object a line.

Content never gets there. Our own packages log constant event names with ids beside them
(``logger.info("message accepted", extra={"message_id": ...})``). Libraries may quote what they choke on, so
of their records only the logger's name and the level are kept, and of every exception only its class and the
places in the code, never its words.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

OUR_PACKAGES = ("mailstore", "archive", "portal", "appliance")
FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5
DEEPEST_FRAMES = 12

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
        if record.exc_info and record.exc_info[0] is not None:
            line |= _failure(record.exc_info[0], record.exc_info[2])
        return json.dumps(line, ensure_ascii=True, default=lambda value: type(value).__name__)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {
        key: value
        for key, value in vars(record).items()
        if key not in _FIELDS_OF_EVERY_RECORD and isinstance(value, (str, int, float, bool))
    }


def _failure(kind: type[BaseException], where: TracebackType | None) -> dict[str, object]:
    frames = traceback.extract_tb(where)[-DEEPEST_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"exception": f"{kind.__module__}.{kind.__qualname__}", "places": places}


def place_of(error: BaseException) -> str:
    """An exception's class and the places it came through: what may be shown of it."""
    told = _failure(type(error), error.__traceback__)
    return json.dumps(told, ensure_ascii=True)


def to_directory(directory: Path, role: str) -> None:
    """Log of one role to ``DIR/log/<role>.log``, rotated by size, readable by the owner alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        directory / f"{role}.log", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
    )
    _use(handler, role)


def to_stderr(role: str) -> None:
    """Log to the standard error stream: for commands, whose log is what the person sees."""
    _use(logging.StreamHandler(), role, ours=logging.WARNING)


def _use(handler: logging.Handler, role: str, *, ours: int = logging.INFO) -> None:
    """Make one handler the only one. A failing log never stops the work and never prints a record."""
    handler.setFormatter(EventFormatter(role))
    logging.raiseExceptions = False
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(ours)
