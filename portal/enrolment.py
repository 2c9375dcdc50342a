"""Enrolling: a code from the practice, then a password, then a second factor. Three steps, each in the session.

The account changes only at the end, in one transaction that also burns the code, so somebody whose phone dies in
the middle starts again with the same code.
"""

from __future__ import annotations

import hmac
from typing import Any

from sqlalchemy import Connection

from portal import passkeys, second_factor
from portal.account_records import Account, AccountState, EnrolmentCode, Secrets, canonical_login
from portal.errors import StepMissingError
from portal.passwords import problem_with
from portal.sessions import Session
from portal.sign_in import Desk, Wrong
from portal.sign_in_rules import Proof, after
from portal.throttles import account_subject, address_subject

CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""32 signs that nobody mistakes for one another on paper."""
CODE_LENGTH = 12
"""60 bits."""
WRONG_TRIES = 10
"""Then the code is void and the practice hands over a new one."""


def code_from(randomness: bytes) -> str:
    """An enrolment code in groups of four, such as ``K7QM-2XBD-9HTP``."""
    if len(randomness) != CODE_LENGTH:
        raise ValueError("an enrolment code takes 12 random bytes")
    signs = "".join(CODE_ALPHABET[byte % len(CODE_ALPHABET)] for byte in randomness)
    return "-".join(signs[at : at + 4] for at in range(0, CODE_LENGTH, 4))


class Enrolment:
    """The three steps."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def code(self, session: Session, login: str, code: str, address: str) -> Session | Wrong:
        """Step one: the code that the practice handed over."""
        after(session.step, Proof.ENROLMENT_CODE)
        desk = self._desk
        subjects = (account_subject("enrolment " + canonical_login(login)), address_subject(address))
        desk.take_try(subjects)
        with desk.database.write() as connection:
            account = desk.records.by_login(connection, login)
            if account is None or not self._code_opens(connection, account, code):
                desk.note(connection, "enrolment.refused", account, {"factor": "enrolment-code"})
                return Wrong()
            now = desk.clock.now()
            desk.throttles.refund(connection, subjects, now)
            return desk.sessions.step_up(connection, session, Proof.ENROLMENT_CODE, account=account.id, now=now)

    def password(self, session: Session, password: str) -> Session | str:
        """Step two: a password of one's own. Answers the next session, or what is wrong with the password."""
        after(session.step, Proof.NEW_PASSWORD)
        desk, account = self._desk, self._account(session)
        about = (account.person.name, account.person.email, desk.settings.practice)
        problem = problem_with(password, shortest=desk.settings.shortest_password, about=about)
        if problem:
            return problem
        pending = {
            "password_hash": desk.vault.hashed(password),
            "totp_secret": second_factor.secret_from(desk.randomness(second_factor.SECRET_BYTES)),
        }
        with desk.database.write() as connection:
            now = desk.clock.now()
            return desk.sessions.step_up(
                connection, session, Proof.NEW_PASSWORD, account=account.id, now=now, pending=pending
            )

    def offered_secret(self, session: Session) -> str:
        """Step three: the secret for an authenticator app, the same each time the page is shown."""
        after(session.step, Proof.NEW_AUTHENTICATOR)
        return str(session.pending["totp_secret"])

    def offered_address(self, session: Session) -> str:
        """The same secret as the ``otpauth://`` address in the picture."""
        secret, account = self.offered_secret(session), self._account(session)
        return second_factor.provisioning_address(
            secret, account=account.person.email, practice=self._desk.settings.practice
        )

    def authenticator(self, session: Session, code: str, address: str) -> Session | Wrong:
        """Step three, with an app: the first code shows that the secret arrived."""
        after(session.step, Proof.NEW_AUTHENTICATOR)
        desk, account = self._desk, self._account(session)
        desk.take_try((account_subject("enrolment " + account.person.email), address_subject(address)))
        secret = self.offered_secret(session)
        step = second_factor.accepted_step(secret, code, now=desk.clock.now(), last_step=-1)
        if step is None:
            return Wrong()
        secrets = Secrets(str(session.pending["password_hash"]), secret)
        with desk.database.write() as connection:
            self._complete(connection, account, secrets, "authenticator")
            desk.records.use_code_step(connection, account.id, step)
            now = desk.clock.now()
            return desk.sessions.step_up(connection, session, Proof.NEW_AUTHENTICATOR, account=account.id, now=now)

    def passkey_options(self, session: Session) -> str:
        """Step three, with a passkey: what the browser is told."""
        after(session.step, Proof.NEW_PASSKEY)
        desk, account = self._desk, self._account(session)
        challenge = desk.randomness(passkeys.CHALLENGE_BYTES)
        pending: dict[str, Any] = {**session.pending, "challenge": challenge.hex()}
        with desk.database.write() as connection:
            desk.sessions.keep_pending(connection, session, pending, desk.clock.now())
            known = desk.records.passkeys_of(connection, account.id)
        return passkeys.registration_options(desk.settings, account, known, challenge)

    def passkey(self, session: Session, answer: str, label: str) -> Session | Wrong:
        """Step three, with a passkey: keep it, and the person is in."""
        after(session.step, Proof.NEW_PASSKEY)
        desk, account = self._desk, self._account(session)
        challenge = bytes.fromhex(str(session.pending.get("challenge", "")))
        key = passkeys.registered(desk.settings, answer, challenge) if challenge else None
        if key is None:
            return Wrong()
        with desk.database.write() as connection:
            now = desk.clock.now()
            self._complete(connection, account, Secrets(str(session.pending["password_hash"]), None), "passkey")
            parts = (key.credential_id, key.public_key, key.sign_count)
            desk.records.add_passkey(connection, account.id, parts, label, now)
            return desk.sessions.step_up(connection, session, Proof.NEW_PASSKEY, account=account.id, now=now)

    def _account(self, session: Session) -> Account:
        if session.account is None:
            raise StepMissingError("no code was given", fix="Start again with the code.")
        with self._desk.database.read() as connection:
            return self._desk.records.by_id(connection, session.account)

    def _code_opens(self, connection: Connection, account: Account, code: str) -> bool:
        kept = self._desk.records.enrolment_code(connection, account.id)
        if kept is None or not self._is_live(kept):
            return False
        if hmac.compare_digest(kept.digest, self._desk.records.code_digest(account.id, code)):
            return True
        self._desk.records.wrong_enrolment_code(connection, kept)
        return False

    def _is_live(self, kept: EnrolmentCode) -> bool:
        return kept.used_at is None and kept.wrong_tries < WRONG_TRIES and self._desk.clock.now() < kept.expires_at

    def _complete(self, connection: Connection, account: Account, secrets: Secrets, how: str) -> None:
        """Burn the code and let the person in, together. Raises StepMissingError when the code was burnt meanwhile."""
        desk, now = self._desk, self._desk.clock.now()
        kept = desk.records.enrolment_code(connection, account.id)
        if kept is None or not self._is_live(kept) or not desk.records.use_enrolment_code(connection, account.id, now):
            raise StepMissingError("the code was used or ran out meanwhile", fix="Ask the practice for a new code.")
        desk.records.set_secrets(connection, account.id, secrets, AccountState.ACTIVE)
        desk.note(connection, "enrolment.done", account, {"factor": how})
