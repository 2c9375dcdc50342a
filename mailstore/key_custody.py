"""Where the keys lie while nobody works: ``keys/`` as docs/formats/key-hierarchy.md says.

The root key lies in unlock slots, one a secret; the members of the ring lie under the root key. Without a secret
nothing opens, and nothing here ever makes a key in the place of one that is missing (promise I7).
"""

from __future__ import annotations

import base64
import binascii
import json
import unicodedata
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore import durable_file
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, TamperedError, WrongKeyError
from mailstore.key_hierarchy import KeyRing
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, SALT_BYTES, Randomness, derive

_VERSION = 1
_SLOTS = "slots.json"
_MEMBERS = "keyring.json"
_CAPTURE_PUBLIC = "capture.pub"
_MEMBER_LABEL = "strongroom/keyring/v1/"
_SLOT_LABEL = "strongroom/slot/v1/"
_KEY_FILE_INFO = b"strongroom/slot/v1/key-file"
_BEARABLE_KIB = range(8, 2**22 + 1)
_BEARABLE_PASSES = range(1, 17)
_BEARABLE_LANES = range(1, 17)


@dataclass(frozen=True)
class Argon2Cost:
    """What one guess at a passphrase costs (RFC 9106): memory in KiB, passes over it, lanes computed at once."""

    memory_kib: int = 256 * 1024
    passes: int = 3
    lanes: int = 4

    def is_bearable(self) -> bool:
        """True when a slot may ask for it: a changed slot file must not be able to exhaust the machine."""
        allowed = _BEARABLE_KIB, _BEARABLE_PASSES, _BEARABLE_LANES
        asked = self.memory_kib, self.passes, self.lanes
        return all(value in some for value, some in zip(asked, allowed, strict=True))


@dataclass(frozen=True)
class PassphraseFile:
    """A file whose text is the passphrase. ``cost`` counts when a slot is made; later the slot's own does."""

    path: Path
    cost: Argon2Cost = Argon2Cost()


@dataclass(frozen=True)
class KeyFile:
    """A file of 64 hexadecimal digits, made by ``create_key_file``."""

    path: Path


Secret = PassphraseFile | KeyFile

_NO_COST = Argon2Cost(0, 0, 0)


@dataclass(frozen=True)
class _Slot:
    kind: str
    salt: bytes
    cost: Argon2Cost
    sealed_root: bytes


def create_key_file(path: Path, randomness: Randomness) -> KeyFile:
    """A fresh key file, readable by us alone. ``RefusedError`` when something is there already."""
    _write_new(path, randomness(KEY_BYTES).hex().encode() + b"\n")
    return KeyFile(path)


def create(directory: Path, slot: Secret, randomness: Randomness) -> KeyRing:
    """Make a key ring that ``slot`` unlocks. ``RefusedError`` when ``directory`` already holds one.

    The slots are written last: a ring whose making was cut short is refused by ``unlock``, never half used.
    """
    if any((directory / name).exists() for name in (_SLOTS, _MEMBERS, _CAPTURE_PUBLIC)):
        raise RefusedError("there are keys already", fix="Keys are made once. Use another data directory.")
    ring = KeyRing(*(randomness(KEY_BYTES) for _ in fields(KeyRing)))
    root = randomness(KEY_BYTES)
    first = _new_slot(slot, root, randomness)
    sealed = {name: _text(_seal_member(root, name, member, randomness)) for name, member in ring.members().items()}
    durable_file.make_directory(directory)
    _write_new(directory / _CAPTURE_PUBLIC, _text(ring.capture.public).encode() + b"\n")
    _write_new(directory / _MEMBERS, _json({"version": _VERSION, "members": sealed}))
    _write_new(directory / _SLOTS, _slots_file([first]))
    return ring


def unlock(directory: Path, secret: Secret) -> KeyRing:
    """The key ring, opened with a secret.

    Raises ``WrongKeyError`` when no slot opens with it, ``TamperedError`` naming the file that is not what was
    written, ``NotFoundError`` when there are no keys or no secret to read.
    """
    root = _root_key(_read_slots(directory), secret)
    sealed = _read_json(directory / _MEMBERS).get("members")
    names = [member.name for member in fields(KeyRing)]
    if not isinstance(sealed, dict) or set(sealed) != set(names):
        raise _tampered(_MEMBERS)
    ring = KeyRing(*(_open_member(root, name, _bytes(sealed[name], _MEMBERS)) for name in names))
    if capture_public(directory) != ring.capture.public:
        raise TamperedError(f"keys/{_CAPTURE_PUBLIC} does not belong to this key ring")
    return ring


def add_slot(directory: Path, secret: Secret, slot: Secret, randomness: Randomness) -> None:
    """Let ``slot`` unlock the ring as well. ``secret`` is one that does already."""
    slots = _read_slots(directory)
    added = _new_slot(slot, _root_key(slots, secret), randomness)
    try:
        durable_file.replace(directory / _SLOTS, _slots_file([*slots, added]))
    except OSError as error:
        raise _unavailable(directory / _SLOTS, error) from error


def capture_public(directory: Path) -> bytes:
    """The 32 bytes of the capture public key, as published. ``unlock`` checks that they belong to the ring."""
    data = _bytes(_read(directory / _CAPTURE_PUBLIC).decode("ascii", "replace").strip(), _CAPTURE_PUBLIC)
    if len(data) != KEY_BYTES:
        raise _tampered(_CAPTURE_PUBLIC)
    return data


