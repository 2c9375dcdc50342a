"""The access key and the secret of an object store: two lines of a file that is read anew when it changes."""

from __future__ import annotations

import threading
from pathlib import Path

from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider

from mailstore.errors import RefusedError, StorageUnavailableError

LINES = 2
BYTES_MAX = 4096


class CredentialsFile(Provider):
    """Hands the credentials to each request. New ones take effect as soon as they are written to the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._credentials: Credentials | None = None

    def retrieve(self) -> Credentials:
        """What the file says now. ``StorageUnavailableError`` when it cannot be read or says nothing of use."""
        with self._lock:
            written = self._written()
            if self._credentials is None or written != self._read_at:
                key, secret = self._checked()
                self._credentials, self._read_at = Credentials(key, secret), written
            return self._credentials

    def _checked(self) -> tuple[str, str]:
        try:
            return checked(self._text())
        except RefusedError as error:
            raise StorageUnavailableError(error.message, fix=error.fix) from error

    def _written(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unreadable(error) from error
        return found.st_mtime_ns, found.st_ino

    def _text(self) -> str:
        try:
            with self._path.open("r", encoding="ascii") as file:
                return file.read(BYTES_MAX)
        except OSError as error:
            raise self._unreadable(error) from error
        except UnicodeDecodeError:
            return ""

    def _unreadable(self, error: OSError) -> StorageUnavailableError:
        return StorageUnavailableError(
            f"the credentials of the object store cannot be read: {error.strerror}",
            fix=f"check {self._path} and its owner",
        )


def checked(text: str) -> tuple[str, str]:
    """Access key and secret. ``RefusedError`` for anything but two lines of printable characters."""
    lines = text.strip().splitlines()
    if len(lines) != LINES or not all(line and line.isascii() and line.isprintable() for line in lines):
        raise RefusedError(
            "the credentials of the object store are not two lines",
            fix="write the access key on the first line and the secret on the second",
        )
    return lines[0].strip(), lines[1].strip()
