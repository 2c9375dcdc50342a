"""The front door while nothing can be opened: takes mail from other servers to the sealed spool, and nothing else.

It decides as ``acceptance`` does on all that can be decided without a key: room, form, size, loops, recipients. What
is taken goes through the ordinary front door when somebody unseals (``sealed_drain``).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from appliance import front_door_wiring, sealed_addresses, smtp_acceptance
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.sealed_addresses import SealedAddresses
from appliance.settings import Settings
from appliance.smtp_acceptance import AcceptanceLimits
from mailstore.actor import Actor
from mailstore.message import MessageId, ReceivedMessage
from mailstore.sealed_spool import SealedSpool
from mailstore.spool_gauge import SpoolGauge
from portal.front_door import Refused


class SealedTaker:
    """Takes messages in, sealed to the capture public key. Safe to call from any thread."""

    def __init__(self, spool: SealedSpool, *, gauge: SpoolGauge, limits: AcceptanceLimits) -> None:
        self._spool = spool
        self._gauge = gauge
        self._limits = limits

    def has_room(self) -> bool:
        """False when the sealed spool is at its cap."""
        return self._gauge.has_room()

    def submit(self, received: ReceivedMessage, _actor: Actor | None) -> Future[MessageId] | Refused:
        """Begin to store a message; the future is done, with the name of its group, when it is durable.

        Raises ``SpoolFullError`` at the cap.
        """
        self._gauge.refuse_when_full()
        problem = smtp_acceptance.content_problem(received.content, self._limits)
        if problem is None and not received.envelope.recipients:
            problem = Refused("no_recipients", "The message has no recipients.")
        if problem is None and len(received.envelope.recipients) > self._limits.recipients:
            problem = Refused("too_many_recipients", f"More than {self._limits.recipients} recipients.")
        return problem or self._spool.submit(received)


@dataclass(frozen=True)
class SealedDoorParts:
    """What a process that takes mail in works with while everything is sealed."""

    settings: Settings
    addresses: SealedAddresses
    taker: SealedTaker
    limits: AcceptanceLimits


@contextmanager
def opened(data: DataDirectory, *, capture_public: bytes) -> Iterator[SealedDoorParts]:
    """The sealed door of a data directory; what is waiting is stored before it closes."""
    settings = front_door_wiring.settings_of(data)
    limits = front_door_wiring.limits_of(settings)
    addresses = SealedAddresses(sealed_addresses.read(data.door_list), domains=[settings.practice.domain])
    spool = SealedSpool(data.sealed_spool, capture_public=capture_public, randomness=RANDOMNESS)
    gauge = SpoolGauge(data.sealed_spool, cap_bytes=settings.spool.cap_bytes)
    try:
        yield SealedDoorParts(settings, addresses, SealedTaker(spool, gauge=gauge, limits=limits), limits)
    finally:
        addresses.close()
        spool.close()
