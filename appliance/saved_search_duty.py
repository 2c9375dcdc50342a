"""Runs saved searches every day, each with what its owner may see by then, and writes to owners how much is new.

What is written holds numbers alone: the name and the words of a search may name a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.alert_mail import AlertMail, Readers
from archive.saved_searches import SavedSearches
from mailstore.actor import Actor
from mailstore.addresses import Address, parse_mailbox
from mailstore.database import Database
from mailstore.errors import NotFoundError
from mailstore.message import AccountId
from mailstore.wall_clock import Clock
from portal.account_records import Account, AccountRecords, AccountState
from portal.front_door import FrontDoor


@dataclass(frozen=True)
class SavedSearchDuty:
    """One look at what is due. ``page``: where owners see their saved searches."""

    saved: SavedSearches
    accounts: AccountRecords
    database: Database
    front_door: FrontDoor
    postmaster: Address
    host_name: str
    page: str
    clock: Clock

    def run(self) -> int:
        """Run what is due; answers how many searches ran. Raises ``StorageUnavailableError``."""
        return self.saved.run_due(self._actor, self._tell)

    def _actor(self, owner: AccountId) -> Actor | None:
        account = self._account(owner)
        return Actor(account.id, account.role) if account and account.state is AccountState.ACTIVE else None

    def _account(self, owner: AccountId) -> Account | None:
        try:
            with self.database.read() as connection:
                return self.accounts.by_id(connection, owner)
        except NotFoundError:
            return None

    def _tell(self, owner: AccountId, new: Sequence[int]) -> None:
        account = self._account(owner)
        if account is None:
            return
        to = (parse_mailbox(account.person.email),)
        mail = AlertMail(
            front_door=self.front_door,
            readers=lambda: Readers(here=to, elsewhere=()),
            postmaster=self.postmaster,
            host_name=self.host_name,
            clock=self.clock,
        )
        mail.send(*letter(new, page=self.page))


def letter(new: Sequence[int], *, page: str) -> tuple[str, str]:
    """Subject and text: how many searches found something, and how much."""
    messages = sum(new)
    found = "one of your saved searches has" if len(new) == 1 else f"{len(new)} of your saved searches have"
    what = "1 new message" if messages == 1 else f"{messages} new messages"
    subject = f"Saved searches: {what}"
    each = "" if len(new) == 1 else f" ({', '.join(map(str, new))})"
    text = f"Since you last looked, {found} found {what}{each}.\n\nWhich they are, you see here: {page}\n"
    return subject, text
