"""The one place that picks concrete adapters: opens a data directory for a command or a role.

What the floors above the store need is put together in ``portal_wiring``, ``archive_wiring`` and
``mail_wiring``, so that a process loads only what it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from appliance import (
    birth_record,
    database_wiring,
    key_agent_socket,
    object_store_wiring,
    process_file,
    schema,
    workplace_wiring,
)
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS, FrontDoorParts, depositing, group_commit, settings_of
from appliance.key_agent_client import AgentOpener, AgentSigner, KeyAgentClient
from appliance.role_charge import SecretPlace
from appliance.role_life import Station
from appliance.settings import Settings
from mailstore import key_custody, slot_kinds
from mailstore.database import Database
from mailstore.document_signing import DocumentSigner, SeedSigner
from mailstore.errors import RefusedError
from mailstore.key_hierarchy import KeyRing
from mailstore.key_opener import CaptureOpener, MessageKeyOpener
from mailstore.keystore import Keystore
from mailstore.message_keys import MessageKeys
from mailstore.object_guard import ObjectGuard
from mailstore.object_store import ObjectStore
from mailstore.retrieval import Retrieval
from mailstore.slot_key_file import KeyFile
from mailstore.slot_passphrase import PassphraseFile
from mailstore.slot_secret import SlotSecret
from mailstore.time_witnesses import ThisMachine
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock, SystemClock
from mailstore.working_keys import WorkingKeys


@dataclass(frozen=True)
class Appliance:
    """An open data directory with all its keys: what commands, the mail role and the worker work on."""

    data: DataDirectory
    settings: Settings
    ring: WorkingKeys = field(repr=False)
    opener: MessageKeyOpener
    signer: DocumentSigner
    database: Database
    keystore: Keystore
    clock: Clock

    @cached_property
    def objects(self) -> ObjectStore:
        """Where sealed messages lie for good."""
        return object_store_wiring.objects(self.data, self.settings, self.ring.row_key)

    @cached_property
    def guard(self) -> ObjectGuard:
        """What the object store itself refuses to let go."""
        return object_store_wiring.guard(self.data, self.settings)

    @cached_property
    def trusted_clock(self) -> TrustedClock:
        """What time it is as far as that is proved: for whatever ends something for ever."""
        return TrustedClock(self.database, ThisMachine(self.clock))

    @cached_property
    def message_keys(self) -> MessageKeys:
        """The keys of messages, shared parts and dictionaries."""
        return MessageKeys(self.keystore, self.opener)

    @cached_property
    def retrieval(self) -> Retrieval:
        """What opens messages for those who are entitled."""
        return Retrieval(
            self.database,
            self.message_keys,
            self.data.spool,
            self.objects,
            randomness=RANDOMNESS,
            reads_second_copy=bool(self.settings.object_store.url),
        )

    @contextmanager
    def front_door(self) -> Iterator[FrontDoorParts]:
        """The front door in this process; what is waiting is stored before it closes."""
        keys = self.ring.deposit_keys()
        commit = group_commit(self.data, keys, self.database, self.keystore)
        with depositing(self.data, self.settings, keys, self.database, commit) as parts:
            yield parts

    @classmethod
    @contextmanager
    def opened(
        cls,
        data: DataDirectory,
        *,
        passphrase_file: Path | None = None,
        key_file: Path | None = None,
        other: tuple[str, Path] | None = None,
    ) -> Iterator[Appliance]:
        """Open a data directory for a command; everything is closed again at the end.

        While ``serve`` runs its key agent is asked, and no secret is needed. ``SealedError`` while it is sealed:
        then no secret opens anything past it. Otherwise the directory is unlocked here.
        """
        settings = settings_of(data)
        if process_file.holder(data) is not None:
            with (
                closing(KeyAgentClient.connected(key_agent_socket.of_commands(data))) as agent,
                cls.of_agent(data, settings, agent) as appliance,
            ):
                yield appliance
            return
        secret = secret_of(data, passphrase_file=passphrase_file, key_file=key_file, other=other)
        ring = key_custody.unlock(data.keys, secret)
        with cls.with_ring(data, settings, ring) as appliance:
            yield appliance

    @classmethod
    @contextmanager
    def of_agent(cls, data: DataDirectory, settings: Settings, agent: KeyAgentClient) -> Iterator[Appliance]:
        """Open a data directory with the keys that the key agent hands out; it opens those of messages."""
        keys = agent.working_keys()
        opener, signer = AgentOpener(agent, keys.capture_public), AgentSigner.of(agent, keys)
        with cls.with_keys(data, settings, keys, opener, signer) as appliance:
            yield appliance

    @classmethod
    @contextmanager
    def with_ring(cls, data: DataDirectory, settings: Settings, ring: KeyRing) -> Iterator[Appliance]:
        """Open a data directory with a whole key ring, for whoever unlocked it."""
        with cls.with_keys(data, settings, ring, CaptureOpener.of(ring), SeedSigner.of(ring)) as appliance:
            yield appliance

    @classmethod
    @contextmanager
    def with_keys(
        cls,
        data: DataDirectory,
        settings: Settings,
        ring: WorkingKeys,
        opener: MessageKeyOpener,
        signer: DocumentSigner,
    ) -> Iterator[Appliance]:
        """Open a data directory with keys that were handed over, and whoever opens those of messages and signs."""
        prove(data, ring)
        with database_wiring.opened(data, settings, ring.row_key) as (database, keystore):
            with database.read() as connection:
                schema.require(connection)
            workplace_wiring.require_ours(data, settings, database, ring.row_key)
            yield cls(data, settings, ring, opener, signer, database, keystore, SystemClock())


def in_role(station: Station) -> AbstractContextManager[Appliance]:
    """The appliance for a role."""
    return Appliance.of_agent(station.data, settings_of(station.data), station.agent)


def prove(data: DataDirectory, ring: WorkingKeys) -> None:
    """``TamperedError`` when the directory was not made as its birth record says."""
    birth_record.verify(data.birth_record, row_key=ring.row_key)


def secret_of(
    data: DataDirectory,
    *,
    passphrase_file: Path | None = None,
    key_file: Path | None = None,
    other: tuple[str, Path] | None = None,
) -> SlotSecret:
    """What unlocks the directory: the file that was named, else the key file that lies in it."""
    place = secret_place(data, passphrase_file=passphrase_file, key_file=key_file, other=other)
    if place is None:
        raise RefusedError(
            f"{data.path} does not unlock by itself",
            fix="say --passphrase-file FILE, --key-file FILE or another secret: strongroom --help",
        )
    return slot_kinds.secret_in(place.kind, Path(place.path))


def secret_place(
    data: DataDirectory,
    *,
    passphrase_file: Path | None = None,
    key_file: Path | None = None,
    other: tuple[str, Path] | None = None,
) -> SecretPlace | None:
    """Where the secret lies that ``serve`` opens with; None when a person has to unseal."""
    named = named_place(passphrase_file=passphrase_file, key_file=key_file, other=other)
    if named is None and data.unlock_key.exists():
        return SecretPlace(KeyFile.kind, str(data.unlock_key))
    return named


def named_place(
    *, passphrase_file: Path | None, key_file: Path | None, other: tuple[str, Path] | None
) -> SecretPlace | None:
    """Where the secret lies that was named; None when none was.

    ``other``: the kind and the file of one that is neither a passphrase nor a key file.
    """
    if other is not None:
        return SecretPlace(other[0], str(other[1].absolute()))
    if passphrase_file is not None:
        return SecretPlace(PassphraseFile.kind, str(passphrase_file.absolute()))
    if key_file is not None:
        return SecretPlace(KeyFile.kind, str(key_file.absolute()))
    return None
