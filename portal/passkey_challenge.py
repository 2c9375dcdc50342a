"""Core: challenges for signing in with a passkey that cost us nothing to make.

Anybody may ask for one before anything is proved, so that keeping each would let strangers write rows. A challenge is
instead the time and a keyed mark over it and the visitor's own session id (WebAuthn level 3 section 13.4.3 asks for
16 unguessable bytes at the least): whether it is ours, for whom and how old is read off the answer that brings it back.
"""

from __future__ import annotations

import hmac
import json
from datetime import datetime, timedelta
from typing import Final

from webauthn import base64url_to_bytes

from mailstore.instants import EPOCH, instant_of, microseconds

LIFE: Final = timedelta(minutes=5)
STAMP_BYTES: Final = 8
MARK_BYTES: Final = 24
LONGEST_ANSWER: Final = 32_768
"""Characters of JSON; a real answer has about two thousand."""


def made(session_id: str, now: datetime, *, key: bytes) -> bytes:
    """A challenge for whoever holds this session id, from now on for ``LIFE``."""
    stamp = microseconds(now).to_bytes(STAMP_BYTES, "big")
    return stamp + _mark(stamp, session_id, key)


def made_at(challenge: bytes, session_id: str, *, key: bytes) -> datetime | None:
    """When the challenge was made for this session id; None for one that was not."""
    stamp, mark = challenge[:STAMP_BYTES], challenge[STAMP_BYTES:]
    if not hmac.compare_digest(mark, _mark(stamp, session_id, key)):
        return None
    return instant_of(int.from_bytes(stamp, "big"))


def is_in_time(begun: datetime, now: datetime) -> bool:
    """True while a challenge of this time may be answered. One from the future is from before a clock set back."""
    return EPOCH <= begun <= now < begun + LIFE


def answered(answer: str) -> bytes:
    """The challenge that a browser's answer says it signed (WebAuthn level 3 section 5.8.1); empty without one."""
    if len(answer) > LONGEST_ANSWER:
        return b""
    try:
        told = json.loads(base64url_to_bytes(str(json.loads(answer)["response"]["clientDataJSON"])))
        return base64url_to_bytes(str(told["challenge"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return b""


def _mark(stamp: bytes, session_id: str, key: bytes) -> bytes:
    return hmac.digest(key, b"passkey challenge\0" + stamp + session_id.encode(), "sha256")[:MARK_BYTES]
