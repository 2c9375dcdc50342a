"""Puts a restore drill together: of one target, opened with a secret that was named, or by whoever has the ring."""

from __future__ import annotations

from appliance import backup_wiring
from appliance.backup_settings import BackupTargetSettings
from appliance.drill import Drill
from appliance.key_agent_client import AgentOpener
from appliance.long_work import LongWork
from appliance.wiring import Appliance
from mailstore.errors import RefusedError
from mailstore.key_hierarchy import KeyRing
from mailstore.restore_source import PieceOpener, RecoveryOpener, RestoreSource
from mailstore.slot_secret import SlotSecret

RING = "the ring of the appliance"


def drill(appliance: Appliance, told: BackupTargetSettings, secret: SlotSecret | None, work: LongWork) -> Drill:
    """With a secret it is proved as well that this secret opens the backups, as it would have to after a fire."""
    target = backup_wiring.target(appliance.data, told)
    if secret is not None:
        return Drill(appliance, RestoreSource.opened(target, secret), opened_with=secret.kind, work=work)
    source = RestoreSource.of_practice(
        target, appliance.ring, piece_opener(appliance), audit_public=appliance.signer.audit_public
    )
    return Drill(appliance, source, opened_with=RING, work=work)


def piece_opener(appliance: Appliance) -> PieceOpener:
    """What opens pieces of backups without a person. ``RefusedError`` where this process was handed no such key."""
    if isinstance(appliance.ring, KeyRing):
        return RecoveryOpener.of(appliance.ring)
    if isinstance(appliance.opener, AgentOpener):
        return appliance.opener
    raise RefusedError(
        "this process cannot open backups", fix="name a secret: --shares FILE, --passphrase-file FILE or another"
    )
