"""Core: the settings of alarms by mail: who hears of them beside the administrators, how soon, and how often again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mailstore.addresses import BadAddressError, parse_mailbox


def _setting(default: Any, says: str, check: Callable[[Any], str]) -> Any:
    return field(default=default, metadata={"says": says, "check": check})


def _between(low: int, high: int) -> Callable[[Any], str]:
    return lambda value: "" if low <= value <= high else f"must lie between {low} and {high}"


def _addresses(values: tuple[str, ...]) -> str:
    try:
        for value in values:
            parse_mailbox(value)
    except BadAddressError:
        return "must be addresses, for example desk@clinic.example"
    return ""


@dataclass(frozen=True)
class AlertSettings:
    """What the doctor finds wrong is told by mail. The administrators always hear of it in their mailboxes here."""

    to: tuple[str, ...] = _setting(
        (), "Addresses elsewhere that hear of it too; their servers must prove themselves by TLS.", _addresses
    )
    look_minutes: int = _setting(
        5, "The doctor's quick lines are looked at after this time, in minutes.", _between(1, 60)
    )
    remind_hours: int = _setting(24, "What is still red is told again after this time, in hours.", _between(1, 168))
