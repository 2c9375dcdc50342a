"""A person's own account: their passkeys, whether they have an authenticator app, and where they are signed in."""

from __future__ import annotations

from sqlalchemy import Connection

from mailstore import audit_trail
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact
from mailstore.errors import NotFoundError, RefusedError
from portal import passkeys
from portal.account_records import Account, PasskeyCredential
from portal.sessions import Session
from portal.sign_in import Desk


class OwnAccount:
    """What everybody sees and changes of their own way in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def passkeys_of(self, actor: Actor) -> list[PasskeyCredential]:
        """The acting person's passkeys."""
        with self._desk.database.read() as connection:
            return self._desk.records.passkeys_of(connection, actor.account)

    def passkey_options(self, actor: Actor, session: Session) -> str:
        """What the browser is told to add a passkey to one's own account."""
        account, challenge = self._me(actor), self._desk.randomness(passkeys.CHALLENGE_BYTES)
        with self._desk.database.write() as connection:
            pending = {"challenge": challenge.hex()}
            self._desk.sessions.keep_pending(connection, session, pending, self._desk.clock.now())
            known = self._desk.records.passkeys_of(connection, actor.account)
        return passkeys.registration_options(self._desk.settings, account, known, challenge)

    def add_passkey(self, actor: Actor, session: Session, answer: str, label: str) -> bool:
        """Keep the passkey that the browser made. False when its answer is not right."""
        challenge = bytes.fromhex(str(session.pending.get("challenge", "")))
        key = passkeys.registered(self._desk.settings, answer, challenge) if challenge else None
        with self._desk.database.write() as connection:
            now = self._desk.clock.now()
            self._desk.sessions.keep_pending(connection, session, {}, now)
            if key is None:
                return False
            parts = (key.credential_id, key.public_key, key.sign_count)
            self._desk.records.add_passkey(connection, actor.account, parts, label or "Passkey", now)
            self._note(connection, actor, "account.passkey_added")
        return True

    def remove_passkey(self, actor: Actor, name: str) -> None:
        """Forget one of one's own passkeys; never the last way in. Raises NotFoundError, RefusedError."""
        with self._desk.database.write() as connection:
            secrets = self._desk.records.secrets_of(connection, actor.account)
            if secrets.totp_secret is None and len(self._desk.records.passkeys_of(connection, actor.account)) <= 1:
                raise RefusedError("this is the only way to sign in", fix="Add another passkey first.")
            if not self._desk.records.remove_passkey(connection, actor.account, name):
                raise NotFoundError("no such passkey")
            self._note(connection, actor, "account.passkey_removed")

    def has_authenticator(self, actor: Actor) -> bool:
        """True when the acting person signs in with one-time codes."""
        with self._desk.database.read() as connection:
            return self._desk.records.secrets_of(connection, actor.account).totp_secret is not None

    def sessions_of(self, actor: Actor) -> int:
        """How many places the acting person is signed in at."""
        with self._desk.database.read() as connection:
            return self._desk.sessions.count(connection, actor.account, self._desk.clock.now())

    def _me(self, actor: Actor) -> Account:
        with self._desk.database.read() as connection:
            return self._desk.records.by_id(connection, actor.account)

    def _note(self, connection: Connection, actor: Actor, event: str) -> None:
        audit_trail.append(connection, [AuditFact(event, actor.account, actor.account)], now=self._desk.clock.now())
