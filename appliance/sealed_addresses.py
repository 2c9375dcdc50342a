"""Which addresses are ours while nothing can be opened: asked by every RCPT of the sealed door.

The answers are those of ``directory.Directory``, made from the door list alone. A look costs some 50 ms of one
processor, so it is done by one thread that gives way to all other work, answers are remembered, and whoever asks
faster than that is told to come back: mail that is refused for now is sent again, mail that is bounced is lost.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from appliance import door_list
from appliance.delivery_plan import Located, Place
from appliance.directory import is_for_caretaker
from appliance.door_list import DoorList
from appliance.smtp_door import CannotTellError
from mailstore.addresses import Address, BadAddressError, canonical_domain
from mailstore.message import AccountId
from mailstore.peer_network import network_of

NICENESS: Final = 10
MOST_WAITING: Final = 64
MOST_OF_ONE_PEER: Final = 4
MOST_REMEMBERED: Final = 10_000


def read(path: Path) -> DoorList | None:
    """The list as it lies there; None without one. ``TamperedError`` when it is none."""
    try:
        return door_list.unverified(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


class SealedAddresses:
    """The addresses of one sealed appliance. Asked by the loop that serves the peers; looks are done elsewhere."""

    def __init__(self, door: DoorList | None, *, domains: Collection[str]) -> None:
        """``door`` is None when there is no list: then nothing is said about any address of ours."""
        self._door = door
        self._domains = frozenset(canonical_domain(domain) for domain in domains)
        self._ours: set[str] = set()
        self._unknown: set[str] = set()
        self._asking: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="door-list", initializer=_give_way)

    def find(self, address: Address, *, peer: str) -> Located | Future[Located]:
        """Where an address belongs, now or after a look. Raises ``CannotTellError`` when there are too many looks."""
        if not self._is_our_domain(address):
            return Located(address, Place.OUTSIDE)
        if self._door is None:
            raise CannotTellError("there is no door list", fix="unseal: it is then written")
        if self._door.has_caretaker and is_for_caretaker(address):
            return Located(address, Place.HERE)
        with self._lock:
            if address.canonical in self._ours:
                return Located(address, Place.HERE)
            if address.canonical in self._unknown:
                return Located(address, Place.UNKNOWN_HERE)
            network = network_of(peer)
            self._admit(network)
        return self._looks.submit(self._look, self._door, address, network)

    def owns(self, _account: AccountId, _address: Address) -> bool:
        """Never: nobody can sign in."""
        return False

    def close(self) -> None:
        """Look at no more addresses."""
        self._looks.shutdown(cancel_futures=True)

    def _admit(self, network: str) -> None:
        if self._asking.total() >= MOST_WAITING or self._asking[network] >= MOST_OF_ONE_PEER:
            raise CannotTellError("too many addresses are being looked for")
        self._asking[network] += 1

    def _look(self, door: DoorList, address: Address, network: str) -> Located:
        canonical = address.canonical
        try:
            is_ours = door.holds(door.digest_of(canonical))
        finally:
            with self._lock:
                self._asking -= Counter({network: 1})
        with self._lock:
            remembered = self._ours if is_ours else self._unknown
            if len(remembered) >= MOST_REMEMBERED:
                remembered.clear()
            remembered.add(canonical)
        return Located(address, Place.HERE if is_ours else Place.UNKNOWN_HERE)

    def _is_our_domain(self, address: Address) -> bool:
        try:
            return canonical_domain(address.domain) in self._domains
        except BadAddressError:
            return False


def _give_way() -> None:
    """Linux has a niceness for each thread (sched(7))."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
