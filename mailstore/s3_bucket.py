"""One bucket of a server that speaks S3, as requests: signed, bounded in time and number, answered in our errors.

Every adapter that talks S3 goes through here, so that there is one place that decides what is tried again and what a
silent server costs. A server that has just been silent is not asked for a moment: whoever reads a message must not
wait for it once more.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import TypeVar

from minio import Minio
from minio.credentials.providers import Provider
from minio.datatypes import Object
from minio.error import S3Error
from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout

from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.object_store_url import ObjectStoreUrl
from mailstore.s3_faults import FAULTS, Fault, fault_of

OBJECT_BYTES_MAX = 256 * 1024 * 1024
"""More than any object that we make: an answer that is longer is not read on."""

PAUSES = (0.1, 0.5)
"""Seconds before the second and the third attempt, which only a fault that may pass gets."""

SILENCE_SECONDS = 2.0
_CHUNK = 1 << 18
_PAGE = 1000

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Limits:
    """What one process may cost the server, and a silent server us.

    ``connections`` at a time; ``silence_seconds`` for each connect, send and read; ``call_seconds`` for a whole answer.
    """

    connections: int = 8
    silence_seconds: float = 10.0
    call_seconds: float = 60.0


@dataclass(frozen=True)
class Reply:
    """What the server answered to a request that it did."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class RefusedByStore(Exception):  # noqa: N818 - an answer that the caller asked for, not an error of ours
    """The server said no to a single request, and the caller named the answers it can use."""

    def __init__(self, fault: Fault, *, is_first_answer: bool) -> None:
        super().__init__(fault.code)
        self.fault = fault
        self.is_first_answer = is_first_answer


