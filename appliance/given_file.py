"""Files that a person hands to a command: read whole, within a bound, with a refusal that says what to mend."""

from __future__ import annotations

from pathlib import Path

from mailstore.errors import RefusedError

PASSWORD_BYTES = 4096
DOCUMENT_BYTES = 4 * 1024 * 1024


def password_in(path: str) -> str:
    """The first line of a password file. ``RefusedError`` when there is none."""
    lines = document_in(path, at_most=PASSWORD_BYTES).splitlines()
    if not lines or not lines[0]:
        raise RefusedError(f"{path} holds no password", fix="write the password on the file's first line")
    return lines[0]


def secret_in(path: str) -> bytes:
    """A secret as it is handed to the key agent. Of a directory of share pages: all of them, one after the other."""
    pages = sorted(Path(path).glob("*.txt")) if Path(path).is_dir() else [Path(path)]
    return "\n\n".join(document_in(str(page), at_most=PASSWORD_BYTES) for page in pages).encode()


def document_in(path: str, *, at_most: int = DOCUMENT_BYTES) -> str:
    """The text of a file. ``RefusedError`` when it cannot be read, is too long or is not UTF-8."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(at_most + 1)
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}", fix="check the file's name and mode") from error
    if len(content) > at_most:
        raise RefusedError(f"{path} is longer than {at_most} bytes", fix="name the right file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is not UTF-8 text", fix="save it as UTF-8") from error
