"""Sign-ins of the command line, and the only module that touches their table.

A sign-in leaves a file of mode 0600 that holds a random token, and a row that binds the token's digest to the
person and to the system user who signed in. Neither is enough alone: a copied file is of another owner or in
another user's hands, and a row says nothing of the token.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from appliance import account_wiring
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.tables import command_sessions
from appliance.wiring import Appliance
from mailstore import audit_trail, durable_file
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.key_hierarchy import blind_index
from mailstore.message import AccountId
from mailstore.sealed_rows import rows_of
from portal.account_records import Account, AccountState, canonical_login

TOKEN_BYTES = 32


class NotSignedInError(RefusedError):
    """The person named has not signed in on this machine as this system user, or the sign-in is over."""

    code = "not_signed_in"

    def __init__(self) -> None:
        super().__init__(
            "this person is not signed in here", fix="run: strongroom sign-in EMAIL --password-file F --totp CODE"
        )


@dataclass(frozen=True)
class SignedIn:
    """A fresh sign-in: until when it holds."""

    expires_at: datetime


def begin(appliance: Appliance, account: Account, email: str) -> SignedIn:
    """Leave a session file for somebody who has just proved who they are (``command_sign_in``)."""
    now = appliance.clock.now()
    expires_at = now + timedelta(hours=appliance.settings.sign_in.command_session_hours)
    token = RANDOMNESS(TOKEN_BYTES)
    values = {
        "token_digest": _digest(token),
        "account": account.id,
        "system_user": os.getuid(),
        "created_at": now,
        "expires_at": expires_at,
    }
    with appliance.database.write() as connection:
        over = command_sessions.c.expires_at <= now
        appliance.database.rows.delete(connection, command_sessions, over)
        appliance.database.rows.insert(connection, command_sessions, values)
        fact = AuditFact("command_session.begun", account.id, account.id, {"system_user": os.getuid()})
        audit_trail.append(connection, [fact], now=now)
    _leave_file(_file(appliance, email), token)
    return SignedIn(expires_at)


def sign_out(appliance: Appliance, email: str) -> None:
    """End the sign-in of a person by this system user."""
    account = _account_signed_in(appliance, email)
    path = _file(appliance, email)
    digest = _digest(_token(path))
    with appliance.database.write() as connection:
        appliance.database.rows.delete(connection, command_sessions, command_sessions.c.token_digest == digest)
        fact = AuditFact("command_session.ended", account.id, account.id, {"system_user": os.getuid()})
        audit_trail.append(connection, [fact], now=appliance.clock.now())
    path.unlink(missing_ok=True)


def end_all(appliance: Appliance, account: AccountId) -> None:
    """End every sign-in of a person on this machine, whichever system user it belongs to."""
    with appliance.database.write() as connection:
        appliance.database.rows.delete(connection, command_sessions, command_sessions.c.account == account)


def end_everybodys(connection: Connection) -> int:
    """End every sign-in of everybody; answers how many there were."""
    return rows_of(connection).delete(connection, command_sessions, command_sessions.c.token_digest.is_not(None))


def signed_in(appliance: Appliance, email: str) -> Actor:
    """The person as an actor. ``NotSignedInError`` for everybody who has not signed in, root included."""
    account = _account_signed_in(appliance, email)
    return Actor(account.id, account.role)


def _account_signed_in(appliance: Appliance, email: str) -> Account:
    digest = _digest(_token(_file(appliance, email)))
    with appliance.database.read() as connection:
        row = appliance.database.rows.one(connection, command_sessions, command_sessions.c.token_digest == digest)
        account = account_wiring.records(appliance).by_login(connection, email)
    if row is None or account is None or not _holds(row, account, appliance.clock.now()):
        raise NotSignedInError
    return account


def _holds(row: Mapping[str, Any], account: Account, now: datetime) -> bool:
    """True while the row is this person's, this system user's, and in its time (a clock set back ends it too)."""
    return (
        row["account"] == account.id
        and account.state is AccountState.ACTIVE
        and row["system_user"] == os.getuid()
        and row["created_at"] <= now < row["expires_at"]
    )


def _file(appliance: Appliance, email: str) -> Path:
    """Named by a keyed digest of the address, so that the directory does not list who works here."""
    name = blind_index(appliance.ring.lookup_key, "command session", canonical_login(email))
    return _directory(appliance.data) / f"{name.hex()}.json"


def _directory(data: DataDirectory) -> Path:
    return data.sessions / str(os.getuid())


def _leave_file(path: Path, token: bytes) -> None:
    try:
        durable_file.make_directory(path.parent)
        durable_file.replace(path, json.dumps({"token": token.hex()}).encode())
    except OSError as error:
        raise StorageUnavailableError(
            f"the session file cannot be written: {error.strerror}", fix=f"check the owner of {path.parent}"
        ) from error


def _token(path: Path) -> bytes:
    """The token in a session file that is a plain file of ours and nobody else's to read."""
    try:
        with os.fdopen(_opened(path), "rb") as file:
            if not _is_ours_alone(os.fstat(file.fileno())):
                raise NotSignedInError
            return bytes.fromhex(json.loads(file.read(1024))["token"])
    except (OSError, ValueError, KeyError, TypeError):
        raise NotSignedInError from None


def _opened(path: Path) -> int:
    """The file, unless it or its directory is a link, or the directory is not ours."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(folder).st_uid != os.getuid():
            raise NotSignedInError
        return os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def _is_ours_alone(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
