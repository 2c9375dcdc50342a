"""The outside world of the demonstration: a mail server with a good certificate and one with none.

Runs as a process of its own (``python -m appliance.demo.receiving_servers FOLDER SECURE_PORT PLAIN_PORT``) and
writes what it receives below FOLDER, which is somebody else's disk, not the appliance's.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from itertools import count
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from appliance.demo.cast import PLAIN_MX, SECURE_MX


class FolderHandler:
    """Keeps each received message as one file; its first line says how the message travelled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        folder.mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's hook name)
        """Write the message and answer 250."""
        cipher = session.ssl.get("cipher", ("none",))[0] if session.ssl else "none"
        line = f"X-Arrived: tls={cipher} rcpt={','.join(envelope.rcpt_tos)}\r\n"
        path = self._folder / f"{next(self._numbers):04d}.eml"
        path.write_bytes(line.encode() + bytes(envelope.content))
        return "250 2.0.0 kept"


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS for the server that has a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def run(folder: Path, secure_port: int, plain_port: int) -> None:
    """Serve both until the process is ended."""
    loop = asyncio.get_running_loop()
    context = server_context(folder / "server.pem", folder / "server.key")
    secure, plain = FolderHandler(folder / "secure"), FolderHandler(folder / "plain")
    await loop.create_server(lambda: SMTP(secure, hostname=SECURE_MX, tls_context=context), "127.0.0.1", secure_port)
    await loop.create_server(lambda: SMTP(plain, hostname=PLAIN_MX), "127.0.0.1", plain_port)
    print("receiving", flush=True)  # noqa: T201 (the parent waits for this line)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
