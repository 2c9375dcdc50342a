"""A change of the keys of a data directory: in the record first, then done, then told to whoever serves.

It takes a secret that opens the directory, whether the appliance runs or not; while it is sealed, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from appliance import database_wiring, front_door_wiring, given_file, key_agent_socket, process_file, wiring
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.key_agent_client import KeyAgentClient
from appliance.role_charge import SecretPlace
from appliance.settings import Settings
from archive import key_succession
from mailstore import audit_trail, file_erasure, key_custody, key_rotation, slot_kinds, ways_in
from mailstore.audit_entry import AuditFact
from mailstore.errors import RefusedError, SealedError, WrongKeyError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import CaptureKeyPair, KeyRing, RetiredKey, fingerprint
from mailstore.rewrapping import Rewrapped, Rewrapping
from mailstore.slot_key_file import KeyFile
from mailstore.slot_secret import RememberedSecret, SlotSecret
from mailstore.unlock_slot import UnlockSlot

Tell = Callable[[int, int], None]
"""Hears how many batches are done, and of how many."""

KEPT: Final = timedelta(days=31)
"""How long a retired capture pair stays at least: a backup of the keys lives 30 days, and may name it."""


@dataclass(frozen=True)
class Rotation:
    """What came of one. ``is_resumed``: it finished one that was cut off. ``retired``: pairs that are kept still."""

    rewrapped: int
    left: int
    unopened: tuple[str, ...]
    retired: int
    is_resumed: bool


@dataclass(frozen=True)
class KeyChange:
    """Changes keys in the name of whoever has a secret."""

    data: DataDirectory
    place: SecretPlace
    settings: Settings = field(repr=False)

    @classmethod
    def of(cls, data: DataDirectory, place: SecretPlace) -> KeyChange:
        """``SealedError`` while the appliance runs and is sealed: no secret goes past that."""
        with _agent(data) as agent:
            if agent is not None and agent.status()["sealed"]:
                raise SealedError
        return cls(data, place, front_door_wiring.settings_of(data))

    @cached_property
    def secret(self) -> SlotSecret:
        """The secret that was given. What it comes to is worked out once: that may take a second and much memory."""
        return RememberedSecret(slot_kinds.secret_in(self.place.kind, Path(self.place.path)))

    def tested(self, *, now: datetime) -> UnlockSlot:
        """Open everything with the secret, and note that it worked."""
        self._record("key.slot_tested", {"kind": self.place.kind}, now=now)
        return ways_in.tested(self.data.keys, self.secret, now=now)

    def added(self, added: SlotSecret, *, label: str, now: datetime) -> UnlockSlot:
        """Let one more secret open the directory."""
        self._record("key.slot_added", {"kind": added.kind}, now=now)
        return ways_in.add(self.data.keys, self.secret, added, RANDOMNESS, label=label, now=now)

    def rotated(
        self,
        tell: Tell,
        *,
        renewed: tuple[str, ...] = key_rotation.RENEWED,
        without: str | None = None,
        now: datetime,
    ) -> Rotation:
        """New keys, and all batches sealed to the new pair. One that was cut off is finished instead of begun anew.

        Not instead where more is asked for than what every rotation renews: nobody knows whether the one that was cut
        off renewed that too.
        """
        self._erase_dead_key()
        resumed = self._resumed(tell) if without is None else Rewrapped(0, ())
        done, count = resumed, resumed.done
        if not count or not set(renewed) <= set(key_rotation.RENEWED):
            self._renewed(renewed, without, now=now)
            done = self._rewrapped(tell)
            count += done.done
        ring = self._forgotten(now=now)
        with self._rewrapping(ring) as rewrapping:
            left = rewrapping.waiting()
        return Rotation(count, left, done.unopened, len(ring.retired), is_resumed=bool(resumed.done))

    def _renewed(self, renewed: tuple[str, ...], without: str | None, *, now: datetime) -> None:
        event = "key.rotated" if without is None else "key.slot_removed"
        self._record(event, {} if without is None else {"slot": without}, now=now)
        key_rotation.rotate(
            self.data.keys,
            self.secret,
            RANDOMNESS,
            now=now,
            renewed=renewed,
            without=without,
            before=partial(self._put_down_succession, now),
        )
        reached("rotation.after_ring")
        self._erase_dead_key()
        self._told_the_agent()

    def _put_down_succession(self, now: datetime, old: KeyRing, new: KeyRing) -> None:
        """Whoever knows the old disposal key can follow it to the new one, and the other way round."""
        if old.certificate_seed != new.certificate_seed:
            folder = self.data.certificates
            key_succession.add(folder, old_seed=old.certificate_seed, new_seed=new.certificate_seed, at=now)

    def _resumed(self, tell: Tell) -> Rewrapped:
        """What an earlier rotation left. Roles that were told late may have sealed to the old pair meanwhile."""
        with self._rewrapping(self._ring()) as rewrapping:
            is_waiting = rewrapping.waiting() > 0
        if not is_waiting:
            return Rewrapped(0, ())
        self._told_the_agent()
        return self._rewrapped(tell)

    def _rewrapped(self, tell: Tell) -> Rewrapped:
        with self._rewrapping(self._ring()) as rewrapping:
            total = rewrapping.waiting()
            return rewrapping.run(lambda done: tell(done, total))

    def _forgotten(self, *, now: datetime) -> KeyRing:
        """Drop the pairs that nothing names. While the appliance runs none is dropped: a role may still seal to it."""
        with (
            suppress(RefusedError),
            process_file.held(self.data),
            closing(database_wiring.opened_keystore(self.data, self.settings)) as keystore,
        ):
            needed = _Needed(frozenset(keystore.pairs_named()), has_sealed_mail=self._has_sealed_mail(), now=now)
            key_rotation.forget(self.data.keys, self.secret, RANDOMNESS, is_needed=needed.holds)
        return self._ring()

    def _erase_dead_key(self) -> None:
        """A key file in the directory that opens no slot any more would only keep ``serve`` from starting."""
        path = self.data.unlock_key
        if not path.exists():
            return
        try:
            key_custody.unlock(self.data.keys, KeyFile(path))
        except WrongKeyError:
            file_erasure.erased(path)
            reached("rotation.after_key_file")

    def _has_sealed_mail(self) -> bool:
        """Mail that came while sealed names its pair in its own head, and not in the keystore."""
        return any(path.is_file() for path in self.data.sealed_spool.rglob("*"))

    def _ring(self) -> KeyRing:
        return key_custody.unlock(self.data.keys, self.secret)

    @contextmanager
    def _rewrapping(self, ring: KeyRing) -> Iterator[Rewrapping]:
        with closing(database_wiring.opened_keystore(self.data, self.settings)) as keystore:
            yield Rewrapping(keystore, ring)

    def _record(self, event: str, details: Mapping[str, str], *, now: datetime) -> None:
        """Before it is done: what is in the record may not have come about, and never the other way round."""
        ring = self._ring()
        wiring.prove(self.data, ring)
        with database_wiring.rows(self.data, self.settings, ring.row_key) as database, database.write() as connection:
            audit_trail.append(connection, [AuditFact(event, "system", "keys", details)], now=now)

    def _told_the_agent(self) -> None:
        """A running appliance reads ``keys/`` again, and gives its roles what they may have of the new ring."""
        with _agent(self.data) as agent:
            if agent is not None:
                agent.unseal(self.place.kind, given_file.secret_in(self.place.path))


@dataclass(frozen=True)
class _Needed:
    """Which retired keys are needed still. Those of backups always are: nobody knows here how long backups live."""

    pairs: frozenset[bytes]
    has_sealed_mail: bool
    now: datetime

    def holds(self, key: RetiredKey) -> bool:
        """True for a capture pair that a batch names, or may name, or a backup of the keys."""
        if key.name != "capture_private" or self.has_sealed_mail or key.retired_at + KEPT > self.now:
            return True
        return fingerprint(CaptureKeyPair.of(key.private).public) in self.pairs


@contextmanager
def _agent(data: DataDirectory) -> Iterator[KeyAgentClient | None]:
    """The key agent of a running appliance; None when none runs."""
    if process_file.holder(data) is None:
        yield None
        return
    with closing(KeyAgentClient.connected(key_agent_socket.of_commands(data))) as agent:
        yield agent
