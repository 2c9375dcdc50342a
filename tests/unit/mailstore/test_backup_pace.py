from __future__ import annotations

from mailstore.backup_pace import BackupPace


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_no_more_bytes_a_second_than_allowed() -> None:
    time = Time()
    pace = BackupPace(1_000, seconds=lambda: time.now, sleep=time.sleep)
    for _ in range(10):
        pace.spent(500)
    assert time.now == 105.0


def test_time_that_was_not_used_is_not_saved_up() -> None:
    time = Time()
    pace = BackupPace(1_000, seconds=lambda: time.now, sleep=time.sleep)
    pace.spent(1_000)
    time.now += 3600
    pace.spent(1_000)
    assert time.slept == [1.0, 1.0]


def test_without_a_bound_nobody_sleeps() -> None:
    time = Time()
    BackupPace(0, seconds=lambda: time.now, sleep=time.sleep).spent(10**12)
    assert time.slept == []
