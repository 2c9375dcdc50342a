"""Core: the link in a notice. A locator and nothing else.

Whoever holds the link holds no right: it opens nothing, burns nothing, and following it counts nobody as a reader.
A mail scanner that fetches or clicks it sees the sign-in page. After signing in it leads to the conversation, if
the person may open that.
"""

from __future__ import annotations

import re

from mailstore.message import MessageId

_LOCATOR = re.compile(r"[a-z2-7]{26}")


def locator_of(message: MessageId) -> str:
    """What stands in the link: the message's own random name, which says nothing about it."""
    return message


def message_of(locator: str) -> MessageId | None:
    """The message a locator names, or None when it is not of our making."""
    return MessageId(locator) if _LOCATOR.fullmatch(locator) else None


def link(origin: str, message: MessageId) -> str:
    """The address that a notice carries, such as ``https://mail.clinic.example/m/abc...``."""
    return f"{origin.rstrip('/')}/m/{locator_of(message)}"
