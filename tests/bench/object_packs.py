"""One object a message, or packs of many: ``python -m tests.bench.object_packs [--messages 1000] [--packs-of-mib 4]``.

The same sealed messages go into a real MinIO and onto the local disk both ways; then single messages are destroyed. A
destroyed message in a pack means that the pack is read, written anew without it, and deleted in every version. What
the server did is counted at its door; the bytes are what its directory takes. The figures for one and for ten million
messages are the measured ones times the messages. Prints one JSON object. Needs the server of ``make minio``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mailstore.object_layout import new_object_name, new_object_names
from mailstore.object_store import ObjectStore
from mailstore.object_store_local import LocalObjectStore
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import S3Bucket
from tests.s3_servers import minio

SEALED_BYTES = 2300
"""The median of a repacked message without files, sealed; files lie in objects of their own either way."""

GROUP = 64
BLOCK = 512
DESTROYED = 20


class Counting(S3Bucket):
    """A bucket that counts what it asks of the server."""

    asked = 0

    def attempted(self, *words: Any, **options: Any) -> Any:
        """As the bucket's, counted."""
        self.asked += 1
        return super().attempted(*words, **options)


def counted(bucket: S3Bucket) -> Counting:
    """The same bucket, counting."""
    bucket.__class__ = Counting
    assert isinstance(bucket, Counting)
    return bucket


def blocks_of(directory: Path) -> int:
    """Bytes of the disk blocks below a directory, folders included."""
    return sum(path.lstat().st_blocks * BLOCK for path in directory.rglob("*"))


def one_each(store: ObjectStore, mail: Sequence[bytes]) -> dict[str, int]:
    """Each message under a name of its own."""
    sizes: dict[str, int] = {}
    for start in range(0, len(mail), GROUP):
        group = mail[start : start + GROUP]
        objects = dict(zip(new_object_names(len(group), os.urandom), group, strict=True))
        store.put_all(objects)
        sizes.update({name: len(data) for name, data in objects.items()})
    return sizes


def in_packs(store: ObjectStore, mail: Sequence[bytes], pack_bytes: int) -> dict[str, int]:
    """Messages one behind the other in objects of about ``pack_bytes``."""
    sizes = {}
    for pack in packs(mail, pack_bytes):
        name = new_object_name(os.urandom)
        store.put(name, pack)
        sizes[name] = len(pack)
    return sizes


def packs(mail: Sequence[bytes], pack_bytes: int) -> Iterator[bytes]:
    """Whole messages, together at least that many bytes."""
    pack = b""
    for each in mail:
        pack += each
        if len(pack) >= pack_bytes:
            yield pack
            pack = b""
    if pack:
        yield pack


def destroy_ones(store: ObjectStore, names: Sequence[str]) -> None:
    """Single messages that have an object each."""
    for name in names[:DESTROYED]:
        store.delete(name)


def destroy_in_packs(store: ObjectStore, names: Sequence[str]) -> None:
    """Single messages out of packs: each pack read, written without it, and deleted."""
    names = list(names)
    for at in range(DESTROYED):
        old = names[at % len(names)]
        rest = store.get(old)[SEALED_BYTES:]
        new = new_object_name(os.urandom)
        store.put(new, rest)
        store.delete(old)
        names[at % len(names)] = new


def measured(
    mail: Sequence[bytes], work: Path, put: Callable[[ObjectStore], Mapping[str, int]], destroy: Callable[..., None]
) -> dict[str, Any]:
    """One way of keeping, on the server and on the local disk."""
    server, asked = minio(), itertools.count()
    bucket = counted(server.bucket(f"packs-{os.getpid()}-{next(asked)}-{os.urandom(3).hex()}"))
    told: dict[str, Any] = {}
    stores = {"minio": (S3ObjectStore(bucket), server.directory / "data"), "local": local(work)}
    for kind, (store, directory) in stores.items():
        before, since, began = blocks_of(directory), bucket.asked, time.perf_counter()
        names = list(put(store))
        seconds, requests = time.perf_counter() - began, bucket.asked - since
        took = blocks_of(directory) - before
        since, began = bucket.asked, time.perf_counter()
        destroy(store, names)
        told[kind] = {
            "put_us_per_message": round(seconds / len(mail) * 1e6),
            "put_requests_per_message": round(requests / len(mail), 4),
            "disk_bytes_per_message": round(took / len(mail)),
            "destroy_ms_per_message": round((time.perf_counter() - began) / DESTROYED * 1e3, 2),
            "destroy_requests_per_message": round((bucket.asked - since) / DESTROYED, 1),
        }
        told[kind]["for_messages"] = {f"{count:,}": grown(told[kind], count) for count in (1_000_000, 10_000_000)}
    return told


def local(work: Path) -> tuple[ObjectStore, Path]:
    """A fresh local store."""
    directory = Path(tempfile.mkdtemp(dir=work))
    return LocalObjectStore.made(directory / "objects"), directory


def grown(figures: Mapping[str, float], count: int) -> dict[str, float]:
    """What that many messages come to."""
    return {
        "put_requests": round(figures["put_requests_per_message"] * count),
        "disk_gb": round(figures["disk_bytes_per_message"] * count / 1e9, 1),
        "put_hours": round(figures["put_us_per_message"] * count / 3.6e9, 1),
        "destroying_a_tenth_hours": round(figures["destroy_ms_per_message"] * count / 10 / 3.6e6, 1),
    }


def main() -> None:
    """Both ways, and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--packs-of-mib", type=int, default=4)
    chosen = parser.parse_args()
    mail = [os.urandom(SEALED_BYTES) for _ in range(chosen.messages)]
    pack_bytes = chosen.packs_of_mib << 20
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told = {
            "one object a message": measured(mail, work, lambda store: one_each(store, mail), destroy_ones),
            "packs": measured(mail, work, lambda store: in_packs(store, mail, pack_bytes), destroy_in_packs),
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
