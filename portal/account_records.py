"""Accounts, credentials and enrolment codes: the only module that writes to those tables.

Names and addresses lie sealed under the account key and are found by blind index under the lookup key. Nothing
here decides who may do what; the services above do.

``caretaker`` stands apart on purpose, and so does ``app_passwords``: the process that faces the internet holds the
lookup key and the row key alone, and opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_

from mailstore.actor import Role
from mailstore.addresses import BadAddressError, parse_mailbox
from mailstore.database import Database
from mailstore.errors import NotFoundError, RefusedError
from mailstore.key_hierarchy import blind_index
from mailstore.message import ID_BYTES, AccountId, identifier_from
from mailstore.sealed_format import NONCE_BYTES, open_field, seal_field
from mailstore.sealed_rows import rows_of
from portal.tables import accounts, codes, credentials

Randomness = Callable[[int], bytes]


class AccountExistsError(RefusedError):
    """Somebody with this address is here already."""

    code = "account_exists"


class AccountState(StrEnum):
    """INVITED: holds an enrolment code. ACTIVE: has both factors. CLOSED: signs in no more."""

    INVITED = "invited"
    ACTIVE = "active"
    CLOSED = "closed"


class CredentialKind(StrEnum):
    """What a credential row is."""

    APP_PASSWORD = "app_password"  # noqa: S105 - the name of a kind, not a secret
    PASSKEY = "passkey"


@dataclass(frozen=True)
class Person:
    """Who somebody is."""

    name: str = field(repr=False)
    email: str = field(repr=False)
    language: str = "en"


@dataclass(frozen=True)
class Account:
    """One account, opened. The secrets are in ``Secrets``, fetched apart."""

    id: AccountId
    role: Role
    state: AccountState
    person: Person
    last_code_step: int
    created_at: datetime


@dataclass(frozen=True)
class Secrets:
    """What an account signs in with, apart from passkeys. ``password_hash`` is Argon2id, sealed on top."""

    password_hash: str | None = field(default=None, repr=False)
    totp_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PasskeyCredential:
    """One registered passkey."""

    id: str
    account: AccountId
    credential_id: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    label: str = field(repr=False)
    sign_count: int
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class EnrolmentCode:
    """An enrolment code as kept: its digest and its life."""

    account: AccountId
    digest: bytes = field(repr=False)
    expires_at: datetime
    wrong_tries: int
    used_at: datetime | None


def canonical_login(login: str) -> str:
    """The form in which a login is looked up. Text that is no address is looked up as it is, and found by nobody."""
    try:
        return parse_mailbox(login.strip()).canonical
    except BadAddressError:
        return login.strip().lower()


def email_index(lookup_key: bytes, login: str) -> bytes:
    """The blind index of an account's address."""
    return blind_index(lookup_key, "account", canonical_login(login))


def app_password_lookup(lookup_key: bytes, account: AccountId, password: str) -> bytes:
    """The keyed digest of an app password: enough for a secret of 100 random bits, which needs no slow hash."""
    text = "\0".join(("app password", account, "".join(password.split())))
    return hmac.digest(lookup_key, text.encode(), "sha256")


def caretaker(connection: Connection) -> AccountId | None:
    """Who gets the mail to postmaster: the first administrator, or whoever came first while there is none."""
    working = and_(accounts.c.state == AccountState.ACTIVE, accounts.c.role != Role.PATIENT)
    found = rows_of(connection).select(connection, accounts, working, order_by=accounts.c.created_at)
    found.sort(key=lambda row: row["role"] != Role.ADMIN)
    return AccountId(found[0]["id"]) if found else None


