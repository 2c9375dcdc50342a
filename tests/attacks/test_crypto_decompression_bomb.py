"""A small sealed object must not become a large one: not even one made by somebody with the key."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore import sealed_format
from mailstore.errors import LimitExceededError, TamperedError
from mailstore.sealed_format import open_sealed

KEY, CONTEXT = bytes(range(32)), ("message", "m" * 26, 1)


def forged(packed: bytes, *, plain_size: int, compression: int = 1) -> bytes:
    """A well sealed object with whatever inside."""
    salt = os.urandom(16)
    commitment = sealed_format.derive(KEY, info=b"strongroom/sealed-object/v1/commitment", salt=salt)
    header = sealed_format._Header(compression, 16, 0, plain_size, salt, commitment).packed()
    info = b"strongroom/sealed-object/v1/chunks" + sealed_format._context_bytes(CONTEXT)
    return header + sealed_format._seal_chunks(packed, AESGCM(sealed_format.derive(KEY, info=info, salt=salt)), header)


def opened(sealed: bytes) -> bytes:
    return open_sealed(sealed, key=KEY, context=CONTEXT)


def test_the_forger_can_make_a_good_one() -> None:
    assert opened(forged(zstandard.compress(b"x" * 100), plain_size=100)) == b"x" * 100


def test_frame_that_is_larger_than_announced_is_refused_before_it_grows() -> None:
    bomb = zstandard.compress(bytes(200_000_000))
    assert len(bomb) < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TamperedError):
        opened(forged(bomb, plain_size=100))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_frame_that_does_not_tell_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1_000_000))
    with pytest.raises(TamperedError):
        opened(forged(frame, plain_size=1_000_000))


def test_frame_that_lies_about_its_size_is_refused() -> None:
    frame = bytearray(zstandard.compress(bytes(100_000)))
    size = struct.pack("<I", 100_000)
    assert size in frame
    with pytest.raises(TamperedError):
        opened(forged(bytes(frame.replace(size, struct.pack("<I", 70_000))), plain_size=70_000))


@pytest.mark.parametrize("packed", [b"", b"not zstd", zstandard.compress(b"x" * 50)[:-3], zstandard.compress(b"x") * 2])
def test_what_is_not_one_frame_is_refused(packed: bytes) -> None:
    with pytest.raises(TamperedError):
        opened(forged(packed, plain_size=50))


@pytest.mark.parametrize("size", [0, 1, 4, 6, 2**40, 2**64 - 1])
def test_plain_content_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(TamperedError):
        opened(forged(b"12345", plain_size=size, compression=0))


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_announced_sizes_beyond_memory_do_not_allocate(size: int) -> None:
    """A frame header may announce what no machine has; an honest length in ours makes both agree."""
    header = b"\x28\xb5\x2f\xfd" + b"\xe0" + struct.pack("<Q", size)
    with pytest.raises(TamperedError):
        opened(forged(header + b"\x01\x00\x00", plain_size=size))


def test_object_beyond_the_limit_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_format, "MAX_PLAIN_BYTES", 10)
    with pytest.raises(LimitExceededError):
        sealed_format.seal(bytes(11), key=KEY, context=CONTEXT, randomness=os.urandom)


def test_reading_hostile_headers_costs_no_memory() -> None:
    """In a process that may have 400 MB: every chunk size and length a header can name is refused in small space."""
    code = (
        "import resource, itertools, hashlib; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "from mailstore import sealed_format as f\n"
        "from mailstore.errors import StrongroomError\n"
        "for log2, size in itertools.product(range(256), (0, 2**32, 2**64 - 1)):\n"
        "    fixed = f._FIXED.pack(b'SROB', 1, 1, log2, 0, 0, size, bytes(16), bytes(32))\n"
        "    data = fixed + hashlib.sha256(fixed).digest()[:4] + bytes(100)\n"
        "    try: f.open_sealed(data, key=bytes(32), context=('m', 'x', 1))\n"
        "    except StrongroomError: continue\n"
        "    raise SystemExit('opened')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(Path.cwd())}, check=False)
    assert ran.returncode == 0
