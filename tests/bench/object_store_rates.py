"""Objects a second through each adapter of the object store: ``python -m tests.bench.object_store_rates``."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailstore.object_layout import new_object_names
from mailstore.object_store import ObjectStore
from mailstore.object_store_local import LocalObjectStore
from tests import s3_servers

BYTES = 3_000
"""A message of 7.6 KB, the median, as it lies in the store: packed and sealed."""

TOGETHER = 64
THREADS = 8
ROUNDS = 5


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--objects", type=int, default=640)
    objects = asked.parse_args().objects
    print(f"{objects} objects of {BYTES} bytes, {TOGETHER} put together, median of {ROUNDS} rounds; objects a second")
    print(f"{'':12}{'put':>8}{'get':>8}{f'get x{THREADS}':>8}{'exists':>8}{'delete':>8}{'CPU/put':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for kind, store in stores(Path(folder)):
            rounds = [rates(store, objects) for _ in range(ROUNDS)]
            told = [statistics.median(each) for each in zip(*rounds, strict=True)]
            print(f"{kind:12}" + "".join(f"{rate:8.0f}" for rate in told[:5]) + f"{told[5] * 1e6:7.0f} us")


def stores(folder: Path) -> Iterator[tuple[str, ObjectStore]]:
    yield "local", LocalObjectStore.made(folder / "objects")
    yield "minio", s3_servers.minio().store()
    yield "seaweedfs", s3_servers.seaweedfs().store()


def rates(store: ObjectStore, count: int) -> list[float]:
    names = [name for _ in range(count // TOGETHER) for name in new_object_names(TOGETHER, os.urandom)]
    some = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    data = {name: os.urandom(BYTES) for name in names}
    began = time.process_time()
    put = rate(len(names), lambda: put_together(store, [{name: data[name] for name in each} for each in some]))
    used = (time.process_time() - began) / len(names)
    got = rate(len(names), lambda: [store.get(name) for name in names])
    with ThreadPoolExecutor(THREADS) as threads:
        got_together = rate(len(names), lambda: list(threads.map(store.get, names)))
        looked = rate(len(names), lambda: list(threads.map(store.exists, names)))
        deleted = rate(len(names), lambda: list(threads.map(store.delete, names)))
    return [put, got, got_together, looked, deleted, used]


def put_together(store: ObjectStore, groups: list[dict[str, bytes]]) -> None:
    for group in groups:
        store.put_all(group)


def rate(count: int, act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
