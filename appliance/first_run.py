"""The first run of a practice: what is still missing of it, and each of its steps.

A practice is not finished until somebody has typed recovery shares back from paper and they opened it: words that
nobody can read, or that were never written down, are found out on the first day and not after the fire. Every step
lies in the data directory when it is done, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from appliance import account_wiring, first_run_mark, front_door_wiring, portal_wiring, typed_secret
from appliance.data_directory import DataDirectory
from appliance.key_change import KeyChange
from appliance.role_charge import SecretPlace
from appliance.setup_answers import AdministratorAnswer, SharingAnswer
from appliance.share_pages import SharePage
from appliance.wiring import Appliance
from mailstore import audit_trail, slot_shares, ways_in
from mailstore.actor import SYSTEM, Role
from mailstore.audit_entry import AuditFact
from mailstore.errors import RefusedError
from mailstore.sealed_format import KEY_BYTES
from mailstore.slot_shares import SharesFile
from mailstore.unlock_slot import UnlockSlot
from mailstore.wall_clock import Clock
from portal.people import NewStaff

ADMINISTRATORS: Final = frozenset({Role.ADMIN})


class Step(StrEnum):
    """What a first run takes, in its order. SHARES: a set is made; READ_BACK: it was typed from paper and opened."""

    PRACTICE = "practice"
    ADMINISTRATOR = "administrator"
    SHARES = "shares"
    READ_BACK = "read_back"


AFTER_SHARES: Final = (Step.SHARES, Step.READ_BACK)


@dataclass(frozen=True)
class FirstRun:
    """The first run of a directory that ``init`` has made, in the name of whoever has a secret that opens it."""

    data: DataDirectory
    place: SecretPlace = field(repr=False)
    clock: Clock

    def missing(self) -> tuple[Step, ...]:
        """The steps that are not done, in their order; none when the run is finished."""
        if not self.data.first_run.exists():
            return ()
        found = [] if self._has_administrator() else [Step.ADMINISTRATOR]
        sets = self._share_sets()
        if not sets:
            found += AFTER_SHARES
        elif not any(slot.tested_at for slot in sets):
            found.append(Step.READ_BACK)
        return tuple(found)

    def add_administrator(self, answer: AdministratorAnswer) -> NewStaff:
        """The first administrator. ``RefusedError`` for a name, an address or a password that cannot be."""
        with self._opened() as appliance:
            people = portal_wiring.people(appliance)
            return people.add_staff(SYSTEM, answer.email, answer.name, Role.ADMIN, answer.password)

    def unread_set(self) -> UnlockSlot | None:
        """The set of shares that was made and not read back."""
        return next((slot for slot in self._share_sets() if slot.tested_at is None), None)

    def make_shares(self, answer: SharingAnswer) -> list[SharePage]:
        """A new set, a page a share, to be shown once: the words are kept nowhere. It takes the place of an unread one.

        ``RefusedError`` for other numbers than 2 to 16.
        """
        words, now = slot_shares.split(os.urandom(KEY_BYTES), need=answer.need, of=answer.of), self.clock.now()
        change = KeyChange.of(self.data, self.place)
        unread = self.unread_set()
        if unread is not None:
            change.rotated(lambda _done, _of: None, without=unread.id, now=now)
        label = f"{answer.need} of {answer.of}, set {slot_shares.set_of(words[0])}"
        with typed_secret.in_memory(slot_shares.joined(words)) as path:
            change.added(SharesFile(path), label=label, now=now)
        practice = front_door_wiring.settings_of(self.data).practice.name
        return [
            SharePage(practice, share, number, of=answer.of, need=answer.need, made_at=now)
            for number, share in enumerate(words, start=1)
        ]

    def read_back(self, shares: Sequence[str]) -> UnlockSlot:
        """Open everything with words that were typed from paper. ``WrongKeyError`` says what is wrong with them."""
        with typed_secret.in_memory(slot_shares.joined(shares)) as path:
            return KeyChange.of(self.data, SecretPlace(SharesFile.kind, str(path))).tested(now=self.clock.now())

    def finish(self, *, without_shares: bool = False) -> tuple[Step, ...]:
        """Let mail in from outside when nothing is missing; what is missing otherwise.

        ``without_shares``: somebody takes the risk that nobody opens the practice once the secret is gone.
        """
        missing = tuple(step for step in self.missing() if not (without_shares and step in AFTER_SHARES))
        if not missing and self.data.first_run.exists():
            fact = AuditFact("first_run.finished", "system", "appliance", {"shares": self._shares_in_a_word()})
            with self._opened() as appliance, appliance.database.write() as connection:
                audit_trail.append(connection, [fact], now=self.clock.now())
            first_run_mark.remove(self.data)
        return missing

    def _shares_in_a_word(self) -> str:
        return "read-back" if any(slot.tested_at for slot in self._share_sets()) else "none"

    def _share_sets(self) -> list[UnlockSlot]:
        """Read in plain; what was changed there is found out by whoever opens the directory next, as we do."""
        return [slot for slot in ways_in.listed(self.data.keys) if slot.kind == SharesFile.kind]

    def _has_administrator(self) -> bool:
        with self._opened() as appliance, appliance.database.read() as connection:
            return bool(account_wiring.records(appliance).of_roles(connection, ADMINISTRATORS))

    @contextmanager
    def _opened(self) -> Iterator[Appliance]:
        with Appliance.opened(self.data, other=(self.place.kind, Path(self.place.path))) as appliance:
            yield appliance


def place_of(place: SecretPlace | None, data: DataDirectory) -> SecretPlace:
    """The secret that opens the directory. ``RefusedError`` when none was named."""
    if place is None:
        raise RefusedError(f"{data.path} does not unlock by itself", fix="give a secret that opens it: --key-file FILE")
    return place
