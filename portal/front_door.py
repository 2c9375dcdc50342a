"""Core: what the portal asks of the floor above: to take a message, and to say beforehand how it would travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mailstore.actor import Actor
from mailstore.addresses import Address
from mailstore.message import MessageId, ReceivedMessage, Route


@dataclass(frozen=True)
class Accepted:
    """The message is durably ours; from here the loss would be ours too (RFC 5321 section 6.1)."""

    message_id: MessageId


@dataclass(frozen=True)
class Refused:
    """The message was not taken. ``code`` is for programs, ``message`` for the person who sent it."""

    code: str
    message: str


class FrontDoor(Protocol):
    """The one way into the house, the same for SMTP, webmail and the portal."""

    def accept(self, received: ReceivedMessage, actor: Actor | None) -> Accepted | Refused:
        """Decide on the message and store it durably, in the name of ``actor``."""
        ...


@dataclass(frozen=True)
class PreviewedRoute:
    """How a message would reach one recipient, and why, in plain words.

    ``is_possible`` is False when it cannot be sent to this address at all.
    """

    address: Address
    route: Route
    reasons: tuple[str, ...] = field(repr=False)
    is_possible: bool = True


class RoutePreview(Protocol):
    """Tells the route of each recipient before anything is sent."""

    def preview(self, addresses: Sequence[Address]) -> tuple[PreviewedRoute, ...]:
        """One route for each address, in the order given."""
        ...
