"""What somebody is writing: kept sealed as they type, and sent at most once however often they press the button."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, func, select

from mailstore.actor import Actor
from mailstore.errors import LimitExceededError, NotFoundError, RefusedError
from mailstore.message import ID_BYTES, MessageId, identifier_from
from mailstore.sealed_format import NONCE_BYTES, open_field, seal_field
from portal.sign_in import Desk
from portal.tables import drafts

SENDING_FOR_AT_MOST = timedelta(minutes=2)
"""After this, a sending that never finished (a crash in between) may be tried again."""
LONGEST_KEPT = 1_000_000
"""Characters of all fields of one draft together: twice what a message may have."""
MOST_OPEN = 200
"""Unsent drafts of one person. Whoever is signed in could fill the disk with them, and then no mail is taken."""


class DraftState(StrEnum):
    """OPEN: being written. SENDING: at the front door. SENT: taken."""

    OPEN = "open"
    SENDING = "sending"
    SENT = "sent"


@dataclass(frozen=True)
class Claim:
    """The answer to wanting to send: go ahead, or it was sent as ``sent_as``, or somebody is at it this moment."""

    may_send: bool
    sent_as: MessageId | None = None


@dataclass(frozen=True)
class KeptDraft:
    """A draft as it was kept. ``about`` is the conversation that it answers in, if any."""

    id: str
    fields: Mapping[str, str] = field(repr=False)
    changed_at: datetime
    about: str | None = None


class Drafts:
    """Drafts of everybody, each seen by its author alone."""

    def __init__(self, desk: Desk, *, account_key: bytes) -> None:
        self._desk = desk
        self._account_key = account_key

    def new_id(self) -> str:
        """A name for a new draft: the idempotency key of its form."""
        return identifier_from(self._desk.randomness(ID_BYTES))

    def latest(self, actor: Actor, about: str | None) -> KeptDraft | None:
        """What this person left unsent about a conversation, or in a new message."""
        same = drafts.c.about.is_(None) if about is None else drafts.c.about == about
        where = and_(drafts.c.account == actor.account, drafts.c.state == DraftState.OPEN, same)
        with self._desk.database.read() as connection:
            rows = self._desk.database.rows.select(
                connection, drafts, where, order_by=drafts.c.changed_at.desc(), limit=1
            )
        kept = [row for row in rows if row["sealed_text"] is not None]
        return self._kept(kept[0]) if kept else None

    def all_open(self, actor: Actor) -> list[KeptDraft]:
        """Everything this person left unsent, the newest first."""
        where = and_(drafts.c.account == actor.account, drafts.c.state == DraftState.OPEN)
        with self._desk.database.read() as connection:
            rows = self._desk.database.rows.select(connection, drafts, where, order_by=drafts.c.changed_at.desc())
        return [self._kept(row) for row in rows if row["sealed_text"] is not None]

    def find(self, actor: Actor, draft: str) -> KeptDraft:
        """One unsent draft of this person. Raises NotFoundError."""
        found = next((each for each in self.all_open(actor) if each.id == draft), None)
        if found is None:
            raise NotFoundError("no such draft")
        return found

    def keep(self, actor: Actor, draft: str, about: str | None, fields: Mapping[str, str]) -> None:
        """Keep what was typed so far. What was sent already stays sent.

        Raises LimitExceededError for what is too long, and RefusedError for one more than ``MOST_OPEN``.
        """
        if sum(map(len, fields.values())) > LONGEST_KEPT:
            raise LimitExceededError("this is too long for a draft", fix="Make it shorter.")
        with self._desk.database.write() as connection:
            row = self._row(connection, actor, draft)
            if row is not None and row["state"] != DraftState.OPEN:
                return
            changes = {"sealed_text": self._sealed(draft, fields), "changed_at": self._desk.clock.now()}
            if row is None:
                self._require_room(connection, actor)
                self._insert(connection, actor, draft, about, state=DraftState.OPEN, changes=changes)
            else:
                self._desk.database.rows.update(connection, drafts, drafts.c.id == draft, changes)

    def drop(self, actor: Actor, draft: str) -> None:
        """Forget a draft that was not sent."""
        mine = and_(drafts.c.id == draft, drafts.c.account == actor.account, drafts.c.state == DraftState.OPEN)
        with self._desk.database.write() as connection:
            self._desk.database.rows.delete(connection, drafts, mine)

    def claim(self, actor: Actor, draft: str, about: str | None) -> Claim:
        """Ask to send. Exactly one asker gets ``may_send``."""
        with self._desk.database.write() as connection:
            now = self._desk.clock.now()
            row = self._row(connection, actor, draft)
            if row is not None and row["state"] == DraftState.SENT:
                return Claim(may_send=False, sent_as=MessageId(row["message"]))
            if row is not None and row["state"] == DraftState.SENDING and now - row["changed_at"] < SENDING_FOR_AT_MOST:
                return Claim(may_send=False)
            changes = {"state": DraftState.SENDING, "changed_at": now}
            if row is None:
                self._insert(connection, actor, draft, about, state=DraftState.SENDING, changes={"changed_at": now})
            else:
                self._desk.database.rows.update(connection, drafts, drafts.c.id == draft, changes)
        return Claim(may_send=True)

    def finish(self, actor: Actor, draft: str, message: MessageId | None) -> None:
        """The front door answered: sent as ``message``, or, when it was refused, open again."""
        changes: dict[str, Any] = {"state": DraftState.SENT if message else DraftState.OPEN, "message": message}
        if message:
            changes["sealed_text"] = None
        mine = and_(drafts.c.id == draft, drafts.c.account == actor.account)
        with self._desk.database.write() as connection:
            self._desk.database.rows.update(connection, drafts, mine, {**changes, "changed_at": self._desk.clock.now()})

    def _require_room(self, connection: Connection, actor: Actor) -> None:
        mine = and_(drafts.c.account == actor.account, drafts.c.state == DraftState.OPEN)
        if connection.execute(select(func.count()).where(mine)).scalar_one() >= MOST_OPEN:
            raise RefusedError(f"there are {MOST_OPEN} unsent drafts already", fix="Send or discard one of them.")

    def _row(self, connection: Connection, actor: Actor, draft: str) -> Mapping[str, Any] | None:
        row = self._desk.database.rows.one(connection, drafts, drafts.c.id == draft)
        if row is not None and row["account"] != actor.account:
            raise NotFoundError("no such draft")
        return row

    def _insert(
        self,
        connection: Connection,
        actor: Actor,
        draft: str,
        about: str | None,
        *,
        state: DraftState,
        changes: Mapping[str, Any],
    ) -> None:
        values = {
            "id": draft,
            "account": actor.account,
            "about": about,
            "state": state,
            "message": None,
            "sealed_text": None,
            **changes,
        }
        self._desk.database.rows.insert(connection, drafts, values)

    def _sealed(self, draft: str, fields: Mapping[str, str]) -> bytes:
        data = json.dumps(dict(fields), ensure_ascii=False).encode()
        nonce = self._desk.randomness(NONCE_BYTES)
        return seal_field(data, key=self._account_key, context=("draft", draft, 1), nonce=nonce)

    def _kept(self, row: Mapping[str, Any]) -> KeptDraft:
        return KeptDraft(row["id"], self._opened(row), row["changed_at"], row["about"])

    def _opened(self, row: Mapping[str, Any]) -> dict[str, str]:
        data = open_field(row["sealed_text"], key=self._account_key, context=("draft", row["id"], 1))
        opened: dict[str, str] = json.loads(data)
        return opened
