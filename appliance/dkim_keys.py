"""The keys that sign mail which leaves: the only module that touches ``dkim_keys``.

Keys come in pairs, one for each algorithm, because servers that do not know Ed25519 yet need the other signature
(RFC 8463 section 5). A pair is prepared, published in the DNS, then put in use; the one before it stops signing at
that moment and its private halves are gone, while its records stay for mail that is still on its way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from appliance import dkim_signature
from appliance.dkim_signature import RSA_BITS, Algorithm, SigningKey
from appliance.tables import dkim_keys as table
from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.errors import RefusedError
from mailstore.message import ID_BYTES, identifier_from
from mailstore.sealed_format import NONCE_BYTES, Randomness, open_field, seal_field
from mailstore.sealed_rows import rows_of

KIND: Final = "dkim key"
_VERSION: Final = 1
_RSA_EXPONENT: Final = 65_537

STAYS_PUBLISHED: Final = timedelta(days=14)
"""For how long the records of a retired pair stay: mail is tried for five days, and read by filters for a while."""

PREPARE: Final = "run: strongroom dns dkim prepare"


class KeyState(StrEnum):
    """``PREPARED``: to be published, signs nothing yet. ``RETIRED``: stays published for a while."""

    PREPARED = "prepared"
    SIGNING = "signing"
    RETIRED = "retired"


@dataclass(frozen=True)
class DkimKey:
    """One key as everybody may know it."""

    id: str
    domain: str
    selector: str
    algorithm: Algorithm
    state: KeyState
    public: bytes
    made_at: datetime
    signs_since: datetime | None
    retired_at: datetime | None

    @property
    def record(self) -> str:
        """What its TXT record says."""
        return dkim_signature.record_value(self.algorithm, self.public)

    @property
    def published_until(self) -> datetime | None:
        """When the record of a retired key may go; None while the key is not retired."""
        return None if self.retired_at is None else self.retired_at + STAYS_PUBLISHED

    def is_published(self, now: datetime) -> bool:
        """True while its record belongs in the DNS."""
        return self.published_until is None or now < self.published_until


@dataclass(frozen=True)
class NewPair:
    """The private halves of a pair that is not kept yet. Making one takes about a tenth of a second."""

    privates: tuple[tuple[Algorithm, rsa.RSAPrivateKey | Ed25519PrivateKey], ...] = field(repr=False)

    @classmethod
    def made(cls) -> NewPair:
        """A fresh one, by the randomness of the library."""
        by_rsa = rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=RSA_BITS)
        return cls(((Algorithm.RSA, by_rsa), (Algorithm.ED25519, Ed25519PrivateKey.generate())))


class DkimKeys:
    """The keys of every domain. ``archive_key`` seals the private halves: the role on port 25 does not have it."""

    def __init__(self, *, archive_key: bytes, randomness: Randomness) -> None:
        self._archive_key = archive_key
        self._randomness = randomness

    def keys(self, connection: Connection, domain: str) -> list[DkimKey]:
        """Every key of a domain that there is or was, by its age.

        ``TamperedError`` when a public half is not what was sealed with its key: a row that somebody made who has the
        row key alone, as the role on port 25, would otherwise be published as ours.
        """
        rows = rows_of(connection).select(connection, table, table.c.domain == domain)
        known = [_key(row) for row in rows]
        for key, row in zip(known, rows, strict=True):
            self._opened(key, row["sealed_private"])
        return sorted(known, key=lambda key: (key.made_at, key.selector))

    def signing(self, connection: Connection, domain: str) -> list[SigningKey]:
        """The keys that sign for a domain now. ``TamperedError`` when one is not what was written."""
        rows = rows_of(connection).select(
            connection, table, (table.c.domain == domain) & (table.c.state == KeyState.SIGNING)
        )
        return [
            self._signing(_key(row), row["sealed_private"]) for row in sorted(rows, key=lambda row: row["selector"])
        ]

    def signing_ids(self, connection: Connection, domain: str) -> tuple[str, ...]:
        """Which keys sign for a domain now: what ``signing`` would open."""
        rows = rows_of(connection).select(connection, table, table.c.domain == domain)
        return tuple(sorted(row["id"] for row in rows if row["state"] == KeyState.SIGNING))

    def begin(self, connection: Connection, domain: str, pair: NewPair, *, now: datetime) -> bool:
        """The first pair of a domain, in use at once. False when there was one."""
        if self.keys(connection, domain):
            return False
        self._put(connection, domain, pair, KeyState.SIGNING, now=now)
        return True

    def prepare(
        self, connection: Connection, domain: str, pair: NewPair, *, actor: str, now: datetime
    ) -> list[DkimKey]:
        """Keep a pair that shall sign later. ``RefusedError`` when one is prepared already."""
        if _in_state(self.keys(connection, domain), KeyState.PREPARED):
            raise RefusedError(
                "keys are prepared already",
                fix="publish them (strongroom dns records), then: strongroom dns dkim activate",
            )
        return self._put(connection, domain, pair, KeyState.PREPARED, now=now, actor=actor)

    def activate(self, connection: Connection, domain: str, *, actor: str, now: datetime) -> list[DkimKey]:
        """The prepared pair signs from now on. The one before is retired and cannot sign again."""
        known = self.keys(connection, domain)
        prepared = _in_state(known, KeyState.PREPARED)
        if not prepared:
            raise RefusedError("no keys are prepared", fix=PREPARE)
        for key in _in_state(known, KeyState.SIGNING):
            nothing = self._sealed(key, b"")
            self._change(connection, [key], {"state": KeyState.RETIRED, "retired_at": now, "sealed_private": nothing})
        self._change(connection, prepared, {"state": KeyState.SIGNING, "signs_since": now})
        _tell(connection, "dns.dkim_activated", prepared, actor=actor, now=now)
        return _in_state(self.keys(connection, domain), KeyState.SIGNING)

    def _put(
        self,
        connection: Connection,
        domain: str,
        pair: NewPair,
        state: KeyState,
        *,
        now: datetime,
        actor: str = "system",
    ) -> list[DkimKey]:
        stem = _fresh_stem({key.selector for key in self.keys(connection, domain)}, now)
        made = []
        for algorithm, private in pair.privates:
            key = DkimKey(
                id=identifier_from(self._randomness(ID_BYTES)),
                domain=domain,
                selector=f"{stem}-{algorithm.key_type}",
                algorithm=algorithm,
                state=state,
                public=dkim_signature.public_bytes(private),
                made_at=now,
                signs_since=now if state is KeyState.SIGNING else None,
                retired_at=None,
            )
            sealed = self._sealed(key, dkim_signature.private_bytes(private))
            rows_of(connection).insert(connection, table, {**_columns(key), "sealed_private": sealed})
            made.append(key)
        _tell(connection, "dns.dkim_made", made, actor=actor, now=now)
        return made

    def _change(self, connection: Connection, keys: Sequence[DkimKey], changes: dict[str, Any]) -> None:
        if keys:
            rows_of(connection).update(connection, table, table.c.id.in_([key.id for key in keys]), changes)

    def _signing(self, key: DkimKey, sealed: bytes) -> SigningKey:
        private = dkim_signature.loaded(key.algorithm, self._opened(key, sealed))
        return SigningKey(key.domain, key.selector, key.algorithm, private)

    def _opened(self, key: DkimKey, sealed: bytes) -> bytes:
        return open_field(sealed, key=self._archive_key, context=(KIND, _place(key), _VERSION))

    def _sealed(self, key: DkimKey, private: bytes) -> bytes:
        context = (KIND, _place(key), _VERSION)
        return seal_field(private, key=self._archive_key, context=context, nonce=self._randomness(NONCE_BYTES))


def _place(key: DkimKey) -> str:
    """A private half opens for its own domain, selector, algorithm and public half alone."""
    return f"{key.id}/{key.domain}/{key.selector}/{key.algorithm}/{hashlib.sha256(key.public).hexdigest()}"


def _in_state(keys: Iterable[DkimKey], state: KeyState) -> list[DkimKey]:
    return [key for key in keys if key.state is state]


def _fresh_stem(taken: set[str], now: datetime) -> str:
    """The day on which a pair is made, and a number where a day has several: no selector is ever used twice."""
    day = f"{now:%Y%m%d}"
    number = 1
    while any(selector.startswith(f"{day}-{number}-") for selector in taken):
        number += 1
    return f"{day}-{number}"


def _tell(connection: Connection, event: str, keys: Sequence[DkimKey], *, actor: str, now: datetime) -> None:
    facts = [AuditFact(event, actor, key.id, {"domain": key.domain, "selector": key.selector}) for key in keys]
    audit_trail.append(connection, facts, now=now)


def _columns(key: DkimKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm.value,
        "state": key.state.value,
        "public": key.public,
        "made_at": key.made_at,
        "signs_since": key.signs_since,
        "retired_at": key.retired_at,
    }


def _key(row: Any) -> DkimKey:
    return DkimKey(
        id=row["id"],
        domain=row["domain"],
        selector=row["selector"],
        algorithm=Algorithm(row["algorithm"]),
        state=KeyState(row["state"]),
        public=row["public"],
        made_at=row["made_at"],
        signs_since=row["signs_since"],
        retired_at=row["retired_at"],
    )
