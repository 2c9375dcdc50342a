"""A secret as the key agent gets it: by the place where it lies, or by what its file holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mailstore.errors import RefusedError
from mailstore.slot_key_file import KeyFile
from mailstore.slot_passphrase import PassphraseFile
from mailstore.slot_secret import SlotSecret

_OF_KIND: Final[Mapping[str, Callable[[Path], SlotSecret]]] = {
    PassphraseFile.kind: PassphraseFile,
    KeyFile.kind: KeyFile,
}


def secret_of(kind: str, path: Path) -> SlotSecret:
    """The secret that lies in a file. ``RefusedError`` for a kind that no file can hold."""
    if kind not in _OF_KIND:
        raise RefusedError("no secret of this kind can be given to the key agent")
    return _OF_KIND[kind](path)


@contextmanager
def given(kind: str, content: bytes) -> Iterator[SlotSecret]:
    """A secret that was handed over, as a file that is in memory only and gone afterwards (memfd_create(2))."""
    descriptor = os.memfd_create("secret", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield secret_of(kind, Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
