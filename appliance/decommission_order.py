"""The order to end a practice, as it lies on the disk from the moment that it counts: what is cut off goes on from it.

``decommission.json`` holds the order that the practice signed and the key that signs the completion. No key of mail is
in it. The order is believed when it is signed by the key beside the certificates, so that it can be carried out when
nothing opens any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from appliance.data_directory import DataDirectory
from archive import verify_certificate, verify_decommission
from archive.certification import PUBLIC_KEY_FILE
from mailstore import durable_file
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError

FORMAT: Final = "strongroom/decommission/v1"


@dataclass(frozen=True)
class StandingOrder:
    """One that counts. ``seed`` signs its completion; None once that is signed.

    ``keystore_gone``: the tables of a key database on a server were dropped; its password may be gone since.
    """

    order: Mapping[str, Any]
    seed: bytes | None = field(repr=False)
    keystore_gone: bool = False

    @property
    def id(self) -> str:
        """As the audit log calls it."""
        return str(self.order["id"])

    @property
    def certificate(self) -> str:
        """The name of the certificate's file."""
        return f"decommission-{self.id}.json"


def exists(data: DataDirectory) -> bool:
    """True from the moment that an order counts, for ever."""
    return data.decommission.exists()


def write(data: DataDirectory, standing: StandingOrder, *, public_key: bytes) -> None:
    """From here on it counts. The key that proves it is written first."""
    try:
        durable_file.make_directory(data.certificates)
        durable_file.replace(data.certificates / PUBLIC_KEY_FILE, public_key)
        durable_file.replace(data.decommission, _content(standing))
    except OSError as error:
        raise _unavailable(data.decommission, error) from error


def read(data: DataDirectory) -> StandingOrder:
    """The order that counts. ``NotFoundError``, or ``TamperedError`` for one that the practice did not sign."""
    try:
        told = json.loads(data.decommission.read_bytes())
        seed = bytes.fromhex(told["completion_seed"])
        order, keystore_gone = dict(told["order"]), bool(told["keystore_gone"])
        key = verify_certificate.public_key_of((data.certificates / PUBLIC_KEY_FILE).read_bytes())
    except FileNotFoundError:
        if not exists(data):
            raise NotFoundError("decommission.json is not there", fix="nothing was ordered here") from None
        raise _changed() from None
    except OSError as error:
        raise _unavailable(data.decommission, error) from error
    except (ValueError, KeyError, TypeError):
        raise _changed() from None
    if told.get("format") != FORMAT or verify_decommission.order_problems(order, key):
        raise _changed()
    return StandingOrder(order, seed or None, keystore_gone)


def note_keystore_gone(data: DataDirectory, standing: StandingOrder) -> None:
    """Nobody asks that server again."""
    try:
        durable_file.replace(data.decommission, _content(replace(standing, keystore_gone=True)))
    except OSError as error:
        raise _unavailable(data.decommission, error) from error


def settle(data: DataDirectory, standing: StandingOrder) -> None:
    """It is carried out and certified: the key of the completion dies too. The order itself stays, whatever is cut."""
    try:
        with data.decommission.open("r+b") as old:
            durable_file.replace(data.decommission, _content(replace(standing, seed=None)))
            old.write(bytes(os.fstat(old.fileno()).st_size))
            old.flush()
            os.fsync(old.fileno())
    except OSError as error:
        raise _unavailable(data.decommission, error) from error


def _content(standing: StandingOrder) -> bytes:
    seed = (standing.seed or b"").hex()
    told = {
        "format": FORMAT,
        "order": standing.order,
        "completion_seed": seed,
        "keystore_gone": standing.keystore_gone,
    }
    return json.dumps(told, sort_keys=True).encode()


def _changed() -> TamperedError:
    return TamperedError(
        "decommission.json is not an order that this practice signed", fix="nothing is destroyed by it"
    )


def _unavailable(path: Path, error: OSError) -> StorageUnavailableError:
    return StorageUnavailableError(f"{path.name} cannot be reached: {error.strerror}")
