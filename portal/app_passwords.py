"""Who an app password belongs to, for the process that faces the internet: it has no key that opens an account.

The secret has 120 random bits, so a keyed digest is enough, and the answer takes one look-up for those who are here as
for those who are not.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailstore.actor import Role
from mailstore.database import Database
from mailstore.message import ID_BYTES, AccountId, identifier_from
from portal.account_records import AccountState, CredentialKind, app_password_lookup, email_index
from portal.tables import accounts, credentials


@dataclass(frozen=True)
class Submitter:
    """Who proved an app password."""

    account: AccountId
    role: Role


def verify_app_password(database: Database, lookup_key: bytes, login: str, password: str) -> Submitter | None:
    """Who this login and app password belong to, or None. Opens nothing: digests and sealed rows only."""
    with database.read() as connection:
        account = database.rows.one(connection, accounts, accounts.c.email_index == email_index(lookup_key, login))
        known = account["id"] if account else identifier_from(bytes(ID_BYTES))
        lookup = app_password_lookup(lookup_key, AccountId(known), password)
        found = database.rows.one(connection, credentials, credentials.c.lookup == lookup)
    if account is None or found is None or found["kind"] != CredentialKind.APP_PASSWORD:
        return None
    if found["account"] != account["id"] or account["state"] != AccountState.ACTIVE:
        return None
    return Submitter(AccountId(account["id"]), Role(account["role"]))
