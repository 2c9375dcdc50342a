"""Unlock slots that a key on a token opens, by PKCS#11 version 2.40: a smart card, a security module, or SoftHSM.

The token keeps an RSA or AES key that never leaves it. It wraps 32 random bytes, which are the slot key; the slot notes
them wrapped. The token file says on its first line where the library of the token lies, and its PIN on the second: the
library is loaded into this process, so it must belong to root and be writable by nobody else.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from mailstore import key_file_form, key_files
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, WrongKeyError
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness
from mailstore.slot_secret import Noted

RSA: Final = "rsa-oaep"
AES: Final = "aes-gcm"
_TAG_BITS: Final = 128
_DATA: Final = b"strongroom/slot/v2/token"


@dataclass(frozen=True)
class TokenFile:
    """A file of two lines, library and PIN. ``token`` and ``key``, labels, count when a slot is made."""

    path: Path
    token: str = ""
    key: str = ""
    kind: ClassVar[str] = "token"

    def noted(self, randomness: Randomness) -> Noted:
        """Which key of which token it is, and 32 random bytes that only it unwraps."""
        secret, nonce = randomness(KEY_BYTES), randomness(NONCE_BYTES)
        with self._session(self.token) as session:
            wrapping, wrapped = _wrapped(session, self.key, secret, nonce)
        text = key_file_form.text(wrapped)
        return {"token": self.token, "key": self.key, "wrapping": wrapping, "wrapped": text}

    def slot_key(self, noted: Noted) -> bytes:
        """What the token unwraps. ``WrongKeyError`` when the PIN or the key is not the one."""
        wrapped = key_file_form.raw(noted.get("wrapped"), key_file_form.SLOTS)
        with self._session(str(noted.get("token"))) as session:
            secret = _unwrapped(session, str(noted.get("key")), str(noted.get("wrapping")), wrapped)
        if len(secret) != KEY_BYTES:
            raise WrongKeyError("the token unwrapped something else than a slot key")
        return secret

    @contextmanager
    def _session(self, token: str) -> Iterator[Any]:
        library, pin = self._lines()
        pkcs11 = _driver()
        try:
            found = pkcs11.lib(str(library)).get_token(token_label=token)
            with found.open(user_pin=pin) as session:
                yield session
        except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinLenRange):
            raise WrongKeyError("the token does not take this PIN", fix="a token locks itself after a few") from None
        except (pkcs11.exceptions.NoSuchToken, pkcs11.exceptions.NoSuchKey):
            raise NotFoundError(
                f"there is no such key on a token called {token!r}", fix="plug it in, or look at its labels"
            ) from None
        except (pkcs11.exceptions.EncryptedDataInvalid, pkcs11.exceptions.EncryptedDataLenRange):
            raise WrongKeyError("the token's key does not unwrap this slot") from None
        except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
            raise StorageUnavailableError(f"the token does not work: {type(error).__name__}") from error

    def _lines(self) -> tuple[Path, str]:
        try:
            lines = key_files.read(self.path).decode("utf-8").splitlines()
        except UnicodeDecodeError:
            lines = []
        if len(lines) != 2 or not all(lines):  # noqa: PLR2004 -- library and PIN, as the docstring says
            raise RefusedError(
                "the token file does not have two lines", fix="first the path of the PKCS#11 library, then the PIN"
            )
        return _trusted(Path(lines[0])), lines[1]


def _wrapped(session: Any, label: str, secret: bytes, nonce: bytes) -> tuple[str, bytes]:
    """An RSA key wraps with its public half (RFC 8017 section 7.1), an AES key with GCM."""
    pkcs11 = _driver()
    try:
        public = _key(session, label, pkcs11.ObjectClass.PUBLIC_KEY)
    except pkcs11.exceptions.NoSuchKey:
        own = _key(session, label, pkcs11.ObjectClass.SECRET_KEY)
        return AES, nonce + bytes(own.encrypt(secret, **_gcm(nonce)))
    return RSA, bytes(public.encrypt(secret, **_oaep()))


def _unwrapped(session: Any, label: str, wrapping: str, wrapped: bytes) -> bytes:
    pkcs11 = _driver()
    if wrapping == RSA:
        return bytes(_key(session, label, pkcs11.ObjectClass.PRIVATE_KEY).decrypt(wrapped, **_oaep()))
    if wrapping == AES:
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        return bytes(_key(session, label, pkcs11.ObjectClass.SECRET_KEY).decrypt(sealed, **_gcm(nonce)))
    raise key_file_form.tampered(key_file_form.SLOTS)


def _key(session: Any, label: str, kind: Any) -> Any:
    return session.get_key(label=label, object_class=kind)


def _oaep() -> dict[str, Any]:
    """SHA-1 within OAEP is what tokens offer everywhere, and no weakness there (RFC 8017 appendix B.1)."""
    pkcs11 = _driver()
    parameters = pkcs11.Mechanism.SHA_1, pkcs11.MGF.SHA1, None
    return {"mechanism": pkcs11.Mechanism.RSA_PKCS_OAEP, "mechanism_param": parameters}


def _gcm(nonce: bytes) -> dict[str, Any]:
    pkcs11 = _driver()
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": pkcs11.GCMParams(nonce, _DATA, _TAG_BITS)}


def _trusted(library: Path) -> Path:
    """Whoever can change what we load here has our keys. ``RefusedError`` for a file that others can."""
    try:
        real = library.resolve(strict=True)
        found = real.stat()
    except OSError as error:
        raise key_files.unavailable(library, error) from error
    if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusedError(f"{library} can be changed by others than root", fix="install the library as root")
    return real


def _driver() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 -- an optional part: only who has a token installs and loads it
    except ImportError:
        raise RefusedError(
            "the PKCS#11 part is not installed", fix="install it: pip install 'strongroom[token]'"
        ) from None
    return pkcs11
