"""Carries out the order to end a practice: every key that is within reach dies, and a certificate says what did not.

1. The order is decided on once more and said in the audit log (``archive.decommission``). 2. It is signed and written
down: from here on it counts. 3. The root key and all slots, the message keys, the backups of keys within reach, the
passwords. 4. It is looked whether any of them is left. 5. The certificate. 6. The key that signed it.

From 2 on no secret is needed: whatever is cut off, the same call goes on, and each step finds done what is done. A
target of backups that is away holds up 3 until it is back, or a person gives it up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import account_wiring, database_wiring, decommission_order, decommission_targets, set_aside
from appliance.data_directory import DataDirectory
from appliance.decommission_order import StandingOrder
from appliance.decommission_targets import EndOfTargets
from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import Settings
from appliance.wiring import Appliance
from archive import decommission_certificate
from archive.decommission import Plan
from archive.decommission_certificate import Completion, Order
from archive.disposal_certificate import AuditProof, Person, public_key_pem
from mailstore import audit_trail, durable_file, file_erasure, key_copies, message_records, ways_in
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError
from mailstore.message import AccountId
from mailstore.sealed_format import KEY_BYTES
from mailstore.wall_clock import Clock

Tell = Callable[[str], None]
"""Hears of each step when it is done."""

_JOURNALS: Final = ("", "-wal", "-shm", "-journal", "-turn")


def order(appliance: Appliance, plan: Plan, *, holds: tuple[str, ...]) -> StandingOrder:
    """Sign the order and write it down. ``plan`` has begun; ``holds`` are those that both persons named."""
    if plan.begun is None or plan.approved_by is None or plan.approved_at is None or plan.cooled_off_at is None:
        raise TamperedError("the audit log does not tell of the beginning of this decommission")
    set_aside.require_none(appliance.data.path)
    seed = RANDOMNESS(KEY_BYTES)
    with appliance.database.read() as connection:
        copies = tuple(key_copies.known(connection))
        messages = message_records.count(connection)
    told = Order(
        id=plan.id,
        practice=appliance.settings.practice.name,
        proposed=_person(appliance, plan.proposed_by, plan.proposed_at),
        approved=_person(appliance, plan.approved_by, plan.approved_at),
        cooled_off_at=plan.cooled_off_at,
        begun=_person(appliance, AccountId(plan.begun.actor), plan.begun.at),
        messages=messages,
        holds=holds,
        terms=plan.terms,
        ways_in=tuple((slot.id, slot.kind) for slot in ways_in.listed(appliance.data.keys)),
        key_copies=copies,
        proof=_proof(appliance, plan),
    )
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    standing = StandingOrder(told.signed(appliance.signer, completion_key=public), seed)
    key = public_key_pem(appliance.signer.certificate_public)
    decommission_order.write(appliance.data, standing, public_key=key)
    return standing


@dataclass(frozen=True)
class DecommissionRun:
    """What is left to do for an order that counts."""

    data: DataDirectory
    settings: Settings
    standing: StandingOrder = field(repr=False)
    clock: Clock
    tell: Tell
    left: frozenset[str] = frozenset()
    """The targets of backups that a person gave up, by name, should they be away."""

    def finish(self) -> Path:
        """Destroy what is left, prove it, certify it; the path of the certificate. Raises what a later try may mend."""
        path = self.data.certificates / self.standing.certificate
        if self.standing.seed is None:
            return path
        if not path.exists():
            self._certify(path)
        decommission_order.settle(self.data, self.standing)
        return path

    def _certify(self, path: Path) -> None:
        done = [("keys/", self._root_and_slots()), ("message keys", self._message_keys())]
        out_of_reach = list(self._targets.cleared())
        done += [("other secrets", self._other_secrets()), ("proof of absence", self._proved())]
        completion = Completion(self.clock.now(), done, out_of_reach)
        certificate = decommission_certificate.completed(
            self.standing.order, completion, seed=self.standing.seed or b""
        )
        try:
            durable_file.replace(path, certificate)
        except OSError as error:
            raise StorageUnavailableError(f"{path.name} cannot be written: {error.strerror}") from error
        self.tell("certificate written")

    def _root_and_slots(self) -> str:
        """The slots first: without them nothing opens the members, whatever becomes of the rest."""
        files = sorted(self.data.keys.iterdir(), key=lambda path: path.name != "slots.json")
        for path in files:
            if path.is_file() and path not in self._credentials:
                self._erase(path)
        return "the root key, every unlock slot and every member of the key ring were overwritten and deleted"

    def _message_keys(self) -> str:
        if not self.settings.keystore.url:
            for path in self._keystore_files():
                self._erase(path)
            return "the key database was overwritten and deleted"
        if not self.standing.keystore_gone:
            with (
                suppress(NotFoundError),
                closing(database_wiring.opened_keystore(self.data, self.settings)) as keystore,
            ):
                keystore.unmake()
            decommission_order.note_keystore_gone(self.data, self.standing)
            self.tell("tables of the key database dropped")
        return "the tables of the key database were dropped; its server may keep old pages and logs, which open nothing"

    def _other_secrets(self) -> str:
        of_run = [path for path in _files_below(self.data.run) if path != self.data.process_file]
        for path in [*self._credentials, *of_run, *_files_below(self.data.restoring)]:
            self._erase(path)
        return "passwords and access keys of databases and object store, and sign-ins, were overwritten and deleted"

    def _proved(self) -> str:
        left = [path for path in [*_files_below(self.data.keys), *self._keystore_files()] if path.exists()]
        if left:
            raise StorageUnavailableError(f"{left[0].name} is there again", fix="end whatever writes it, and try again")
        return "each of these places was looked at again, and none held a key"

    @property
    def _targets(self) -> EndOfTargets:
        shipped = decommission_targets.shipped_of(self.standing.order)
        return EndOfTargets(self.data, self.settings, shipped, self.left, self.tell)

    @property
    def _credentials(self) -> tuple[Path, ...]:
        """They are needed for as long as a server must be reached."""
        data = self.data
        of_targets = (
            data.path / told.credentials_file for told in self.settings.backup.target if told.credentials_file
        )
        mine = [path for path in of_targets if path.parent == data.keys]
        return (data.database_password, data.keystore_password, data.object_store_credentials, *mine)

    def _keystore_files(self) -> list[Path]:
        path = self.data.keystore
        return [path.with_name(path.name + suffix) for suffix in _JOURNALS]

    def _erase(self, path: Path) -> None:
        try:
            if path.exists():
                file_erasure.erased(path)
                self.tell(f"{path.name} erased")
        except OSError as error:
            raise StorageUnavailableError(f"{path.name} cannot be erased: {error.strerror}") from error


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _person(appliance: Appliance, account: AccountId, at: datetime) -> Person:
    with appliance.database.read() as connection:
        found = account_wiring.records(appliance).by_id(connection, account)
    return Person(account, found.person.name, found.role.value, at)


def _proof(appliance: Appliance, plan: Plan) -> AuditProof:
    """Where the log says that it began, under a checkpoint of this moment."""
    signer, now = appliance.signer, appliance.clock.now()
    checkpoint = audit_trail.write_checkpoint(appliance.database, appliance.data.checkpoints, signer=signer, now=now)
    if plan.begun is None:
        raise TamperedError("the audit log does not tell of the beginning of this decommission")
    with appliance.database.read() as connection:
        proof = audit_trail.prove_inclusion(connection, plan.begun.sequence, checkpoint.size)
    return AuditProof(plan.begun, proof.proof, checkpoint, signer.audit_public)
