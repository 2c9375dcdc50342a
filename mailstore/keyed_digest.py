"""Core: HMAC-SHA256 (RFC 2104) of short texts, which taking one message in needs some twenty times.

Written out over SHA-256, because the library looks its algorithm up anew for every text, and that costs several
times the text. Comparing digests stays the library's (``hmac.compare_digest``).
"""

from __future__ import annotations

import hashlib

BLOCK_BYTES = 64
"""SHA-256 works on blocks of this size."""

_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))


def keyed_digest(key: bytes, text: bytes) -> bytes:
    """32 bytes: HMAC-SHA256 of ``text`` under a key that is used once or twice."""
    block = _block(key)
    inner = hashlib.sha256(block.translate(_INNER) + text).digest()
    return hashlib.sha256(block.translate(_OUTER) + inner).digest()


class KeyedDigest:
    """HMAC-SHA256 under one key, for many texts: what depends on the key alone is worked out once."""

    def __init__(self, key: bytes) -> None:
        block = _block(key)
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def over(self, text: bytes) -> bytes:
        """32 bytes. May be called from any thread."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def _block(key: bytes) -> bytes:
    """RFC 2104 section 2: a longer key is hashed first."""
    short = key if len(key) <= BLOCK_BYTES else hashlib.sha256(key).digest()
    return short.ljust(BLOCK_BYTES, b"\0")
