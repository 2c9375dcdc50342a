"""Looks for words in plain text in every file below a directory (promise I5).

Each word is looked for as it is, in UTF-16, base64 at its three alignments, quoted-printable and hexadecimal, in the
raw bytes and in every zlib, gzip or zstd stream that begins anywhere in them.
"""

from __future__ import annotations

import base64
import io
import quopri
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

STREAM_BEGINS = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08|\x28\xb5\x2f\xfd")
MOST_OF_A_STREAM = 4 * 1024 * 1024
ZLIB_OR_GZIP = 47
"""``wbits`` for zlib.decompressobj: either header is recognised."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Finding:
    """A word in plain text, and the file that holds it."""

    path: Path
    word: str
    form: str


def forms_of(word: str) -> dict[str, re.Pattern[bytes]]:
    """How a word may look on a disk, letter case aside where letters stay letters."""
    plain = word.encode()
    forms = {
        "plain": re.compile(re.escape(plain), re.IGNORECASE),
        "utf-16": re.compile(re.escape(word.encode("utf-16-le")), re.IGNORECASE),
        "quoted-printable": re.compile(re.escape(quopri.encodestring(plain, quotetabs=True).strip()), re.IGNORECASE),
        "hex": re.compile(re.escape(plain.hex().encode()), re.IGNORECASE),
    }
    return forms | {f"base64+{shift}": re.compile(re.escape(_base64_core(plain, shift))) for shift in range(3)}


def _base64_core(plain: bytes, shift: int) -> bytes:
    """The base64 signs that depend on the word alone when ``shift`` bytes stand before it."""
    first = -(-shift * 8 // 6)
    whole = base64.b64encode(bytes(shift) + plain).rstrip(b"=")
    return whole[first : (shift + len(plain)) * 8 // 6]


def layers(content: bytes) -> Iterator[bytes]:
    """The bytes themselves, and what each compressed stream within them holds."""
    yield content
    for mark in STREAM_BEGINS.finditer(content):
        try:
            yield _unpacked(content[mark.start() :])
        except (zlib.error, zstandard.ZstdError):
            continue


def _unpacked(content: bytes) -> bytes:
    if content.startswith(ZSTD_MAGIC):
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read(MOST_OF_A_STREAM)
    return zlib.decompressobj(ZLIB_OR_GZIP).decompress(content, MOST_OF_A_STREAM)


def findings(root: Path, words: Iterable[str]) -> list[Finding]:
    """Every file below ``root`` that holds one of the words in one of the forms, names of files included."""
    patterns = {word: forms_of(word) for word in words}
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        for layer in layers(str(path).encode() + b"\n" + path.read_bytes()):
            for word, forms in patterns.items():
                found += [Finding(path, word, name) for name, pattern in forms.items() if pattern.search(layer)]
    return found
