"""Policies of other domains about their mail servers: the only module that touches ``mta_sts_policies``.

A policy that was seen once protects the mail after it, also when somebody keeps us from fetching it again (RFC 8461
section 10.2). Which domains a practice writes to is nobody's business: they are found by blind index and lie sealed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from appliance import mta_sts_policy
from appliance.mta_sts_policy import MtaStsPolicy
from appliance.tables import mta_sts_policies
from mailstore.database import Database
from mailstore.key_hierarchy import blind_index
from mailstore.sealed_format import NONCE_BYTES, Randomness, open_field, seal_field
from mailstore.sealed_rows import rows_of

PURPOSE = "mta-sts domain"
KIND = "mta-sts policy"
VERSION = 1


@dataclass(frozen=True)
class KeptPolicy:
    """A policy under the ``announced`` id it was fetched for."""

    announced: str
    policy: MtaStsPolicy
    fetched_at: datetime
    expires_at: datetime


class PolicyRecords:
    """The kept policies of one practice."""

    def __init__(self, database: Database, *, lookup_key: bytes, account_key: bytes, randomness: Randomness) -> None:
        self._database = database
        self._keys = _Keys(lookup_key, account_key)
        self._randomness = randomness

    def of(self, domain: str, *, now: datetime) -> KeptPolicy | None:
        """What is kept of a domain and has not run out. Raises ``TamperedError`` when it was edited."""
        index = self._keys.index(domain)
        with self._database.read() as connection:
            row = rows_of(connection).one(connection, mta_sts_policies, mta_sts_policies.c.domain_index == index)
        if row is None or row["expires_at"] <= now:
            return None
        told = json.loads(
            open_field(row["sealed_policy"], key=self._keys.sealing, context=(KIND, index.hex(), VERSION))
        )
        policy = mta_sts_policy.parsed(told["policy"])
        return KeptPolicy(told["id"], policy, row["fetched_at"], row["expires_at"])

    def keep(self, domain: str, announced: str, text: str, policy: MtaStsPolicy, *, now: datetime) -> None:
        """Keep a policy in the place of what there was of that domain; those of all domains that ran out go."""
        index = self._keys.index(domain)
        told = json.dumps({"domain": domain, "id": announced, "policy": text}).encode()
        context = (KIND, index.hex(), VERSION)
        row = {
            "domain_index": index,
            "fetched_at": now,
            "expires_at": now + policy.max_age,
            "sealed_policy": seal_field(
                told, key=self._keys.sealing, context=context, nonce=self._randomness(NONCE_BYTES)
            ),
        }
        columns = mta_sts_policies.c
        with self._database.write() as connection:
            gone = (columns.domain_index == index) | (columns.expires_at <= now)
            rows_of(connection).delete(connection, mta_sts_policies, gone)
            rows_of(connection).change(connection, mta_sts_policies, row, lambda _row: row)


@dataclass(frozen=True)
class _Keys:
    lookup: bytes = field(repr=False)
    sealing: bytes = field(repr=False)

    def index(self, domain: str) -> bytes:
        return blind_index(self.lookup, PURPOSE, domain)
