"""Signing in: the shell around ``sign_in_rules``. Each call takes the visitor's session and gives back the next one.

A wrong answer is an expected answer (``Wrong``), counted before it is looked at. An account that does not exist is
answered with the same words after the same work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.wall_clock import Clock
from portal import passkey_challenge, passkeys, second_factor
from portal.account_records import Account, AccountRecords, AccountState, Randomness, Secrets, canonical_login
from portal.errors import StepMissingError, TooManyTriesError
from portal.passwords import PasswordVault
from portal.sessions import Session, Sessions
from portal.settings import PortalSettings
from portal.sign_in_rules import Proof, Step, after
from portal.throttles import Subject, Throttles, account_subject, address_subject

UNKNOWN = "unknown"
"""The actor of an audit entry about an account that does not exist."""
FRESH_PROOF = timedelta(minutes=5)
"""How long showing a factor counts for a dangerous act."""


@dataclass(frozen=True)
class Wrong:
    """The answer was not right. Which part of it was wrong is not said."""


@dataclass(frozen=True)
class Desk:
    """What signing in and enrolling both work with."""

    database: Database
    settings: PortalSettings
    records: AccountRecords
    sessions: Sessions
    throttles: Throttles
    vault: PasswordVault
    clock: Clock
    randomness: Randomness

    def take_try(self, subjects: tuple[Subject, ...]) -> None:
        """Count a try. Raises TooManyTriesError while there is a wait."""
        with self.database.write() as connection:
            seconds = self.throttles.take(connection, subjects, self.clock.now())
        if seconds:
            raise TooManyTriesError(seconds)

    def note(
        self, connection: Connection, event: str, account: Account | None, detail: Mapping[str, str | int] | None = None
    ) -> None:
        """An audit entry in the transaction of the fact."""
        who = account.id if account else UNKNOWN
        audit_trail.append(connection, [AuditFact(event, who, who, detail or {})], now=self.clock.now())


class SignIn:
    """Password and one-time code, or a passkey."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def password(self, session: Session, login: str, password: str, address: str) -> Session | Wrong:
        """The first factor."""
        after(session.step, Proof.PASSWORD)
        desk, subjects = self._desk, _subjects(login, address)
        desk.take_try(subjects)
        account = self._with_password(login, password)
        with desk.database.write() as connection:
            if account is None:
                desk.note(connection, "sign_in.refused", self._named(connection, login), {"factor": "password"})
                return Wrong()
            now = desk.clock.now()
            desk.throttles.refund(connection, subjects, now)
            return desk.sessions.step_up(connection, session, Proof.PASSWORD, account=account.id, now=now)

    def one_time_code(self, session: Session, code: str, address: str) -> Session | Wrong:
        """The second factor after a password."""
        after(session.step, Proof.ONE_TIME_CODE)
        desk, account = self._desk, self.account_of(session)
        subjects = _subjects(account.person.email, address)
        desk.take_try(subjects)
        with desk.database.write() as connection:
            now = desk.clock.now()
            if not self._code_is_right(connection, account, code):
                desk.note(connection, "sign_in.refused", account, {"factor": "one-time-code"})
                return Wrong()
            self._welcome(connection, account, subjects, "password+code")
            return desk.sessions.step_up(connection, session, Proof.ONE_TIME_CODE, account=account.id, now=now)

    def passkey_options(self, session: Session) -> str:
        """The challenge for a passkey, as the browser wants it. It is good once; strangers ask, so nothing is kept."""
        after(session.step, Proof.PASSKEY)
        desk = self._desk
        return passkeys.sign_in_options(desk.settings, desk.sessions.challenge(session, desk.clock.now()))

    def passkey(self, session: Session, answer: str, address: str) -> Session | Wrong:
        """Both factors in one: the device, and the finger, face or PIN that it asked for."""
        after(session.step, Proof.PASSKEY)
        desk, subjects = self._desk, (address_subject(address),)
        desk.take_try(subjects)
        challenge = passkey_challenge.answered(answer)
        with desk.database.write() as connection:
            now = desk.clock.now()
            may_answer = desk.sessions.spend(connection, session, challenge, now)
            account = self._with_passkey(connection, session, answer, challenge) if may_answer else None
            if account is None:
                desk.note(connection, "sign_in.refused", None, {"factor": "passkey"})
                return Wrong()
            self._welcome(connection, account, (*subjects, account_subject(account.person.email)), "passkey")
            return desk.sessions.step_up(connection, session, Proof.PASSKEY, account=account.id, now=now)

    def both_at_once(self, login: str, password: str, code: str, address: str) -> Account | Wrong:
        """Password and one-time code together, for a sign-in without pages. The caller keeps its own session."""
        desk, subjects = self._desk, _subjects(login, address)
        desk.take_try(subjects)
        account = self._with_password(login, password)
        with desk.database.write() as connection:
            if account is None or not self._code_is_right(connection, account, code):
                named = account or self._named(connection, login)
                desk.note(connection, "sign_in.refused", named, {"factor": "password-or-code"})
                return Wrong()
            self._welcome(connection, account, subjects, "password+code")
            return account

    def prove_again(self, session: Session, code: str, address: str) -> Session | Wrong:
        """A signed-in person shows the second factor again, before a dangerous act."""
        desk, account = self._desk, self.account_of(session)
        if session.step is not Step.SIGNED_IN:
            raise StepMissingError("not signed in", fix="Sign in first.")
        subjects = _subjects(account.person.email, address)
        desk.take_try(subjects)
        with desk.database.write() as connection:
            if not self._code_is_right(connection, account, code):
                desk.note(connection, "sign_in.refused", account, {"factor": "one-time-code"})
                return Wrong()
            desk.throttles.refund(connection, subjects, desk.clock.now())
            return desk.sessions.begin_again(connection, session, desk.clock.now())

    def is_fresh(self, session: Session) -> bool:
        """True when a factor was shown in the last minutes: enough for a dangerous act."""
        proved = session.proved_at
        return session.step is Step.SIGNED_IN and proved is not None and self._desk.clock.now() - proved <= FRESH_PROOF

    def sign_out(self, session: Session, *, everywhere: bool = False) -> Session:
        """End this session, or all of the person's; answers the anonymous one that follows."""
        desk = self._desk
        with desk.database.write() as connection:
            desk.sessions.end(connection, session)
            if session.account is not None:
                account = desk.records.by_id(connection, session.account)
                if everywhere:
                    desk.sessions.end_all(connection, account.id)
                desk.note(connection, "sign_out", account, {"everywhere": int(everywhere)})
        return desk.sessions.anonymous()

    def account_of(self, session: Session) -> Account:
        """The account that a session belongs to, whatever its step. Raises StepMissingError for nobody's."""
        if session.account is None:
            raise StepMissingError("nobody has begun to sign in here", fix="Start at the sign-in page.")
        with self._desk.database.read() as connection:
            return self._desk.records.by_id(connection, session.account)

    def _with_password(self, login: str, password: str) -> Account | None:
        desk = self._desk
        with desk.database.read() as connection:
            account = desk.records.by_login(connection, login)
            secrets = desk.records.secrets_of(connection, account.id) if account else Secrets()
        is_right = desk.vault.matches(secrets.password_hash, password)
        return account if is_right and account and account.state is AccountState.ACTIVE else None

    def _with_passkey(self, connection: Connection, session: Session, answer: str, challenge: bytes) -> Account | None:
        desk = self._desk
        credential_id = passkeys.credential_id_of(answer)
        passkey = desk.records.passkey(connection, credential_id) if credential_id else None
        if passkey is None or session.account not in {None, passkey.account}:
            return None
        count = passkeys.verified_count(desk.settings, answer, challenge, passkey)
        account = desk.records.by_id(connection, passkey.account)
        if count is None or account.state is not AccountState.ACTIVE:
            return None
        desk.records.passkey_used(connection, passkey, count, desk.clock.now())
        return account

    def _code_is_right(self, connection: Connection, account: Account, code: str) -> bool:
        desk = self._desk
        current = desk.records.by_id(connection, account.id)
        secret = desk.records.secrets_of(connection, account.id).totp_secret
        if secret is None or current.state is not AccountState.ACTIVE:
            return False
        step = second_factor.accepted_step(secret, code, now=desk.clock.now(), last_step=current.last_code_step)
        return step is not None and desk.records.use_code_step(connection, account.id, step)

    def _named(self, connection: Connection, login: str) -> Account | None:
        return self._desk.records.by_login(connection, login)

    def _welcome(self, connection: Connection, account: Account, subjects: tuple[Subject, ...], how: str) -> None:
        """Somebody is in. What has expired of others is swept here: a sign-in is rare, and writes anyway."""
        desk = self._desk
        desk.throttles.refund(connection, subjects, desk.clock.now())
        desk.sessions.sweep(connection, desk.clock.now())
        desk.throttles.sweep(connection, desk.clock.now())
        desk.throttles.forget(connection, account_subject(canonical_login(account.person.email)))
        desk.note(connection, "sign_in", account, {"how": how})


def _subjects(login: str, address: str) -> tuple[Subject, ...]:
    return (account_subject(canonical_login(login)), address_subject(address))
