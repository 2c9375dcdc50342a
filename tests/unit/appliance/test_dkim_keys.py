"""Keys that sign mail: sealed, one pair in use, replaced without a gap, and never used again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import dkim_signature, dkim_wiring
from appliance import tables as appliance_tables
from appliance.dkim_keys import STAYS_PUBLISHED, DkimKey, DkimKeys, KeyState, NewPair
from appliance.dkim_signature import Algorithm
from appliance.settings import PracticeSettings, Settings
from mailstore import audit_trail
from mailstore.database import Database
from mailstore.errors import RefusedError, TamperedError
from mailstore.key_hierarchy import KeyRing
from tests import database_room

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DOMAIN = "clinic.example"
KEYS = DkimKeys(archive_key=bytes(range(32)), randomness=os.urandom)
FIRST, SECOND = NewPair.made(), NewPair.made()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(database_room.rows_url(tmp_path), bytes(32))
    opened.create_all(appliance_tables.METADATA)
    with opened.write() as connection:
        assert KEYS.begin(connection, DOMAIN, FIRST, now=NOW)
    yield opened
    opened.dispose()


def known(database: Database) -> list[DkimKey]:
    with database.read() as connection:
        return KEYS.keys(connection, DOMAIN)


def states(database: Database) -> list[KeyState]:
    return [key.state for key in known(database)]


def prepared(database: Database, *, now: datetime = NOW) -> None:
    with database.write() as connection:
        KEYS.prepare(connection, DOMAIN, SECOND, actor="system", now=now)


def activated(database: Database, *, now: datetime = NOW) -> None:
    with database.write() as connection:
        KEYS.activate(connection, DOMAIN, actor="system", now=now)


def test_first_pair_signs_at_once(database: Database) -> None:
    with database.read() as connection:
        signing = KEYS.signing(connection, DOMAIN)
    assert {key.algorithm for key in signing} == set(Algorithm)
    assert {key.selector for key in signing} == {"20260302-1-rsa", "20260302-1-ed25519"}
    assert states(database) == [KeyState.SIGNING] * 2


def test_a_second_beginning_changes_nothing(database: Database) -> None:
    before = known(database)
    with database.write() as connection:
        assert not KEYS.begin(connection, DOMAIN, SECOND, now=NOW)
    assert known(database) == before


def test_one_pair_is_prepared_at_a_time(database: Database) -> None:
    prepared(database)
    with pytest.raises(RefusedError):
        prepared(database)
    assert states(database).count(KeyState.PREPARED) == 2


def test_nothing_prepared_nothing_activated(database: Database) -> None:
    with pytest.raises(RefusedError):
        activated(database)
    assert states(database) == [KeyState.SIGNING] * 2


def test_retired_key_has_no_private_half_and_stays_published_for_a_while(database: Database) -> None:
    prepared(database)
    later = NOW + timedelta(days=3)
    activated(database, now=later)
    retired = [key for key in known(database) if key.state is KeyState.RETIRED]
    assert len(retired) == 2
    with database.read() as connection:
        sealed: dict[str, bytes] = {
            row[0]: row[1] for row in connection.exec_driver_sql("SELECT id, sealed_private FROM dkim_keys").all()
        }
    assert {KEYS._opened(key, sealed[key.id]) for key in retired} == {b""}
    assert all(key.is_published(later + STAYS_PUBLISHED - timedelta(seconds=1)) for key in retired)
    assert not any(key.is_published(later + STAYS_PUBLISHED) for key in retired)


def test_no_selector_is_used_twice(database: Database) -> None:
    prepared(database)
    activated(database)
    prepared(database)
    selectors = [key.selector for key in known(database)]
    assert len(selectors) == len(set(selectors)) == 6


def test_every_change_is_in_the_audit_log_without_a_key(database: Database) -> None:
    prepared(database)
    activated(database)
    with database.read() as connection:
        entries = audit_trail.tail(connection, 20)
    events = sorted(entry.event for entry in entries)
    assert events == ["dns.dkim_activated"] * 2 + ["dns.dkim_made"] * 4
    assert all(set(entry.detail) == {"domain", "selector"} for entry in entries)


def test_private_half_lies_nowhere_in_plain(database: Database, tmp_path: Path) -> None:
    assert states(database) == [KeyState.SIGNING] * 2
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for _, private in FIRST.privates:
        plain = dkim_signature.private_bytes(private)
        assert plain not in written
        assert plain[-32:] not in written
    assert "privates" not in repr(FIRST)


def test_private_half_opens_in_its_own_place_only(database: Database) -> None:
    """Swapping the sealed halves of two rows, each sealed anew as a row, still opens neither."""
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT id, sealed_private FROM dkim_keys").all()
    rows: dict[str, bytes] = {row[0]: row[1] for row in found}
    first, second = sorted(rows)
    with database.write() as connection:
        for mine, other in ((first, second), (second, first)):
            KEYS._change(
                connection, [key for key in known(database) if key.id == mine], {"sealed_private": rows[other]}
            )
    with database.read() as connection, pytest.raises(TamperedError):
        KEYS.signing(connection, DOMAIN)


def test_edited_row_signs_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE dkim_keys SET domain = 'evil.example', selector = algorithm")
    with database.read() as connection, pytest.raises(TamperedError):
        KEYS.signing(connection, "evil.example")


def test_public_half_that_somebody_put_in_is_not_published_as_ours(database: Database) -> None:
    """Whoever has the row key alone, as the role on port 25, can seal a row, and make none that is believed."""
    mine = known(database)[0]
    with database.write() as connection:
        KEYS._change(connection, [mine], {"public": bytes(32)})
    with database.read() as connection, pytest.raises(TamperedError):
        KEYS.keys(connection, DOMAIN)


def test_edited_row_does_not_keep_the_practice_from_starting(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE dkim_keys SET selector = 'other'||algorithm")
    settings = Settings(practice=PracticeSettings(name="Lakeside", domain=DOMAIN))
    ring = KeyRing(*(bytes([number]) * 32 for number in range(1, 11)))
    assert not dkim_wiring.begin(database, settings, ring, now=NOW)


def test_practice_from_before_mail_was_signed_gets_its_keys_at_the_next_start(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM dkim_keys")
    settings = Settings(practice=PracticeSettings(name="Lakeside", domain=DOMAIN))
    ring = KeyRing(*(bytes([number]) * 32 for number in range(1, 11)))
    assert dkim_wiring.begin(database, settings, ring, now=NOW)
    assert not dkim_wiring.begin(database, settings, ring, now=NOW)
    with database.read() as connection:
        assert len(dkim_wiring.keys_of(ring).signing(connection, DOMAIN)) == 2


def test_another_practice_cannot_open_it(database: Database) -> None:
    other = DkimKeys(archive_key=bytes(32), randomness=os.urandom)
    with database.read() as connection, pytest.raises(TamperedError):
        other.signing(connection, DOMAIN)
