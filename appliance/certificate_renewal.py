"""A server's TLS that takes a renewed certificate by itself: a restart would seal a box that needs a passphrase.

Connections that are there keep the certificate they began with; those that come get the new one.
"""

from __future__ import annotations

import logging
import ssl
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from appliance.tls_certificates import CERTIFICATE_FILE, KEY_FILE, server_context

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 30.0
"""How long a renewed certificate may lie there before it is used."""

_Seen = tuple[tuple[int, int, int], ...]


def renewed_context(
    directory: Path, protocols: Sequence[str] = (), *, look_seconds: float = LOOK_SECONDS
) -> ssl.SSLContext:
    """As ``tls_certificates.server_context``, with whatever certificate lies in the directory from now on.

    ``protocols`` are those that a client may choose between (ALPN, RFC 7301).

    A certificate and a key that do not belong together are not taken: one of them is being written, or is a mistake
    that ``doctor`` names.
    """
    seen = _seen(directory)
    made = partial(_made, directory, tuple(protocols))
    context = made()
    told = (weakref.ref(context), made, partial(_seen, directory), seen, look_seconds)
    threading.Thread(target=_look, args=told, name="certificate", daemon=True).start()
    return context


def _made(directory: Path, protocols: Sequence[str]) -> ssl.SSLContext:
    context = server_context(directory)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def _look(
    served: weakref.ref[ssl.SSLContext],
    made: Callable[[], ssl.SSLContext],
    look: Callable[[], _Seen],
    seen: _Seen,
    look_seconds: float,
) -> None:
    """Look until nobody serves with the context any more. What could not be taken is tried again when it changes."""
    pause = threading.Event()
    while not pause.wait(look_seconds) and (context := served()) is not None:
        found = look()
        if found != seen:
            _take(context, made)
            seen = found
        del context


def _take(context: ssl.SSLContext, made: Callable[[], ssl.SSLContext]) -> None:
    """Every handshake from now on is answered by a context of its own with the renewed certificate.

    The one that is served with stays as it is: while OpenSSL puts another certificate into it, a handshake would find
    none (SSL_CTX_use_certificate(3)). Whom a client names makes no difference; it is asked for none either.
    """
    try:
        renewed = made()
    except (ssl.SSLError, OSError) as error:
        logger.warning("renewed certificate not usable", extra={"error": type(error).__name__})
        return

    def answer(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _served: ssl.SSLContext) -> None:
        connection.context = renewed

    context.sni_callback = answer
    logger.info("certificate renewed")


def _seen(directory: Path) -> _Seen:
    """What tells one state of the two files from another."""
    stats = [path.stat() for path in (directory / CERTIFICATE_FILE, directory / KEY_FILE) if path.exists()]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)