def _root_key(slots: list[_Slot], secret: Secret) -> bytes:
    kind = _kind(secret)
    for slot in slots:
        if slot.kind == kind:
            try:
                cipher = AESGCM(_slot_key(secret, salt=slot.salt, cost=slot.cost))
                return cipher.decrypt(slot.sealed_root[:NONCE_BYTES], slot.sealed_root[NONCE_BYTES:], _slot_data(slot))
            except (InvalidTag, ValueError):
                continue
    raise WrongKeyError(
        f"no slot in keys/{_SLOTS} opens with this secret", fix="Give the passphrase or key file that init was given."
    )


def _new_slot(secret: Secret, root: bytes, randomness: Randomness) -> _Slot:
    cost = secret.cost if isinstance(secret, PassphraseFile) else _NO_COST
    salt, nonce = randomness(SALT_BYTES), randomness(NONCE_BYTES)
    bare = _Slot(_kind(secret), salt, cost, b"")
    sealed = AESGCM(_slot_key(secret, salt=salt, cost=cost)).encrypt(nonce, root, _slot_data(bare))
    return _Slot(bare.kind, salt, cost, nonce + sealed)


def _slot_key(secret: Secret, *, salt: bytes, cost: Argon2Cost) -> bytes:
    if isinstance(secret, KeyFile):
        return derive(_key_file_bytes(secret.path), info=_KEY_FILE_INFO, salt=salt)
    return hash_secret_raw(
        secret=_passphrase(secret.path),
        salt=salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=KEY_BYTES,
        type=Type.ID,
    )


def _slot_data(slot: _Slot) -> bytes:
    cost = slot.cost
    return f"{_SLOT_LABEL}{slot.kind}:{cost.memory_kib}:{cost.passes}:{cost.lanes}".encode()


def _kind(secret: Secret) -> str:
    return "key_file" if isinstance(secret, KeyFile) else "passphrase"


def _passphrase(path: Path) -> bytes:
    try:
        text = _read(path).decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError("the passphrase file is not UTF-8 text") from None
    passphrase = unicodedata.normalize("NFC", text.removesuffix("\n").removesuffix("\r"))
    if not passphrase:
        raise RefusedError("the passphrase is empty")
    return passphrase.encode()


def _key_file_bytes(path: Path) -> bytes:
    try:
        data = binascii.unhexlify(_read(path).strip())
    except binascii.Error:
        data = b""
    if len(data) != KEY_BYTES:
        raise WrongKeyError("the key file is not 64 hexadecimal digits")
    return data


def _member_key(root: bytes, name: str) -> AESGCM:
    return AESGCM(derive(root, info=(_MEMBER_LABEL + name).encode()))


def _seal_member(root: bytes, name: str, member: bytes, randomness: Randomness) -> bytes:
    nonce = randomness(NONCE_BYTES)
    return nonce + _member_key(root, name).encrypt(nonce, member, (_MEMBER_LABEL + name).encode())


def _open_member(root: bytes, name: str, sealed: bytes) -> bytes:
    try:
        opened = _member_key(root, name).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], (_MEMBER_LABEL + name).encode()
        )
    except (InvalidTag, ValueError):
        raise TamperedError(f"keys/{_MEMBERS}: {name} is not what was written") from None
    return opened


def _slots_file(slots: list[_Slot]) -> bytes:
    return _json({"version": _VERSION, "slots": [_slot_json(slot) for slot in slots]})


def _slot_json(slot: _Slot) -> dict[str, str | int]:
    bare: dict[str, str | int] = {
        "kind": slot.kind,
        "salt": _text(slot.salt),
        "sealed_root": _text(slot.sealed_root),
    }
    if slot.kind == "key_file":
        return bare
    return {
        **bare,
        "memory_kib": slot.cost.memory_kib,
        "passes": slot.cost.passes,
        "lanes": slot.cost.lanes,
    }


def _read_slots(directory: Path) -> list[_Slot]:
    slots = _read_json(directory / _SLOTS).get("slots")
    if not isinstance(slots, list):
        raise _tampered(_SLOTS)
    return [_slot_of(slot) for slot in slots]


def _slot_of(slot: Any) -> _Slot:
    try:
        kind, salt, sealed = slot["kind"], _bytes(slot["salt"], _SLOTS), _bytes(slot["sealed_root"], _SLOTS)
        cost = _NO_COST
        if kind != "key_file":
            cost = Argon2Cost(int(slot["memory_kib"]), int(slot["passes"]), int(slot["lanes"]))
    except (KeyError, TypeError, ValueError):
        raise _tampered(_SLOTS) from None
    if kind == "passphrase" and not cost.is_bearable():
        raise _tampered(_SLOTS)
    return _Slot(str(kind), salt, cost, sealed)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except ValueError:
        raise _tampered(path.name) from None
    if not isinstance(value, dict) or value.get("version") != _VERSION:
        raise _tampered(path.name)
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: object, file: str) -> bytes:
    """Base64 in its one canonical form: bits that a decoder would ignore are changes too (RFC 4648 section 3.5)."""
    try:
        data = base64.b64decode(str(text), validate=True)
    except ValueError:
        raise _tampered(file) from None
    if base64.b64encode(data).decode("ascii") != text:
        raise _tampered(file)
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path.name} is not there", fix="Has init been run for this directory?") from None
    except OSError as error:
        raise _unavailable(path, error) from error


def _write_new(path: Path, data: bytes) -> None:
    try:
        durable_file.write_new(path, data)
    except FileExistsError:
        raise RefusedError(f"{path.name} is there already") from None
    except OSError as error:
        raise _unavailable(path, error) from error


def _tampered(file: str) -> TamperedError:
    return TamperedError(f"keys/{file} is not what was written", fix="Restore keys/ from a backup of the keys.")


def _unavailable(path: Path, error: OSError) -> StorageUnavailableError:
    return StorageUnavailableError(f"{path.name} cannot be reached: {error.strerror}")
