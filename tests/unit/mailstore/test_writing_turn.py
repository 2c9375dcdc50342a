from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from mailstore.errors import StorageUnavailableError
from mailstore.writing_turn import WritingTurn

PROCESSES = multiprocessing.get_context("spawn")


def keep(database: Path, has_it: Event) -> None:
    with WritingTurn(database, patience_seconds=5).held():
        has_it.set()
        time.sleep(60)


def test_turn_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    database, has_it = tmp_path / "rows.sqlite3", PROCESSES.Event()
    keeper = PROCESSES.Process(target=keep, args=(database, has_it))
    keeper.start()
    assert has_it.wait(30)
    impatient = WritingTurn(database, patience_seconds=0.05)
    with pytest.raises(StorageUnavailableError, match="busy"), impatient.held():
        pytest.fail("two processes had the turn")
    assert keeper.pid is not None
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.join()
    with impatient.held():
        pass


def test_turn_is_given_back_after_an_error(tmp_path: Path) -> None:
    first, second = (WritingTurn(tmp_path / "rows.sqlite3", patience_seconds=0.05) for _ in range(2))
    with pytest.raises(OSError, match="disk"), first.held():
        raise OSError("disk")
    with second.held():
        pass


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    WritingTurn(tmp_path / "rows.sqlite3", patience_seconds=1)
    assert (tmp_path / "rows.sqlite3-turn").stat().st_mode & 0o777 == 0o600
