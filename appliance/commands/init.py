"""``strongroom init``: a data directory for a practice, whole or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance import birth_record, config, first_run_mark, foundation, object_store_founding, tls_certificates
from appliance.birth_record import BirthRecord
from appliance.command_call import Call, Outcome, facts
from appliance.data_directory import DataDirectory
from appliance.settings import PracticeSettings, Settings, domain_name, text_up_to
from mailstore import durable_file
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.key_hierarchy import KeyRing

LOOPBACK = "127.0.0.1"
HIGHEST_BASE = 65_535 - 587
LOWEST_BASE = 1000

UNATTENDED = (
    "It opens by itself, with the key file in keys/: whoever takes the disk reads everything. That is for trying out.\n"
    "For patients' mail name a secret: --passphrase-file FILE or --key-file FILE. After a power cut it is sealed,\n"
    "takes mail in, and nobody reads until somebody says: strongroom unseal"
)
ATTENDED = (
    "It does not open by itself: after a power cut it is sealed, takes mail in, and nobody reads until somebody says\n"
    "strongroom unseal. Without the secret nothing opens it, ever: add a second way in, and keep that elsewhere."
)


UNFINISHED = (
    "It asks for the first administrator and for recovery shares, typed back from paper: until then no mail is taken\n"
    "from outside, for nobody could open it once the secret is gone."
)


def run(call: Call) -> Outcome:
    """Make the directory. ``RefusedError`` when something is there already or an argument makes no sense."""
    arguments = call.arguments
    store = object_store_founding.settings_of(arguments.object_store, arguments.object_store_credentials)
    settings = replace(
        settings_for(arguments.practice, arguments.domain.lower(), arguments.loopback), object_store=store
    )
    database, keystore = foundation.database_settings(arguments.database, arguments.keystore)
    settings = replace(settings, database=database, keystore=keystore)
    birth = BirthRecord.of(now=call.clock.now(), loopback_base=arguments.loopback)
    data = call.data
    _claim(data)
    try:
        place = DataDirectory(data.unfinished)
        settings, ring = _fill(place, call, settings, birth)
        credentials, now = arguments.object_store_credentials, call.clock.now()
        with (
            foundation.databases_made(place, settings, ring, call.clock),
            object_store_founding.founded(place, settings, row_key=ring.row_key, credentials=credentials, now=now),
        ):
            _put_in_place(data)
    except OSError as error:
        _withdraw(data)
        raise StorageUnavailableError(
            f"{data.path} could not be written: {error.strerror}", fix="check free space and the directory's owner"
        ) from error
    except BaseException:
        _withdraw(data)
        raise
    return _outcome(data, settings, is_unattended=call.passphrase_file is None and call.key_file is None)


def settings_for(practice: str, domain: str, loopback_base: int | None) -> Settings:
    """The first settings of a practice. ``RefusedError`` for a name, domain or base that cannot be used."""
    for word, problem in (("--practice", text_up_to(100)(practice)), ("--domain", domain_name(domain))):
        if problem:
            raise RefusedError(f"{word} {problem}", fix="see: strongroom init --help")
    settings = Settings(practice=PracticeSettings(name=practice, domain=domain))
    return settings if loopback_base is None else _on_loopback(settings, loopback_base)


def _on_loopback(settings: Settings, base: int) -> Settings:
    if not LOWEST_BASE <= base <= HIGHEST_BASE:
        raise RefusedError(
            f"--loopback {base} leaves no room for the ports", fix=f"say a base from {LOWEST_BASE} to {HIGHEST_BASE}"
        )
    return replace(
        settings,
        smtp=replace(settings.smtp, listen=LOOPBACK, port=base + 25),
        submission=replace(settings.submission, listen=LOOPBACK, port=base + 587, implicit_tls_port=base + 465),
        portal=replace(settings.portal, listen=LOOPBACK, port=base + 443, host_name="localhost"),
        outbound=replace(settings.outbound, notice_pause_minutes=0),
    )


def _claim(data: DataDirectory) -> None:
    """Take an absent or empty directory. Making ``.unfinished`` succeeds for one of two racing calls only."""
    try:
        durable_file.make_directory(data.path)
        found = sorted(entry.name for entry in data.path.iterdir())
        if found == [data.unfinished.name]:
            raise RefusedError(
                f"{data.path} holds an init that was cut off", fix=f"remove {data.unfinished} and try again"
            )
        if found:
            raise RefusedError(f"{data.path} is not empty (it holds {found[0]})", fix="name an empty or new directory")
        data.unfinished.mkdir(mode=0o700)
    except FileExistsError as error:
        raise RefusedError(f"{data.path} is taken", fix="name an empty or new directory") from error
    except OSError as error:
        raise StorageUnavailableError(
            f"{data.path} cannot be made: {error.strerror}", fix="check the path and its owner"
        ) from error


def _fill(place: DataDirectory, call: Call, settings: Settings, birth: BirthRecord) -> tuple[Settings, KeyRing]:
    for folder in place.folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = call.clock.now()
    ring = foundation.make_keys(place, passphrase_file=call.passphrase_file, key_file=call.key_file, now=now)
    made = tls_certificates.generate(practice=settings.practice.name, domain=settings.practice.domain, now=now)
    tls_certificates.write(place.tls, made)
    settings = foundation.with_password_files(place, settings)
    durable_file.write_new(place.birth_record, birth_record.to_text(birth, row_key=ring.row_key).encode())
    if birth.loopback_base is None and not call.arguments.without_shares:
        first_run_mark.write(place.first_run, now=now)
    durable_file.write_new(place.settings, config.sample(settings).encode())
    return settings, ring


def _put_in_place(data: DataDirectory) -> None:
    """Move everything up, the settings last: with them the directory counts as made."""
    names = sorted(entry.name for entry in data.unfinished.iterdir())
    names.sort(key=lambda name: name == data.settings.name)
    for name in names:
        (data.unfinished / name).rename(data.path / name)
    data.unfinished.rmdir()
    durable_file.sync_directory(data.path)


def _withdraw(data: DataDirectory) -> None:
    """Leave the directory as empty as it was found."""
    for entry in list(data.path.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _outcome(data: DataDirectory, settings: Settings, *, is_unattended: bool) -> Outcome:
    fields: dict[str, Any] = {
        "data": str(data.path),
        "ca_certificate": str(data.tls / tls_certificates.CA_FILE),
        "ports": settings.ports,
        "settings": str(data.settings),
        "unlocks_by_itself": is_unattended,
    }
    told = {**fields, "ports": [f"{name} {port}" for name, port in settings.ports.items()]}
    caution = UNATTENDED if is_unattended else ATTENDED
    place = _quoted(data.path)
    setup, serve = f"strongroom setup --data {place}\n{UNFINISHED}", f"strongroom serve --data {place}"
    return Outcome(fields, facts(told) + f"\n\n{caution}\n\nNext: {setup if data.first_run.exists() else serve}")


def _quoted(path: Path) -> str:
    text = os.fspath(path)
    return f"'{text}'" if " " in text else text
