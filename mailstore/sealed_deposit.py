"""A message on its way to the disk: sealed, with all that must become true together with it, and nothing readable.

Its key lives in memory only, and in the private socket between two processes of ours (``commit_line``), never on a
disk: what becomes durable of it is wrapped (``group_commit``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mailstore.audit_entry import AuditFact
from mailstore.key_hierarchy import MessageKey
from mailstore.message import AccountId, MessageId, Origin, RecipientState, Route
from mailstore.outbox import Kind
from mailstore.sealed_series import Arrival


@dataclass(frozen=True)
class SealedRecipient:
    """One recipient's row to be. ``mailbox``: whose inbox the message goes into, if anybody's here."""

    address_index: bytes = field(repr=False)
    route: Route
    state: RecipientState
    mailbox: str | None
    sealed_detail: bytes = field(repr=False)


@dataclass(frozen=True)
class SealedDeposit:
    """One message as the writer needs it.

    ``header_id_index`` is its own Message-ID, ``referred`` those that it refers to, nearest first, as blind indexes.
    ``follow_up``: kinds of work, each with the position of the recipient that it is about. ``is_junk``: it goes into
    the folder for junk, not into the inbox.
    """

    message: MessageId
    key: MessageKey = field(repr=False)
    sealed: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    received_at: datetime
    origin: Origin
    size_bytes: int
    author: AccountId | None
    sender_index: bytes = field(repr=False)
    header_id_index: bytes | None = field(repr=False)
    referred: tuple[bytes, ...] = field(repr=False)
    sealed_summary: bytes = field(repr=False)
    recipients: tuple[SealedRecipient, ...] = field(repr=False)
    follow_up: tuple[tuple[Kind, int | None], ...]
    facts: tuple[AuditFact, ...]
    sent_mailbox: str | None
    arrival: Arrival | None
    is_junk: bool = False


class Committing(Protocol):
    """Makes groups of sealed deposits durable; ``GroupCommit`` is the one, ``CommitLine`` asks one elsewhere."""

    def store(self, group: Sequence[SealedDeposit]) -> Sequence[Exception | None]:
        """Store a group. For each of its messages in order: None when it is durable, else why it is not.

        Never raises: whatever it was, the senders must be told. For one thread.
        """
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...