class AccountRecords:
    """Reads and writes accounts. Every method works inside the caller's transaction."""

    def __init__(self, database: Database, *, account_key: bytes, lookup_key: bytes, randomness: Randomness) -> None:
        self._rows = database.rows
        self._account_key = account_key
        self._lookup_key = lookup_key
        self._randomness = randomness

    # accounts

    def add(self, connection: Connection, *, person: Person, role: Role, secrets: Secrets, now: datetime) -> Account:
        """A new account; ACTIVE when it can sign in, INVITED otherwise. Raises AccountExistsError."""
        index = email_index(self._lookup_key, person.email)
        if self._rows.one(connection, accounts, accounts.c.email_index == index):
            raise AccountExistsError("an account with this address exists", fix="Look it up among the people.")
        name = AccountId(identifier_from(self._randomness(ID_BYTES)))
        state = AccountState.ACTIVE if secrets.password_hash and secrets.totp_secret else AccountState.INVITED
        account = Account(name, role, state, person, -1, now)
        self._rows.insert(
            connection,
            accounts,
            {
                "id": name,
                "role": role,
                "state": state,
                "email_index": index,
                "sealed_person": self._sealed_person(name, person),
                "sealed_secrets": self._sealed(name, "secrets", _secrets_mapping(secrets)),
                "last_code_step": -1,
                "created_at": now,
            },
        )
        return account

    def by_login(self, connection: Connection, login: str) -> Account | None:
        """The account with this address."""
        row = self._rows.one(connection, accounts, accounts.c.email_index == email_index(self._lookup_key, login))
        return self._account(row) if row else None

    def by_id(self, connection: Connection, account: AccountId) -> Account:
        """The account with this id. Raises NotFoundError."""
        row = self._rows.one(connection, accounts, accounts.c.id == account)
        if row is None:
            raise NotFoundError("no such account")
        return self._account(row)

    def of_roles(self, connection: Connection, roles: frozenset[Role]) -> list[Account]:
        """Every account in these roles, oldest first."""
        rows = self._rows.select(
            connection, accounts, accounts.c.role.in_(sorted(roles)), order_by=accounts.c.created_at
        )
        return [self._account(row) for row in rows]

    def secrets_of(self, connection: Connection, account: AccountId) -> Secrets:
        """What the account signs in with."""
        row = self._rows.one(connection, accounts, accounts.c.id == account)
        return Secrets(**self._opened(account, "secrets", row["sealed_secrets"])) if row else Secrets()

    def set_secrets(self, connection: Connection, account: AccountId, secrets: Secrets, state: AccountState) -> None:
        """Replace password hash and authenticator secret; a new secret starts a new count of used codes."""
        sealed = self._sealed(account, "secrets", _secrets_mapping(secrets))
        changes = {"sealed_secrets": sealed, "state": state, "last_code_step": -1}
        self._rows.update(connection, accounts, accounts.c.id == account, changes)

    def use_code_step(self, connection: Connection, account: AccountId, step: int) -> bool:
        """Remember that the one-time code of ``step`` was used. False when it or a later one was used already."""
        fresh = and_(accounts.c.id == account, accounts.c.last_code_step < step)
        return self._rows.update(connection, accounts, fresh, {"last_code_step": step}) == 1

    def set_role(self, connection: Connection, account: AccountId, role: Role) -> None:
        """Make somebody something else to the practice."""
        self._rows.update(connection, accounts, accounts.c.id == account, {"role": role})

    # app passwords and passkeys

    def add_app_password(self, connection: Connection, account: AccountId, password: str, now: datetime) -> None:
        """Keep the digest of a new app password."""
        lookup = app_password_lookup(self._lookup_key, account, password)
        self._add_credential(connection, account, CredentialKind.APP_PASSWORD, lookup, now=now)

    def remove_app_passwords(self, connection: Connection, account: AccountId) -> int:
        """Forget every app password of the account; answers how many there were."""
        kind = credentials.c.kind == CredentialKind.APP_PASSWORD
        return self._rows.delete(connection, credentials, and_(credentials.c.account == account, kind))

    def add_passkey(
        self, connection: Connection, account: AccountId, key: tuple[bytes, bytes, int], label: str, now: datetime
    ) -> None:
        """Keep a passkey: ``key`` is its credential id, public key and signature count."""
        credential_id, public_key, count = key
        detail = {"id": credential_id.hex(), "public_key": public_key.hex(), "label": label}
        sealed = self._sealed(account, "passkey", detail)
        lookup = self._passkey_lookup(credential_id)
        self._add_credential(connection, account, CredentialKind.PASSKEY, lookup, now=now, sealed=sealed, count=count)

    def passkey(self, connection: Connection, credential_id: bytes) -> PasskeyCredential | None:
        """The passkey with this credential id."""
        row = self._rows.one(connection, credentials, credentials.c.lookup == self._passkey_lookup(credential_id))
        return self._passkey(row) if row and row["kind"] == CredentialKind.PASSKEY else None

    def passkeys_of(self, connection: Connection, account: AccountId) -> list[PasskeyCredential]:
        """Every passkey of the account, oldest first."""
        theirs = and_(credentials.c.account == account, credentials.c.kind == CredentialKind.PASSKEY)
        return [
            self._passkey(row)
            for row in self._rows.select(connection, credentials, theirs, order_by=credentials.c.created_at)
        ]

    def passkey_used(self, connection: Connection, passkey: PasskeyCredential, count: int, now: datetime) -> None:
        """Remember the signature count of a passkey that was just used."""
        changes = {"sign_count": count, "last_used_at": now}
        self._rows.update(connection, credentials, credentials.c.id == passkey.id, changes)

    def remove_passkey(self, connection: Connection, account: AccountId, name: str) -> bool:
        """Forget one passkey of the account. False when it has none by that id."""
        theirs = and_(
            credentials.c.id == name, credentials.c.account == account, credentials.c.kind == CredentialKind.PASSKEY
        )
        return self._rows.delete(connection, credentials, theirs) == 1

    def remove_passkeys(self, connection: Connection, account: AccountId) -> int:
        """Forget every passkey of the account; answers how many there were."""
        theirs = and_(credentials.c.account == account, credentials.c.kind == CredentialKind.PASSKEY)
        return self._rows.delete(connection, credentials, theirs)

    # enrolment codes

    def set_enrolment_code(
        self, connection: Connection, account: AccountId, code: str, *, by: AccountId, now: datetime, until: datetime
    ) -> None:
        """Keep the digest of a new code in place of any older one."""
        self._rows.delete(connection, codes, codes.c.account == account)
        self._rows.insert(
            connection,
            codes,
            {
                "account": account,
                "digest": self.code_digest(account, code),
                "issued_at": now,
                "issued_by": by,
                "expires_at": until,
                "wrong_tries": 0,
                "used_at": None,
            },
        )

    def remove_enrolment_code(self, connection: Connection, account: AccountId) -> None:
        """Forget the code that was handed out, used or not."""
        self._rows.delete(connection, codes, codes.c.account == account)

    def enrolment_code(self, connection: Connection, account: AccountId) -> EnrolmentCode | None:
        """The code that was last handed out to this person."""
        row = self._rows.one(connection, codes, codes.c.account == account)
        if row is None:
            return None
        return EnrolmentCode(account, row["digest"], row["expires_at"], row["wrong_tries"], row["used_at"])

    def wrong_enrolment_code(self, connection: Connection, code: EnrolmentCode) -> None:
        """Count a wrong try."""
        changes = {"wrong_tries": code.wrong_tries + 1}
        self._rows.update(connection, codes, codes.c.account == code.account, changes)

    def use_enrolment_code(self, connection: Connection, account: AccountId, now: datetime) -> bool:
        """Burn the code. False when it was burnt already."""
        unused = and_(codes.c.account == account, codes.c.used_at.is_(None))
        return self._rows.update(connection, codes, unused, {"used_at": now}) == 1

    def code_digest(self, account: AccountId, code: str) -> bytes:
        """The keyed digest of an enrolment code; spaces, dashes and case do not matter."""
        plain = "".join(character for character in code.upper() if character.isalnum())
        return hmac.digest(self._lookup_key, f"enrolment\0{account}\0{plain}".encode(), "sha256")

    # sealing

    def _add_credential(
        self,
        connection: Connection,
        account: AccountId,
        kind: CredentialKind,
        lookup: bytes,
        *,
        now: datetime,
        sealed: bytes | None = None,
        count: int = 0,
    ) -> None:
        values = {
            "id": identifier_from(self._randomness(ID_BYTES)),
            "account": account,
            "kind": kind,
            "lookup": lookup,
            "sealed_detail": sealed,
            "sign_count": count,
            "created_at": now,
            "last_used_at": None,
        }
        self._rows.insert(connection, credentials, values)

    def _passkey_lookup(self, credential_id: bytes) -> bytes:
        return hmac.digest(self._lookup_key, b"passkey\0" + hashlib.sha256(credential_id).digest(), "sha256")

    def _passkey(self, row: Mapping[str, Any]) -> PasskeyCredential:
        detail = self._opened(AccountId(row["account"]), "passkey", row["sealed_detail"])
        return PasskeyCredential(
            id=row["id"],
            account=AccountId(row["account"]),
            credential_id=bytes.fromhex(detail["id"]),
            public_key=bytes.fromhex(detail["public_key"]),
            label=detail["label"],
            sign_count=row["sign_count"],
            created_at=row["created_at"],
            last_used_at=row["last_used_at"],
        )

    def _account(self, row: Mapping[str, Any]) -> Account:
        name = AccountId(row["id"])
        person = Person(**self._opened(name, "person", row["sealed_person"]))
        return Account(
            name, Role(row["role"]), AccountState(row["state"]), person, row["last_code_step"], row["created_at"]
        )

    def _sealed_person(self, account: AccountId, person: Person) -> bytes:
        mapping = {"name": person.name, "email": person.email, "language": person.language}
        return self._sealed(account, "person", mapping)

    def _sealed(self, account: AccountId, column: str, mapping: Mapping[str, Any]) -> bytes:
        data = json.dumps(mapping, ensure_ascii=False).encode()
        context = _context(account, column)
        return seal_field(data, key=self._account_key, context=context, nonce=self._randomness(NONCE_BYTES))

    def _opened(self, account: AccountId, column: str, sealed: bytes) -> dict[str, Any]:
        opened: dict[str, Any] = json.loads(
            open_field(sealed, key=self._account_key, context=_context(account, column))
        )
        return opened


def _context(account: AccountId, column: str) -> tuple[str, str, int]:
    return (f"account {column}", account, 1)


def _secrets_mapping(secrets: Secrets) -> dict[str, Any]:
    return {"password_hash": secrets.password_hash, "totp_secret": secrets.totp_secret}
