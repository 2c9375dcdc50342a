"""The body of a request, read where no framework reads it, as far as it may go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""How a request is heard (ASGI)."""


async def read(receive: Receive, *, at_most: int) -> bytes | None:
    """What was sent; None when it is longer than ``at_most`` bytes, or never ends."""
    body = b""
    while True:
        told = await receive()
        if told["type"] != "http.request":
            return None
        body += bytes(told.get("body", b""))
        if len(body) > at_most:
            return None
        if not told.get("more_body", False):
            return body
