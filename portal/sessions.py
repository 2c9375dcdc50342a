"""Sessions: ids that we mint, 256 bits, kept as a digest, new at every step up, and dead on time.

A visitor who has proved nothing has an id too, so that the sign-in form carries a token; that id is recognised by
its keyed mark and takes no row, however many pages a scanner fetches. An id that we did not mint is never adopted
(session fixation). The token in every form is derived from the id, so it is bound to the session and dies with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, or_

from mailstore.actor import Actor, Role
from mailstore.database import Database
from mailstore.instants import microseconds
from mailstore.message import AccountId
from mailstore.sealed_format import NONCE_BYTES, open_field, seal_field
from mailstore.sealed_rows import rows_of
from portal import passkey_challenge
from portal.account_records import AccountState, Randomness
from portal.errors import StepMissingError
from portal.settings import PortalSettings
from portal.sign_in_rules import Proof, Step, after
from portal.tables import accounts, sessions

COOKIE = "__Host-strongroom"
ID_BYTES = 32
MARK_BYTES = 16
UNFINISHED_LIFE = timedelta(minutes=30)
"""How long somebody may stay between two steps of signing in or enrolling."""
CLOCK_SLACK = timedelta(minutes=2)
"""So far a time server may set the clock back without signing people out."""
SPENT = "spent"
"""Of what is pending: up to when the challenges of this session were answered, in microseconds since 1970."""
SEEN_EVERY = timedelta(minutes=1)
"""Being seen is written at most this often, so that reading pages does not become writing rows."""


@dataclass(frozen=True)
class Session:
    """One visitor's session as this request found it. ``id`` is the cookie's value, known only while it is answered."""

    id: str = field(repr=False)
    step: Step
    account: AccountId | None = None
    role: Role | None = None
    expires_at: datetime | None = None
    proved_at: datetime | None = None
    pending: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def form_token(self) -> str:
        """What every form of this session carries."""
        return hashlib.sha256(b"strongroom form token " + self.id.encode()).hexdigest()

    @property
    def actor(self) -> Actor | None:
        """The person, once every factor has been shown; before that, nobody."""
        if self.step is Step.SIGNED_IN and self.account is not None and self.role is not None:
            return Actor(self.account, self.role)
        return None


class Sessions:
    """Mints, finds, raises and ends sessions."""

    def __init__(
        self,
        database: Database,
        settings: PortalSettings,
        *,
        account_key: bytes,
        lookup_key: bytes,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._settings = settings
        self._account_key = account_key
        self._mark_key = hmac.digest(lookup_key, b"strongroom anonymous session", "sha256")
        self._randomness = randomness

    def anonymous(self) -> Session:
        """A fresh session of somebody who has proved nothing. It takes no row."""
        secret = self._randomness(ID_BYTES)
        return Session(_text(secret + self._mark(secret)), Step.ANONYMOUS)

    def find(self, cookie: str | None, now: datetime) -> Session | None:
        """The living session of a cookie; None for an id that is not ours, has ended or has expired."""
        if not cookie or len(cookie) > 128:  # noqa: PLR2004 - ours have 43 or 64 characters
            return None
        with self._database.read() as connection:
            row = self._database.rows.one(connection, sessions, sessions.c.id_digest == _digest(cookie))
            row = row if row is not None and self._is_alive(row, now) else None
            if self._is_anonymous(cookie):
                return Session(cookie, Step.ANONYMOUS, pending=self._pending(row))
            if row is None:
                return None
            account = self._database.rows.one(connection, accounts, accounts.c.id == row["account"])
        if account is None or account["state"] == AccountState.CLOSED:
            return None
        if now - row["seen_at"] >= SEEN_EVERY:
            self._mark_seen(row["id_digest"], now)
            row = {**row, "seen_at": now}
        return self._session(cookie, row, Role(account["role"]))

    def step_up(
        self,
        connection: Connection,
        session: Session,
        proof: Proof,
        *,
        account: AccountId,
        now: datetime,
        pending: Mapping[str, Any] | None = None,
    ) -> Session:
        """The session after ``proof``, under a new id; the old id is dead. Raises StepMissingError."""
        step = after(session.step, proof)
        self.end(connection, session)
        return self._begin(connection, step, account, now, pending or {})

    def begin_again(self, connection: Connection, session: Session, now: datetime) -> Session:
        """A new id for a signed-in person who just showed a factor again."""
        if session.account is None or session.step is not Step.SIGNED_IN:
            raise ValueError("only a signed-in session begins again")
        self.end(connection, session)
        return self._begin(connection, Step.SIGNED_IN, session.account, now, session.pending)

    def keep_pending(self, connection: Connection, session: Session, pending: Mapping[str, Any], now: datetime) -> None:
        """Remember something sealed until the next step, such as a challenge or a secret not confirmed yet."""
        digest = _digest(session.id)
        changes = {"sealed_pending": self._sealed(digest, pending)}
        if self._database.rows.update(connection, sessions, sessions.c.id_digest == digest, changes):
            return
        if session.step is not Step.ANONYMOUS:
            raise StepMissingError("the session ended meanwhile", fix="Sign in again.")
        self._insert(connection, digest, session.step, None, now=now, life=UNFINISHED_LIFE, pending=pending)

    def challenge(self, session: Session, now: datetime) -> bytes:
        """A challenge for a passkey, good once and for this session. It takes no row."""
        return passkey_challenge.made(session.id, now, key=self._mark_key)

    def spend(self, connection: Connection, session: Session, challenge: bytes, now: datetime) -> bool:
        """True for a challenge that this session may answer now; afterwards for none that is as old or older."""
        begun = passkey_challenge.made_at(challenge, session.id, key=self._mark_key)
        if begun is None or not passkey_challenge.is_in_time(begun, now):
            return False
        row = self._database.rows.one(connection, sessions, sessions.c.id_digest == _digest(session.id))
        pending, stamp = self._pending(row), microseconds(begun)
        if stamp <= pending.get(SPENT, -1):
            return False
        self.keep_pending(connection, session, {**pending, SPENT: stamp}, now)
        return True

    def end(self, connection: Connection, session: Session) -> None:
        """Sign out: the id opens nothing any more. An anonymous one opened nothing, and what it spent stays spent."""
        if session.step is Step.ANONYMOUS:
            return
        self._database.rows.delete(connection, sessions, sessions.c.id_digest == _digest(session.id))

    def end_all(self, connection: Connection, account: AccountId, *, but: Session | None = None) -> int:
        """Sign out everywhere, on this device too unless it is spared; answers how many sessions ended."""
        theirs = sessions.c.account == account
        if but is not None:
            theirs = theirs & (sessions.c.id_digest != _digest(but.id))
        return self._database.rows.delete(connection, sessions, theirs)

    def count(self, connection: Connection, account: AccountId, now: datetime) -> int:
        """How many living sessions the account has."""
        rows = self._database.rows.select(connection, sessions, sessions.c.account == account)
        return sum(1 for row in rows if self._is_alive(row, now))

    def sweep(self, connection: Connection, now: datetime) -> int:
        """Delete what has expired; answers how many."""
        idle = sessions.c.seen_at <= now - self._settings.session_idle
        return self._database.rows.delete(connection, sessions, or_(sessions.c.expires_at <= now, idle))

    def _begin(
        self, connection: Connection, step: Step, account: AccountId, now: datetime, pending: Mapping[str, Any]
    ) -> Session:
        minted = _text(self._randomness(ID_BYTES))
        digest = _digest(minted)
        life = self._settings.session_life if step is Step.SIGNED_IN else UNFINISHED_LIFE
        self._insert(connection, digest, step, account, now=now, life=life, pending=pending)
        account_row = self._database.rows.one(connection, accounts, accounts.c.id == account)
        role = Role(account_row["role"]) if account_row else None
        return Session(minted, step, account, role, now + life, now, dict(pending))

    def _insert(
        self,
        connection: Connection,
        digest: bytes,
        step: Step,
        account: AccountId | None,
        *,
        now: datetime,
        life: timedelta,
        pending: Mapping[str, Any],
    ) -> None:
        values = {
            "id_digest": digest,
            "account": account,
            "step": step,
            "created_at": now,
            "seen_at": now,
            "expires_at": now + life,
            "proved_at": now,
            "sealed_pending": self._sealed(digest, pending) if pending else None,
        }
        self._database.rows.insert(connection, sessions, values)

    def _pending(self, row: Mapping[str, Any] | None) -> dict[str, Any]:
        return self._opened(row["id_digest"], row["sealed_pending"]) if row and row["sealed_pending"] else {}

    def _session(self, cookie: str, row: Mapping[str, Any], role: Role) -> Session:
        idle_end = row["seen_at"] + self._settings.session_idle
        return Session(
            cookie,
            Step(row["step"]),
            AccountId(row["account"]),
            role,
            min(row["expires_at"], idle_end),
            row["proved_at"],
            self._pending(row),
        )

    def _is_alive(self, row: Mapping[str, Any], now: datetime) -> bool:
        is_of_this_time = row["seen_at"] - CLOCK_SLACK <= now  # a clock set back must not lengthen a session
        return bool(is_of_this_time and now < row["expires_at"] and now - row["seen_at"] < self._settings.session_idle)

    def _mark_seen(self, digest: bytes, now: datetime) -> None:
        with self._database.write() as connection:
            self._database.rows.update(connection, sessions, sessions.c.id_digest == digest, {"seen_at": now})

    def _mark(self, secret: bytes) -> bytes:
        return hmac.digest(self._mark_key, secret, "sha256")[:MARK_BYTES]

    def _is_anonymous(self, cookie: str) -> bool:
        try:
            raw = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
        except ValueError:
            return False
        if len(raw) != ID_BYTES + MARK_BYTES or _text(raw) != cookie:
            return False
        return hmac.compare_digest(self._mark(raw[:ID_BYTES]), raw[ID_BYTES:])

    def _sealed(self, digest: bytes, pending: Mapping[str, Any]) -> bytes:
        data = json.dumps(dict(pending)).encode()
        context = ("session pending", digest.hex(), 1)
        return seal_field(data, key=self._account_key, context=context, nonce=self._randomness(NONCE_BYTES))

    def _opened(self, digest: bytes, sealed: bytes) -> dict[str, Any]:
        context = ("session pending", digest.hex(), 1)
        opened: dict[str, Any] = json.loads(open_field(sealed, key=self._account_key, context=context))
        return opened


def end_everybodys(connection: Connection) -> int:
    """Nobody is signed in any more, or halfway; answers how many sessions ended."""
    return rows_of(connection).delete(connection, sessions, sessions.c.id_digest.is_not(None))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
