"""Puts together what backups need: targets from settings, what seals them, and what is backed up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance import backup_settings, schema
from appliance.backup_settings import BackupTargetSettings
from appliance.data_directory import DataDirectory
from appliance.key_agent_client import AgentOpener
from appliance.wiring import Appliance
from archive.ledger_book import LedgerBook
from mailstore import (
    backup_claim,
    backup_pack,
    backup_ways_in,
    key_files,
    key_ring_file,
    object_absence,
    object_store_url,
)
from mailstore.backup_making import BackupSeals
from mailstore.backup_target import BackupTarget
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.data_backup import DataSources
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.keys_backup import KeySources
from mailstore.working_keys import WorkingKeys

_NEVER = ("unlock.key", "next.json")
_NEVER_ENDINGS = (".secrets", ".aside")


def target(data: DataDirectory, told: BackupTargetSettings) -> BackupTarget:
    """The place that the settings describe. ``RefusedError`` for one that cannot be used."""
    if problem := backup_settings.target_place(told.url):
        raise RefusedError(f"{told.url} {problem}", fix="name an absolute directory, or s3+https://HOST:PORT/BUCKET")
    if not backup_settings.is_bucket(told.url):
        return DirectoryTarget(_outside(data, Path(told.url)))
    if not told.credentials_file:
        raise RefusedError(
            f"no credentials were named for {told.url}",
            fix="name a file with the access key and the secret, a line each",
        )
    from mailstore.backup_target_s3 import S3Target  # noqa: PLC0415 - half a second that a directory does not pay
    from mailstore.s3_bucket import S3Bucket  # noqa: PLC0415 - as above
    from mailstore.s3_credentials import CredentialsFile  # noqa: PLC0415 - as above

    bucket = S3Bucket(
        object_store_url.parsed(told.url),
        CredentialsFile(data.path / told.credentials_file),
        region=told.region,
        ca_file=Path(told.ca_file) if told.ca_file else None,
    )
    return S3Target(bucket)


def seals(appliance: Appliance) -> BackupSeals:
    """What seals and signs this appliance's backups. ``StorageUnavailableError`` while keys are being rotated."""
    ring = appliance.ring
    files = key_files.read_state(appliance.data.keys)
    publics = _recovery_publics(appliance, key_ring_file.recovery_publics(files))
    practice = backup_claim.practice_of(ring.row_key)
    return BackupSeals(
        practice=practice,
        signer=appliance.signer,
        mark_key=backup_pack.mark_key(ring.row_key),
        data_recovery_public=publics["data_recovery"],
        keys_recovery_public=publics["keys_recovery"],
        ways_in=backup_ways_in.made(
            files, practice=practice, audit_public=appliance.signer.audit_public, publics=publics
        ),
    )


def _recovery_publics(appliance: Appliance, published: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """What backups are sealed to. Keys that were renewed since this process got its own are asked for anew.

    What is published in a file counts for nothing alone: whoever can write there would have backups sealed to himself.
    """
    if published == _publics_of(appliance.ring):
        return published
    if isinstance(appliance.opener, AgentOpener) and published == _publics_of(appliance.opener.working_keys()):
        return published
    raise StorageUnavailableError(
        "keys/recovery.json is not of the keys that this process works with",
        fix="if the keys were rotated just now, restart serve; if not, restore keys/ from a backup of the keys",
    )


def _publics_of(ring: WorkingKeys) -> dict[str, bytes]:
    return {"data_recovery": ring.data_recovery_public, "keys_recovery": ring.keys_recovery_public}


def data_sources(appliance: Appliance, *, with_waiting: bool = False) -> DataSources:
    """Where the data of an appliance lies.

    ``with_waiting``: mail that came while sealed and is not taken in yet, too. It lies under keys of its own that no
    disposal reaches, so that it stays out unless somebody asks: once it is taken in it is mail like all other.
    """
    data = appliance.data
    return DataSources(
        database=appliance.database,
        metadatas=schema.METADATAS,
        schema=schema.HEAD,
        spool=data.spool,
        objects=appliance.objects,
        files=lambda: _data_files(data),
        sealed_spool=lambda: _below(data, data.sealed_spool) if with_waiting else (),
        work=data.backup / "work",
        clock=appliance.clock,
        is_destroyed=lambda name: object_absence.is_of_the_dead(appliance.database, appliance.keystore, name),
    )


def key_sources(appliance: Appliance) -> KeySources:
    """Where the keys of an appliance lie."""
    return KeySources(
        keystore=appliance.keystore,
        files=lambda: _files_of_keys(appliance.data),
        pages=lambda: _pages(appliance),
        clock=appliance.clock,
    )


def keep_ledger(appliance: Appliance) -> None:
    """Write down what the ledger of disposals and holds does not say yet: every backup takes its pages along."""
    _ledger(appliance).keep()


def _data_files(data: DataDirectory) -> Iterator[tuple[str, Path]]:
    """Files that are neither rows, mail nor keys; what is made anew by itself is not among them."""
    for file in (data.settings, data.birth_record):
        yield file.name, file
    for folder in (data.certificates, data.checkpoints.parent, data.ledger, data.tls):
        yield from _below(data, folder)


def _below(data: DataDirectory, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink() and not path.name.endswith(_NEVER_ENDINGS):
            yield str(path.relative_to(data.path)), path


def _files_of_keys(data: DataDirectory) -> dict[str, bytes]:
    """``keys/`` as of one moment; without what opens by itself, and without secrets that die with what they open."""
    found = {
        path.name: path.read_bytes()
        for path in sorted(data.keys.iterdir())
        if path.is_file() and path.name not in _NEVER and not path.name.endswith(_NEVER_ENDINGS)
    }
    found.update(key_files.read_state(data.keys))
    return {f"{data.keys.name}/{name}": content for name, content in found.items()}


def _pages(appliance: Appliance) -> dict[str, bytes]:
    folder = appliance.data.ledger.name
    return {f"{folder}/{name}": page for name, page in _ledger(appliance).files().items()}


def _ledger(appliance: Appliance) -> LedgerBook:
    return LedgerBook(
        appliance.data.ledger,
        database=appliance.database,
        keystore=appliance.keystore,
        signer=appliance.signer,
        clock=appliance.clock,
    )


def _outside(data: DataDirectory, directory: Path) -> Path:
    """A backup below the data directory burns with it."""
    place = directory.resolve()
    if place == data.path.resolve() or data.path.resolve() in place.parents:
        raise RefusedError(
            f"{directory} lies in the data directory itself", fix="name a directory on another disk or machine"
        )
    return place
