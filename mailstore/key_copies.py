"""The register of every copy of the message keys outside this machine: the only module that touches ``key_copies``.

A destroyed key is destroyed only when no copy of it is left. Whoever ships keys puts down where to and until when, so
that a certificate can name the day after which nobody has them.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from mailstore.key_copy import FOREVER, KeyCopy
from mailstore.sealed_rows import rows_of
from mailstore.tables import key_copies

NOTED_AGAIN_AFTER = timedelta(hours=12)
"""A place that nothing new was shipped to, but that was within reach, is put down again after this time."""


def note(connection: Connection, copy: KeyCopy) -> None:
    """Put down a shipment, or that a place was within reach. Never fewer than was shipped before.

    Whether the place is known to remove old copies is as it was seen last.
    """
    rows, where = rows_of(connection), key_copies.c.place == copy.place
    found = rows.one(connection, key_copies, where)
    values = {
        "name": copy.name,
        "shipped_at": copy.shipped_at,
        "kept_until": copy.kept_until,
        "reached_at": copy.reached_at,
    }
    if found is None:
        rows.insert(connection, key_copies, {"place": copy.place, **values})
        return
    latest = {name: max(values[name], found[name]) for name in ("shipped_at", "kept_until", "reached_at")}
    if FOREVER in (found["kept_until"], values["kept_until"]):
        latest["kept_until"] = values["kept_until"]
    rows.update(connection, key_copies, where, {**values, **latest})


def known(connection: Connection) -> list[KeyCopy]:
    """Every place that keys were ever shipped to, by its id. ``TamperedError`` when the register was edited."""
    found = rows_of(connection).select(connection, key_copies, order_by=key_copies.c.place)
    return [
        KeyCopy(row["place"], row["name"], row["shipped_at"], row["kept_until"], row["reached_at"]) for row in found
    ]


def of_place(connection: Connection, place: str) -> KeyCopy | None:
    """What is known of one place."""
    return next((copy for copy in known(connection) if copy.place == place), None)
