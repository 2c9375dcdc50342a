"""The operators' log: events and ids, never content."""

from __future__ import annotations

import errno
import json
import logging
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import log_setup
from mailstore.errors import StorageUnavailableError

CANARY = "mrs-smith-has-the-flu"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    log_setup.to_directory(tmp_path / "log", "smtp")
    yield tmp_path / "log" / "smtp.log"
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.raiseExceptions = raising


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_our_event_is_one_line_with_its_ids(log: Path) -> None:
    logging.getLogger("appliance.smtp_inbound").info("message accepted", extra={"message_id": "abc", "size": 12})
    (line,) = lines(log)
    assert (line["event"], line["message_id"], line["size"]) == ("message accepted", "abc", 12)
    assert (line["role"], line["level"]) == ("smtp", "info")
    assert str(line["at"]).endswith("Z")


def test_words_of_an_exception_never_reach_the_log(log: Path) -> None:
    try:
        int(CANARY)
    except ValueError:
        logging.getLogger("appliance.worker").exception("item failed")
    assert CANARY not in log.read_text("utf-8")
    (line,) = lines(log)
    assert line["exception"] == "builtins.ValueError"
    assert "test_log_setup.py" in str(line["places"])


def test_what_a_library_says_is_left_out(log: Path) -> None:
    logging.getLogger("aiosmtplib").warning("could not parse %r", CANARY)
    logging.getLogger("aiosmtplib").info("body: %s", CANARY)
    assert CANARY not in log.read_text("utf-8")
    (line,) = lines(log)
    assert line["logger"] == "aiosmtplib"


def test_bytes_beside_an_event_are_left_out(log: Path) -> None:
    logging.getLogger("mailstore.deposit").info("deposited", extra={"body": CANARY.encode()})
    assert "body" not in lines(log)[0]


def test_line_break_in_an_id_cannot_forge_a_second_line(log: Path) -> None:
    logging.getLogger("portal.app").info("sign-in", extra={"account": 'x"}\n{"event": "forged"}'})
    assert len(lines(log)) == 1


def test_log_is_readable_by_its_owner_alone(log: Path) -> None:
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_causes_of_a_failure_are_named_by_class_and_number_without_their_words(log: Path) -> None:
    database = sqlite3.connect(":memory:")
    try:
        try:
            try:
                database.execute("SELECT secret_of_mrs_smith")
            except sqlite3.Error:
                raise OSError(errno.ENOSPC, CANARY, CANARY)  # noqa: B904 - an unchained cause must show too
        except OSError as error:
            raise StorageUnavailableError("the message could not be stored") from error
    except StorageUnavailableError:
        logging.getLogger("appliance.smtp_session").exception("message could not be stored")
    finally:
        database.close()
    (line,) = lines(log)
    assert line["exception"] == "mailstore.errors.StorageUnavailableError"
    assert line["causes"] == ["builtins.OSError ENOSPC", "sqlite3.OperationalError SQLITE_ERROR"]
    assert CANARY not in log.read_text("utf-8")
    assert "secret" not in log.read_text("utf-8")
