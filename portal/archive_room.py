"""What the floor below offers to the pages about records, and what the floor above tells about the appliance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from archive.archive_listing import ArchiveListing
from archive.archive_reading import ArchiveReading
from archive.archive_search import ArchiveSearch
from archive.records_desk import RecordsDesk
from archive.result_export import ResultExports
from archive.saved_searches import SavedSearches
from archive.unread_mail import UnreadMail


@dataclass(frozen=True)
class ArchiveRoom:
    """The archive's services. Each checks the role of whoever asks."""

    search: ArchiveSearch
    exports: ResultExports
    saved: SavedSearches
    unread: UnreadMail
    reading: ArchiveReading
    listing: ArchiveListing
    desk: RecordsDesk
    checkpoints_path: Path
    audit_public: bytes
    """Where the signed statements about the audit log lie."""


class Condition(StrEnum):
    """How one check of the appliance came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    OFF = "off"


class Check(Protocol):
    """One check: what was found in plain words, and what to do about it."""

    @property
    def check(self) -> str:
        """What was looked at."""
        ...

    @property
    def state(self) -> str:
        """One of ``Condition``."""
        ...

    @property
    def message(self) -> str:
        """What was found."""
        ...

    @property
    def fix(self) -> str:
        """What to do; empty when all is well."""
        ...


class HealthReport(Protocol):
    """The doctor's look at the whole appliance."""

    def checks(self) -> Sequence[Check]:
        """Every check, made now. What cannot be looked at has failed; nothing raises."""
        ...
