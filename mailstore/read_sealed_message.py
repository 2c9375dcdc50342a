"""Opens one exported sealed message from its key, without the appliance: nothing of ours is imported.

    python3 -I read_sealed_message.py ID.sealed ID.key > message.eml

Writes the very bytes that came after DATA (RFC 5321 section 4.1.1.4) to stdout; exit status 0 done, 1 refused, 2 wrong
call. It needs Python 3.11 or later, ``cryptography`` and ``zstandard``, and no network.
``docs/formats/sealed-export.md`` is the format of the two files, ``sealed-object.md`` and ``recipe.md`` beside it
those of what is in them. Nothing is written before all of it was verified: damaged bytes, or a key that is not the
message's, never give wrong text.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = "strongroom-sealed-message-1"
KEYS_FORMAT = "strongroom-sealed-message-keys-1"
FILE_BYTES_MAX = 1 << 30
PLAIN_BYTES_MAX = 1 << 28
PIECES_MAX = 4096
HEADER_BYTES = 72
TAG_BYTES = 16
KEY_BYTES = 32

Dictionaries = Callable[[int], bytes]


class RefusedError(Exception):
    """The files are not whole, or do not belong together."""


def main(words: Sequence[str] | None = None) -> int:
    """Read both files and write the message."""
    parser = argparse.ArgumentParser(description="Opens one exported sealed message from its key.")
    parser.add_argument("sealed", type=Path, help="the file that ends in .sealed")
    parser.add_argument("key", type=Path, help="the file that ends in .key")
    given = parser.parse_args(words)
    try:
        content = opened(_read(given.sealed), _read(given.key))
    except RefusedError as error:
        sys.stderr.write(f"refused: {error}\n")
        return 1
    sys.stdout.buffer.write(content)
    return 0


def opened(sealed_file: bytes, key_file: bytes) -> bytes:
    """The message in two files. ``RefusedError`` when any byte of them is not what was written."""
    told, keys = _told(sealed_file, FORMAT), _keys_of(key_file)
    message = _text(told, "message")
    if _text(_told(key_file, KEYS_FORMAT), "message") != message:
        _refuse("the key is that of another message")

    def dictionary(number: int) -> bytes:
        for each in told.get("dictionaries") or ():
            if each.get("number") == number:
                name = _text(each, "id")
                return _open(_raw(each, "sealed"), _key(keys, name), ("mail dictionary", name, 1), _no_dictionary)
        _refuse(f"dictionary {number} is missing")

    def part(name: str) -> bytes:
        for each in told.get("parts") or ():
            if each.get("id") == name:
                return _open(_raw(each, "sealed"), _key(keys, name), ("shared part", name, 1), _no_dictionary)
        _refuse(f"shared part {name} is missing")

    kind = _text(told, "kind")
    if kind not in {"message", "recipe"}:
        _refuse("the kind of the sealed message is unknown")
    content = _open(_raw(told, "sealed"), _key(keys, message), (kind, message, 1), dictionary)
    return content if kind == "message" else _put_together(content, part)


def _open(sealed: bytes, key: bytes, context: tuple[str, str, int], dictionary: Dictionaries) -> bytes:
    """A sealed object: docs/formats/sealed-object.md, "Reading, in this order"."""
    header = sealed[:HEADER_BYTES]
    if len(sealed) < HEADER_BYTES + TAG_BYTES or hashlib.sha256(header[:68]).digest()[:4] != header[68:]:
        _refuse(f"the {context[0]} is damaged")
    magic, version, packing, chunk_log2, reserved, number, size = struct.unpack(">4sBBBBIQ", header[:20])
    salt, commitment = header[20:36], header[36:68]
    is_known = (magic, version, reserved) == (b"SROB", 1, 0) and packing in {0, 1} and chunk_log2 in range(12, 25)
    if not is_known or size > PLAIN_BYTES_MAX or (number and not packing):
        _refuse(f"the {context[0]} is of a form that this reader does not know")
    if not hmac.compare_digest(_hkdf(key, salt, b"strongroom/sealed-object/v1/commitment"), commitment):
        _refuse(f"the key does not open the {context[0]}")
    chunk_key = _hkdf(key, salt, b"strongroom/sealed-object/v1/chunks" + _context(context))
    packed = _chunks(AESGCM(chunk_key), sealed[HEADER_BYTES:], header, (1 << chunk_log2) + TAG_BYTES)
    content = _unpacked(packed, size, dictionary(number) if number else b"") if packing else packed
    if len(content) != size:
        _refuse(f"the {context[0]} is not as long as it says")
    return content


def _chunks(cipher: AESGCM, body: bytes, header: bytes, length: int) -> bytes:
    """Every chunk under its number, the last one marked as the last."""
    count = max(1, -(-len(body) // length))
    plain = []
    for number in range(count):
        nonce = number.to_bytes(11, "big") + bytes([number == count - 1])
        try:
            plain.append(cipher.decrypt(nonce, body[number * length : (number + 1) * length], header))
        except (InvalidTag, ValueError):
            _refuse("a chunk is not what was written, or is not of this message")
    return b"".join(plain)


def _unpacked(packed: bytes, size: int, dictionary: bytes) -> bytes:
    """One zstd frame (RFC 8878) that announces its size, with nothing behind it."""
    try:
        if zstandard.get_frame_parameters(packed).content_size != size:
            _refuse("the packed content announces another size")
        unpacking = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(dictionary)).decompressobj()
        content = unpacking.decompress(packed)
    except zstandard.ZstdError:
        _refuse("the packed content is damaged")
    if unpacking.unused_data:
        _refuse("something follows the packed content")
    return content


def _put_together(recipe: bytes, part: Callable[[str], bytes]) -> bytes:
    """A message in pieces: docs/formats/recipe.md."""
    try:
        pieces, digest, bodies = _pieces(recipe)
    except struct.error:
        _refuse("the recipe is damaged")
    content, place = [], 0
    for kind, line, length, name in pieces:
        data = part(name) if kind == b"s" else bodies[place : place + length]
        place += 0 if kind == b"s" else length
        if len(data) != length:
            _refuse("a piece of the recipe is not as long as it says")
        content.append(data if kind == b"v" else _lines(data, line))
    whole = b"".join(content)
    if place != len(bodies) or not hmac.compare_digest(hashlib.sha256(whole).digest()[:16], digest):
        _refuse("the recipe gives another message than it says")
    return whole


def _pieces(recipe: bytes) -> tuple[list[tuple[bytes, int, int, str]], bytes, bytes]:
    """Kind, line, length and name of each piece; the digest of the whole; the bodies."""
    magic, count, digest = struct.unpack_from(">5sH16s", recipe)
    if magic != b"SRRP\x01" or count > PIECES_MAX:
        _refuse("the recipe is of a form that this reader does not know")
    place, pieces = struct.calcsize(">5sH16s"), []
    for _ in range(count):
        kind = recipe[place : place + 1]
        form = {b"v": ">I", b"b": ">HI", b"s": ">HI26s"}.get(kind)
        if form is None:
            _refuse("the recipe has a piece of a kind that this reader does not know")
        found = struct.unpack_from(form, recipe, place + 1)
        place += 1 + struct.calcsize(form)
        line, length = (0, found[0]) if kind == b"v" else found[:2]
        name = found[2].decode("ascii", "replace") if kind == b"s" else ""
        if kind != b"v" and (line % 4 or not 0 < line <= 996):  # noqa: PLR2004 -- docs/formats/recipe.md
            _refuse("the recipe has lines that cannot be")
        pieces.append((kind, line, length, name))
    return pieces, digest, recipe[place:]


def _lines(data: bytes, line: int) -> bytes:
    """Base64 in lines, each with CRLF behind it (RFC 2045 section 6.8)."""
    text = base64.b64encode(data)
    return b"".join(text[start : start + line] + b"\r\n" for start in range(0, len(text), line))


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)


def _context(context: tuple[str, str, int]) -> bytes:
    kind, identity = context[0].encode(), context[1].encode()
    lengths = struct.pack(">I", len(kind)), struct.pack(">I", len(identity))
    return lengths[0] + kind + lengths[1] + identity + struct.pack(">IQ", 8, context[2])


def _told(data: bytes, wanted: str) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        _refuse("a file is not JSON")
    if not isinstance(told, dict) or told.get("format") != wanted:
        _refuse(f"a file is not of the format {wanted}")
    return told


def _keys_of(data: bytes) -> Mapping[str, bytes]:
    keys = _told(data, KEYS_FORMAT).get("keys")
    try:
        found = {str(name): bytes.fromhex(key) for name, key in (keys or {}).items()}
    except (AttributeError, TypeError, ValueError):
        found = {"": b""}
    if any(len(key) != KEY_BYTES for key in found.values()):
        _refuse("the key file holds something else than keys")
    return found


def _key(keys: Mapping[str, bytes], name: str) -> bytes:
    if name not in keys:
        _refuse(f"the key of {name} is missing")
    return keys[name]


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str):
        _refuse(f"a file does not say its {name}")
    return value


def _raw(told: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_text(told, name), validate=True)
    except ValueError:
        _refuse("a file holds broken base64")


def _no_dictionary(number: int) -> bytes:
    _refuse(f"dictionary {number} is asked for where none belongs")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror}")
    if len(data) > FILE_BYTES_MAX:
        _refuse(f"{path} is too long")
    return data


def _refuse(why: str) -> NoReturn:
    raise RefusedError(why)


if __name__ == "__main__":
    sys.exit(main())
