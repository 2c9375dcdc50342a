"""What the key agent accounts for reaches the audit log: alarms soon and once, use by the hour."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from appliance.key_use_duty import KeyUseDuty
from mailstore import audit_trail
from mailstore.audit_entry import AuditEntry
from tests.vault_room import Vault


class Agent:
    """What a key agent says, as it goes on."""

    def __init__(self) -> None:
        self.use: dict[str, Any] = {"opened": {}, "signed": {}, "alarms": [], "lines": 0, "head": "0" * 64}

    def status(self) -> dict[str, Any]:
        return {"sealed": False, "use": self.use}


def entries(vault: Vault) -> list[AuditEntry]:
    with vault.database.read() as connection:
        return audit_trail.tail(connection, 100)


def test_alarm_is_in_the_audit_log_once(tmp_path: Path) -> None:
    vault, agent = Vault(tmp_path / "vault"), Agent()
    duty = KeyUseDuty(vault.database, agent.status, clock=vault.clock)
    agent.use["alarms"] = [{"number": 1, "at": 0, "alarm": "refused", "asker": "smtp"}]
    duty.run()
    duty.run()
    agent.use["alarms"] = [*agent.use["alarms"], {"number": 2, "at": 0, "alarm": "stranger", "asker": ""}]
    duty.run()
    assert [(each.event, dict(each.detail)) for each in entries(vault)] == [
        ("key_agent.alarm", {"alarm": "refused", "asker": "smtp"}),
        ("key_agent.alarm", {"alarm": "stranger", "asker": ""}),
    ]


def test_use_is_told_every_hour_with_the_end_of_the_agents_own_account(tmp_path: Path) -> None:
    vault, agent = Vault(tmp_path / "vault"), Agent()
    duty = KeyUseDuty(vault.database, agent.status, clock=vault.clock)
    agent.use |= {"opened": {"mail": 7}, "lines": 1, "head": "a" * 64}
    duty.run()
    assert entries(vault) == []
    vault.clock.advance(timedelta(hours=1))
    duty.run()
    agent.use |= {"opened": {"mail": 9, "sealed-mail": 1}, "signed": {"worker": 3}, "lines": 2, "head": "b" * 64}
    vault.clock.advance(timedelta(hours=1))
    duty.run()
    vault.clock.advance(timedelta(hours=1))
    duty.run()
    assert [dict(each.detail) for each in entries(vault)] == [
        {"mail": 7, "line": 1, "head": "a" * 64},
        {"mail": 2, "sealed_mail": 1, "signed": 3, "line": 2, "head": "b" * 64},
    ]
