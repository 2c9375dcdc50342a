"""Core: who does something. Every service call that opens or changes anything is told an ``Actor``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailstore.message import AccountId


class Role(StrEnum):
    """What a person is to the practice; each has exactly one. SYSTEM is the appliance acting by itself."""

    CLINICIAN = "clinician"
    FRONTDESK = "frontdesk"
    RECORDS = "records"
    APPROVER = "approver"
    ADMIN = "admin"
    PATIENT = "patient"
    SYSTEM = "system"

    @property
    def is_staff(self) -> bool:
        """True for people who work at the practice."""
        return self not in (Role.PATIENT, Role.SYSTEM)


@dataclass(frozen=True)
class Actor:
    """The account on whose behalf something happens, and the role it acts in."""

    account: AccountId
    role: Role


SYSTEM = Actor(AccountId("system"), Role.SYSTEM)
"""The appliance itself: accepting from the internet, retrying, capturing, indexing."""
