"""A server's TLS that takes a renewed certificate by itself: a restart would seal a box that needs a passphrase.

Connections that are there keep the certificate they began with; those that come get the new one.
"""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Final

from appliance.tls_certificates import CERTIFICATE_FILE, KEY_FILE, server_context

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 30.0
"""How long a renewed certificate may lie there before it is used."""

_Seen = tuple[tuple[int, int, int], ...]


def renewed_context(directory: Path, *, look_seconds: float = LOOK_SECONDS) -> ssl.SSLContext:
    """As ``tls_certificates.server_context``, with whatever certificate lies in the directory from now on.

    A certificate and a key that do not belong together are not taken: one of them is being written, or is a mistake
    that ``doctor`` names.
    """
    seen = _seen(directory)
    context = server_context(directory)
    looking = threading.Thread(
        target=_look, args=(context, directory, seen, look_seconds), name="certificate", daemon=True
    )
    looking.start()
    return context


def _look(context: ssl.SSLContext, directory: Path, seen: _Seen, look_seconds: float) -> None:
    pause = threading.Event()
    while not pause.wait(look_seconds):
        found = _seen(directory)
        if found != seen and _is_taken(context, directory):
            seen = found


def _is_taken(context: ssl.SSLContext, directory: Path) -> bool:
    """Tried on a context of its own first: one that failed half way would serve neither certificate."""
    try:
        server_context(directory)
        context.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE)
    except (ssl.SSLError, OSError) as error:
        logger.warning("renewed certificate not usable", extra={"error": type(error).__name__})
        return False
    logger.info("certificate renewed")
    return True


def _seen(directory: Path) -> _Seen:
    """What tells one state of the two files from another."""
    stats = [path.stat() for path in (directory / CERTIFICATE_FILE, directory / KEY_FILE) if path.exists()]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)
