"""A certificate authority by ACME on this machine: pebble, which asks machines for proof as a public one does."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

from tests.free_ports import free_port

PEBBLE = "/usr/bin/pebble"
START_SECONDS = 20.0


@dataclass(frozen=True)
class AcmeAuthority:
    """``directory`` is where a client begins; ``own_authority`` signed the authority's own certificate for that."""

    directory: str
    own_authority: Path
    management: str

    @property
    def root(self) -> str:
        """The certificate at the top of what it gives out, in PEM."""
        context = ssl.create_default_context(cafile=str(self.own_authority))
        return httpx.get(f"{self.management}/roots/0", verify=context, timeout=5).text


@contextmanager
def running(folder: Path, *, address: str, name_server: str) -> Iterator[AcmeAuthority]:
    """Answer at an address of this machine for the length of a test; names are looked up at ``name_server``."""
    own = trustme.CA()
    authority, shown = folder / "acme-authority.pem", folder / "acme-server.pem"
    own.cert_pem.write_to_path(str(authority))
    own.issue_cert(address).private_key_and_cert_chain_pem.write_to_path(str(shown))
    port, management = free_port(), free_port()
    told = {
        "listenAddress": f"{address}:{port}",
        "managementListenAddress": f"{address}:{management}",
        "certificate": str(shown),
        "privateKey": str(shown),
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": told}), "utf-8")
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    words = [PEBBLE, "-config", str(folder / "pebble.json"), "-dnsserver", name_server]
    with (folder / "pebble.log").open("wb") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=subprocess.STDOUT)
    made = AcmeAuthority(f"https://{address}:{port}/dir", authority, f"https://{address}:{management}")
    try:
        _wait_for(made, process, folder / "pebble.log")
        yield made
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(authority: AcmeAuthority, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            assert authority.root
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the ACME server does not answer:\n{log.read_text('utf-8')[-2000:]}")