class S3Bucket:
    """Requests to one bucket. Safe to use from many threads of one process."""

    def __init__(
        self,
        url: ObjectStoreUrl,
        credentials: Provider,
        *,
        region: str = "us-east-1",
        ca_file: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.url = url
        self.limits = limits or Limits()
        self._turns = threading.BoundedSemaphore(self.limits.connections)
        self._silent_until = 0.0
        self._last_fault: Fault | None = None
        self._client = _Client(
            url.endpoint,
            credentials=credentials,
            secure=url.is_tls,
            region=region,
            http_client=_pool(url, ca_file, self.limits),
        )

    def key(self, name: str) -> str:
        """The key of an object in the bucket."""
        return f"{self.url.prefix}/{name}" if self.url.prefix else name

    def request(
        self,
        method: str,
        name: str | None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        expects: tuple[int, ...] = (),
    ) -> Reply:
        """One request about the object, or about the bucket when ``name`` is None.

        Raises ``RefusedByStore`` for an HTTP status in ``expects``, and ``StorageUnavailableError`` for all else that
        is not done.
        """
        key = None if name is None else self.key(name)

        def act() -> Reply:
            answer = self._client.request(
                method, self.url.bucket, key, body=body, headers=dict(headers or {}), query=dict(query or {})
            )
            return Reply(answer.status, answer.headers, self._read(answer))

        return self.attempted(act, expects=expects)

    def versions(self, name: str) -> list[Object]:
        """Every version and delete marker of one object."""
        key = self.key(name)
        return [each for each in self.attempted(lambda: list(self._listed(key))) if each.object_name == key]

    def names(self, beginning: str = "") -> Iterator[str]:
        """Every name with this beginning of which any version is there, a page of requests at a time."""
        last = ""
        while True:
            page = self._page(beginning, last)
            for each in page:
                if each.object_name and each.object_name != last:
                    last = each.object_name
                    yield last.removeprefix(self.key(""))
            if len(page) < _PAGE:
                return

    def current(self, beginning: str = "") -> Iterator[tuple[str, int]]:
        """Name and length of every object with this beginning. Needs no right to see versions."""
        last = ""
        while True:
            page = self._current_page(beginning, last)
            for each in page:
                last = each.object_name or last
                yield last.removeprefix(self.key("")), each.size or 0
            if len(page) < _PAGE:
                return

    def unfinished_uploads(self, name: str) -> list[str]:
        """The ids of uploads in parts that were begun under this name and never finished."""
        key = self.key(name)
        found = self.attempted(lambda: self._client.unfinished(self.url.bucket, key))
        return [upload for upload_key, upload in found if upload_key == key]

    def exists(self) -> bool:
        """True when the bucket is there and we may use it. A GET, because the answer to a HEAD does not say why."""
        try:
            self.request("GET", None, query={"location": ""}, expects=(404,))
        except RefusedByStore as refusal:
            if refusal.fault.code == "NoSuchBucket":
                return False
            raise refusal.fault.as_error() from refusal
        return True

    def make(self) -> bool:
        """Make the bucket with versions and object lock; without lock where the server has none. False: it is there."""
        if self.exists():
            return False
        try:
            self.attempted(lambda: self._client.make_bucket(self.url.bucket, object_lock=True), expects=(400, 501))
        except RefusedByStore:
            self.attempted(lambda: self._client.make_bucket(self.url.bucket))
        return True

    def attempted(self, act: Callable[[], _Answer], *, expects: tuple[int, ...] = ()) -> _Answer:
        """Do it, again when the fault may pass. Raises as ``request`` does."""
        for pause in (*PAUSES, None):
            try:
                with self._turn():
                    return act()
            except FAULTS as error:
                fault = fault_of(error, endpoint=self.url.endpoint)
                if fault.status in expects and isinstance(error, S3Error):
                    raise RefusedByStore(fault, is_first_answer=pause == PAUSES[0]) from error
                if pause is None or not fault.may_pass:
                    self._remember(fault)
                    raise fault.as_error() from error
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One of the connections, or an error within a bounded time."""
        if self._last_fault is not None and time.monotonic() < self._silent_until:
            raise self._last_fault.as_error()
        if not self._turns.acquire(timeout=self.limits.silence_seconds):
            raise StorageUnavailableError(
                "the object store has more to do than it can", fix="look into the object store's own log"
            )
        try:
            yield
        finally:
            self._turns.release()

    def _remember(self, fault: Fault) -> None:
        if fault.status == 0:
            self._last_fault = fault
            self._silent_until = time.monotonic() + SILENCE_SECONDS

    def _read(self, answer: BaseHTTPResponse) -> bytes:
        """The whole body. The connection goes back to the pool only after that."""
        try:
            _refuse_cut_headers(answer)
            body = b"".join(_bounded(answer, ends=time.monotonic() + self.limits.call_seconds))
        except BaseException:
            answer.close()
            raise
        answer.release_conn()
        return body

    def _page(self, beginning: str, after: str) -> list[Object]:
        return self.attempted(lambda: list(islice(self._listed(self.key(beginning), after), _PAGE)))

    def _current_page(self, beginning: str, after: str) -> list[Object]:
        start = self.key(after) if after else ""
        return self.attempted(lambda: list(islice(self._listed(self.key(beginning), start, has_versions=False), _PAGE)))

    def _listed(self, prefix: str, after: str = "", *, has_versions: bool = True) -> Iterable[Object]:
        found: Iterable[Object] = self._client.list_objects(
            self.url.bucket, prefix=prefix, recursive=True, start_after=after or None, include_version=has_versions
        )
        return found


class _Client(Minio):
    """The library's client, with the single request that it is made of: conditions and modes have no other way in."""

    def request(
        self,
        method: str,
        bucket: str,
        key: str | None,
        *,
        body: bytes | None,
        headers: dict[str, str | list[str] | tuple[str]],
        query: dict[str, str | list[str] | tuple[str]],
    ) -> BaseHTTPResponse:
        """Send one signed request; its body is left to be read."""
        return self._execute(method, bucket, key, body=body, headers=headers, query_params=query, preload_content=False)

    def unfinished(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Key and id of each upload in parts that was not finished."""
        found = self._list_multipart_uploads(bucket, prefix=prefix)
        return [(upload.object_name, upload.upload_id or "") for upload in found.uploads]


def _refuse_cut_headers(answer: BaseHTTPResponse) -> None:
    """An answer that broke off within its headers looks like an empty one: whole ones say how long they are.

    RFC 9112 section 6.3 lets a server leave the length out and close the connection; no S3 server does.
    """
    is_chunked = "Transfer-Encoding" in answer.headers
    if answer.status != HTTPStatus.NO_CONTENT and not is_chunked and "Content-Length" not in answer.headers:
        raise ConnectionError("the answer broke off within its headers")


def _bounded(answer: BaseHTTPResponse, *, ends: float) -> Iterator[bytes]:
    """The body as it comes, in bounded time and memory."""
    size = 0
    while chunk := answer.read1(_CHUNK, decode_content=False):
        yield chunk
        size += len(chunk)
        if size > OBJECT_BYTES_MAX:
            raise TamperedError("the object store gave back more than any object is long")
        if time.monotonic() > ends:
            raise TimeoutError("the answer came too slowly")


def _pool(url: ObjectStoreUrl, ca_file: Path | None, limits: Limits) -> PoolManager:
    """Connections that follow no redirect and repeat nothing by themselves: ``attempted`` decides that."""
    return PoolManager(
        num_pools=1,
        maxsize=limits.connections,
        block=True,
        timeout=Timeout(connect=limits.silence_seconds, read=limits.silence_seconds),
        retries=Retry(total=False, redirect=False),
        ssl_context=ssl.create_default_context(cafile=ca_file) if url.is_tls else None,
    )
