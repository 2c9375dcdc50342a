"""Where the appliance works: one data directory on one machine, so that a copy of it does not work beside it.

A copy or a restored backup has the same keys, rows and credentials as the living one. On databases and an object store
of its own it harms nobody. Where one of these is shared, it would destroy and sweep what the other needs. So the row
database says in which place the appliance works, and a record beside the objects says it too, each with the number of
starts:

1. Another place in the rows or in the record: refuse. Only ``store take-over`` moves the appliance, never a start.
2. More starts in the record than in the rows: the rows are older than the store's last start; refuse as well. One more,
   with the token that the rows announced, is a start of ours that was cut off.
3. Announce a token in the rows, write the record, count the start in the rows: each durable before the next.

A store that is away is not asked: mail is taken all the same, and the worker looks again every minute.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection

from appliance.tables import workplaces
from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.instants import instant_of, microseconds
from mailstore.message import ID_BYTES, identifier_from
from mailstore.sealed_format import Randomness
from mailstore.sealed_rows import rows_of

RECORD_NAME = "workplace"
TAKEN_OVER_EVENT = "store.taken_over"
_FORMAT = "strongroom/workplace/v1"
_ONE = 1
_PLACE_BYTES = 16
_TAKE_OVER = "if the other one is ended for good, run: strongroom store take-over"


_COLUMNS = ("place", "starts", "token", "since", "is_begun")


class SharedRecord(Protocol):
    """The record beside the objects; ``mailstore.store_record.StoreRecord`` is the one."""

    def read(self) -> bytes | None:
        """What was written last, or None."""
        ...

    def write(self, content: bytes) -> None:
        """Put it there."""
        ...


class WorksElsewhereError(RefusedError):
    """The appliance works in another place, or did when this copy was made."""

    code = "works_elsewhere"


@dataclass(frozen=True)
class Workplace:
    """A place, how often the appliance was started there and before, and since when. ``token`` is of one start.

    ``is_begun`` is False while that start is announced only, and not counted in ``starts`` yet.
    """

    place: str
    starts: int
    token: str
    since: datetime
    is_begun: bool = True


def place_of(directory: Path, *, row_key: bytes, machine_id: Path = Path("/etc/machine-id")) -> str:
    """This directory on this machine: the same after a move within its disk, another for every copy.

    A keyed digest over the machine's id (machine-id(5), nothing where there is none) and the inode of birth.json.
    """
    machine = machine_id.read_bytes().strip() if machine_id.exists() else b""
    inode = (directory / "birth.json").stat().st_ino
    return hmac.digest(row_key, b"%s %s %d" % (_FORMAT.encode(), machine, inode), "sha256")[:_PLACE_BYTES].hex()


def require_ours(connection: Connection, place: str) -> None:
    """Raise ``WorksElsewhereError`` when the rows name another place. No place yet: fine."""
    found = _row(connection)
    if found is not None and found.place != place:
        raise _elsewhere(found)


class Claim:
    """The claim of one place to the row database and, when there is one, to the store's record."""

    def __init__(
        self, database: Database, record: SharedRecord | None, *, place: str, row_key: bytes, randomness: Randomness
    ) -> None:
        self._database = database
        self._record = record
        self._place = place
        self._row_key = row_key
        self._randomness = randomness

    def begin(self, *, now: datetime) -> None:
        """Claim everything for a start, as the module says. Raises ``WorksElsewhereError``.

        A store that is away is left out; then ``is_ours`` finds out later.
        """
        with self._database.read() as connection:
            require_ours(connection, self._place)
            mine = _row(connection)
        try:
            self._refuse_other_record(mine)
            self._write(mine.starts if mine else 0, now)
        except StorageUnavailableError:
            if self._record is None:
                raise
            return

    def take_over(self, *, now: datetime) -> None:
        """Move the appliance here, whoever had it. For a person who knows that the other one is ended."""
        found = None if self._record is None else self._record.read()
        with self._database.read() as connection:
            before = _row(connection)
        starts = max([0, *(each.starts for each in (before, self._opened(found)) if each)])
        with self._database.write() as connection:
            fact = AuditFact(TAKEN_OVER_EVENT, "system", "appliance", {"starts": starts})
            audit_trail.append(connection, [fact], now=now)
        self._write(starts, now)

    def token(self) -> str:
        """The token of the newest start; empty before the first."""
        with self._database.read() as connection:
            mine = _row(connection)
        return mine.token if mine else ""

    def is_ours(self, token: str) -> bool:
        """False when the rows or the store's record name another start than the one with this token.

        Raises ``StorageUnavailableError``.
        """
        with self._database.read() as connection:
            mine = _row(connection)
        if mine is None or mine.token != token:
            return False
        found = None if self._record is None else self._opened(self._record.read())
        if found is None or found.token == token:
            return True
        return found.starts < mine.starts + (not mine.is_begun)

    def _refuse_other_record(self, mine: Workplace | None) -> None:
        if self._record is None:
            return
        content = self._record.read()
        if content is None:
            if mine is not None and mine.starts:
                raise WorksElsewhereError(
                    "the object store has lost its record of this appliance",
                    fix=f"make sure that it is the right bucket, whole; then {_TAKE_OVER}",
                )
            return
        found = self._opened(content)
        if found is None:
            raise WorksElsewhereError("the object store's record of its appliance is not one of ours", fix=_TAKE_OVER)
        if found.place != self._place:
            raise _elsewhere(found)
        is_cut_off_start = mine is not None and not mine.is_begun and found.token == mine.token
        if found.starts > (mine.starts if mine else 0) and not is_cut_off_start:
            raise WorksElsewhereError(
                f"the rows are older than the last start on this object store, of {found.since:%Y-%m-%d %H:%MZ}",
                fix=f"restore the newest backup of the rows; or {_TAKE_OVER}",
            )

    def _write(self, starts: int, now: datetime) -> None:
        token = identifier_from(self._randomness(ID_BYTES))
        announced = Workplace(self._place, starts, token, now, is_begun=False)
        self._set_row(announced)
        reached("workplace.after_announcement")
        begun = replace(announced, starts=starts + 1, is_begun=True)
        if self._record is not None:
            self._record.write(self._sealed(begun))
            reached("workplace.after_record")
        self._set_row(begun)
        reached("workplace.after_rows")

    def _set_row(self, workplace: Workplace) -> None:
        with self._database.write() as connection:
            first = {"id": _ONE, **asdict(workplace)}
            rows_of(connection).change(connection, workplaces, first, lambda _row: asdict(workplace))

    def _sealed(self, workplace: Workplace) -> bytes:
        told = {
            "format": _FORMAT,
            "place": workplace.place,
            "since": microseconds(workplace.since),
            "starts": workplace.starts,
            "token": workplace.token,
        }
        return json.dumps({**told, "seal": self._seal(told)}, sort_keys=True).encode()

    def _opened(self, content: bytes | None) -> Workplace | None:
        """The record, or None when there is none, or it is not one that we wrote."""
        try:
            told = json.loads(content or b"")
            seal = told.pop("seal")
            if told["format"] != _FORMAT or not hmac.compare_digest(seal, self._seal(told)):
                return None
            return Workplace(told["place"], told["starts"], told["token"], instant_of(told["since"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _seal(self, told: Mapping[str, Any]) -> str:
        return hmac.digest(self._row_key, json.dumps(told, sort_keys=True).encode(), "sha256").hex()


def _row(connection: Connection) -> Workplace | None:
    row = rows_of(connection).one(connection, workplaces, workplaces.c.id == _ONE)
    return None if row is None else Workplace(**{name: row[name] for name in _COLUMNS})


def _elsewhere(found: Workplace) -> WorksElsewhereError:
    return WorksElsewhereError(
        f"this is a copy: the appliance works in another place since {found.since:%Y-%m-%d %H:%MZ}", fix=_TAKE_OVER
    )
