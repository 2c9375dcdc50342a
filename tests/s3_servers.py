"""Real servers that speak S3, on loopback with random keys and ports: MinIO and SeaweedFS.

``minio()`` and ``seaweedfs()`` start one server a test process at the first call and end it with the process. A test
that kills or starves a server starts one of its own. A server that is not installed is a failure, not a skipped test.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mailstore import object_store_url
from mailstore.errors import StorageUnavailableError
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import Limits, S3Bucket
from mailstore.s3_credentials import CredentialsFile
from tests.build_minio import MINIO
from tests.free_ports import free_port

READY_SECONDS = 60.0


@dataclass
class S3Server:
    """A server that runs, or can be started again with what it holds."""

    kind: str
    port: int
    directory: Path
    access_key: str = field(default_factory=lambda: secrets.token_hex(10))
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    process: subprocess.Popen[bytes] | None = None
    certificates: Path | None = None
    """A folder with ``public.crt`` and ``private.key``: then it speaks TLS alone."""

    sockets: list[Path] = field(default_factory=list)
    """What SeaweedFS leaves in the folder for temporary files, whatever it is told."""

    @property
    def credentials_file(self) -> Path:
        """Access key and secret, a line each."""
        path = self.directory / "credentials"
        if not path.exists():
            path.write_text(f"{self.access_key}\n{self.secret_key}\n", "ascii")
            path.chmod(0o600)
        return path

    def url(self, bucket: str, *, prefix: str = "", port: int | None = None) -> str:
        """What ``init --object-store`` takes; with another port when a proxy stands before it."""
        return f"s3+http://127.0.0.1:{port or self.port}/{bucket}" + (f"?prefix={prefix}" if prefix else "")

    def bucket(
        self, name: str | None = None, *, prefix: str = "", port: int | None = None, limits: Limits | None = None
    ) -> S3Bucket:
        """A bucket, made with lock unless it is there. A fresh name when none is said."""
        name = name or f"test-{secrets.token_hex(6)}"
        S3Bucket(object_store_url.parsed(self.url(name)), CredentialsFile(self.credentials_file)).make()
        url = object_store_url.parsed(self.url(name, prefix=prefix, port=port))
        return S3Bucket(url, CredentialsFile(self.credentials_file), limits=limits)

    def store(self, name: str | None = None, *, port: int | None = None, limits: Limits | None = None) -> S3ObjectStore:
        """An object store that is alone: below a prefix of its own, or in the bucket that is named."""
        prefix = "" if name else secrets.token_hex(6)
        return S3ObjectStore(self.bucket(name or "shared", prefix=prefix, port=port, limits=limits))

    def start(self) -> None:
        """Start it and wait until it answers. Fails when it does not."""
        command, environment = _MAKERS[self.kind](self)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _dying_with_us(command), env={**os.environ, **environment}, stdout=log, stderr=log, cwd=self.directory
            )
        ends = time.monotonic() + READY_SECONDS
        while not self._answers():
            told = (self.directory / "log").read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, f"{self.kind} ended: {told}"
            assert time.monotonic() < ends, f"{self.kind} does not answer: {told}"
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it; what it holds stays for the next ``start``."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None
        for socket_file in self.sockets:
            socket_file.unlink(missing_ok=True)

    def signal(self, how: signal.Signals) -> None:
        """Freeze it (SIGSTOP) or let it go on (SIGCONT)."""
        assert self.process is not None
        self.process.send_signal(how)

    def _answers(self) -> bool:
        """Ready when it makes a bucket for our keys, which may be a moment after it says that it is."""
        try:
            if self.certificates:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return True
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}{_READY_PATHS[self.kind]}", timeout=5).close()
        except urllib.error.HTTPError as error:
            if self.kind != "seaweedfs" or error.code != 403:
                return False
        except OSError:
            return False
        try:
            S3Bucket(object_store_url.parsed(self.url("shared")), CredentialsFile(self.credentials_file)).make()
        except StorageUnavailableError:
            return False
        return True


@cache
def minio() -> S3Server:
    """The MinIO of this test process."""
    return _started(new_server("minio"))


@cache
def seaweedfs() -> S3Server:
    """The SeaweedFS of this test process."""
    return _started(new_server("seaweedfs"))


def new_server(kind: str, directory: Path | None = None) -> S3Server:
    """A server that is not started yet, over ``directory`` or a fresh one that goes with the process."""
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix=f"strongroom-{kind}-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return S3Server(kind, free_port(), directory)


def _started(server: S3Server) -> S3Server:
    atexit.register(server.stop)
    server.start()
    return server


def _minio(server: S3Server) -> tuple[list[str], dict[str, str]]:
    assert MINIO.exists(), f"{MINIO} is not there: run `make minio`"
    keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    tls = ["--certs-dir", str(server.certificates)] if server.certificates else []
    address = f"127.0.0.1:{server.port}"
    return (
        [str(MINIO), "server", "--quiet", *tls, "--address", address, str(server.directory / "data")],
        {**keys, "MINIO_UPDATE": "off", "MINIO_BROWSER": "off", "MINIO_CI_CD": "1"},
    )


def _seaweedfs(server: S3Server) -> tuple[list[str], dict[str, str]]:
    weed = Path(sys.executable).with_name("weed")
    assert weed.exists(), f"{weed} is not there: install the development tools with `make test`"
    credentials = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = {"identities": [{"name": "strongroom", "credentials": credentials, "actions": actions}]}
    (server.directory / "s3.json").write_text(json.dumps(identities), "ascii")
    (server.directory / "data").mkdir(exist_ok=True)
    ports = {name: free_port() for name in ("master", "volume", "filer")}
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    inner = {name: free_port() for name in (*ports, "s3")}
    options += [f"-{name}.port.grpc={port}" for name, port in inner.items()]
    names = [f"{name}-grpc-{port}" for name, port in inner.items()]
    names += [f"s3-{server.port}", f"filer-{ports['filer']}"]
    server.sockets = [Path("/tmp", f"seaweedfs-{name}.sock") for name in names]  # noqa: S108 - it takes no other folder
    return (
        [
            *(str(weed), f"-logdir={server.directory}", "server", f"-dir={server.directory / 'data'}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.port={server.port}", *options),
            *(f"-s3.config={server.directory / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-volume.max=500", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
        ],
        {},
    )


def _dying_with_us(command: list[str]) -> list[str]:
    """The command as a child that the kernel ends when this process ends, however that happens (prctl(2))."""
    code = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", code, *command]


_MAKERS = {"minio": _minio, "seaweedfs": _seaweedfs}
_READY_PATHS = {"minio": "/minio/health/ready", "seaweedfs": "/"}
