"""Core: the settings of backups: where they go, how often, how long, and when their age is an alarm."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mailstore import object_store_url

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")


def _setting(default: Any, says: str, check: Callable[[Any], str]) -> Any:
    return field(default=default, metadata={"says": says, "check": check})


def _between(low: int, high: int) -> Callable[[Any], str]:
    return lambda value: "" if low <= value <= high else f"must lie between {low} and {high}"


def _anything(_value: Any) -> str:
    return ""


def _name(value: str) -> str:
    return "" if _NAME.match(value) else "must be up to 32 small letters, digits and hyphens, for example nas"


def target_place(value: str) -> str:
    """An absolute directory, or a bucket as ``[object_store] url`` is said."""
    if value.startswith("/"):
        return "" if value.isprintable() and value.strip("/") else "must be a directory, for example /mnt/backup"
    return object_store_url.problem(value) if value else "must be a directory, or s3+https://HOST:PORT/BUCKET"


def is_bucket(place: str) -> bool:
    """True for a place in a bucket, False for a directory."""
    return place.startswith(tuple(object_store_url.SCHEMES))


@dataclass(frozen=True)
class BackupTargetSettings:
    """One place that backups go to by themselves."""

    name: str = _setting("", "What it is called in reports, for example nas.", _name)
    url: str = _setting("", "A directory, or a bucket as s3+https://HOST:PORT/BUCKET?prefix=NAME.", target_place)
    credentials_file: str = _setting(
        "", "A bucket's access key and secret, a line each. They need to add, read and list, no more.", _anything
    )
    region: str = _setting("us-east-1", "The region that requests to a bucket are signed for.", _anything)
    ca_file: str = _setting(
        "", "The authority that signed the bucket's certificate; empty means the system's.", _anything
    )


@dataclass(frozen=True)
class BackupSettings:
    """Backups: data without keys and keys without data, each sealed to its own recovery key."""

    data_hours: int = _setting(24, "A backup of the data is made after this time, in hours.", _between(1, 720))
    keys_minutes: int = _setting(5, "Keys that changed are backed up after this time, in minutes.", _between(1, 1440))
    data_keep_days: int = _setting(
        90, "Backups of the data in a directory are removed after this time, in days.", _between(2, 36_500)
    )
    data_alarm_hours: int = _setting(
        48, "A newest backup of the data that is older is an alarm, in hours.", _between(1, 8760)
    )
    keys_alarm_minutes: int = _setting(
        60, "A newest look at the keys that is older is an alarm, in minutes.", _between(5, 525_600)
    )
    bytes_per_second: int = _setting(
        20_000_000, "Backups made by themselves send no more in a second; 0 means no bound.", _between(0, 10**12)
    )
    drill_days: int = _setting(
        30,
        "A restore from each target is rehearsed after this time, in days; 0 means never by itself.",
        _between(0, 365),
    )
    drill_alarm_days: int = _setting(
        45, "A newest drill of a target that is older, or failed, is an alarm, in days.", _between(1, 730)
    )
    target: tuple[BackupTargetSettings, ...] = _setting((), "Where backups go; two are a second site.", _anything)
