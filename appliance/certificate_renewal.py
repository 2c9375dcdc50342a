"""A server's TLS that takes a renewed certificate by itself: a restart would seal a box that needs a passphrase.

Connections that are there keep the certificate they began with; those that come get the new one.
"""

from __future__ import annotations

import logging
import ssl
import threading
import weakref
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
    told = (weakref.ref(context), directory, seen, look_seconds)
    threading.Thread(target=_look, args=told, name="certificate", daemon=True).start()
    return context


def _look(served: weakref.ref[ssl.SSLContext], directory: Path, seen: _Seen, look_seconds: float) -> None:
    """Look until nobody serves with the context any more. What could not be taken is tried again when it changes."""
    pause = threading.Event()
    while not pause.wait(look_seconds) and (context := served()) is not None:
        found = _seen(directory)
        if found != seen:
            _take(context, directory)
            seen = found
        del context


def _take(context: ssl.SSLContext, directory: Path) -> None:
    """Tried on a context of its own first: one that failed half way would serve neither certificate."""
    try:
        server_context(directory)
        context.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE)
    except (ssl.SSLError, OSError) as error:
        logger.warning("renewed certificate not usable", extra={"error": type(error).__name__})
    else:
        logger.info("certificate renewed")


def _seen(directory: Path) -> _Seen:
    """What tells one state of the two files from another."""
    stats = [path.stat() for path in (directory / CERTIFICATE_FILE, directory / KEY_FILE) if path.exists()]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)
