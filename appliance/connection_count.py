"""Connections counted by the network they come from, in one process and for one purpose."""

from __future__ import annotations

from collections import Counter

from mailstore.peer_network import network_of


class ConnectionCount:
    """So many at a time, from everywhere and from one network. Not for several threads."""

    def __init__(self, *, in_all: int, of_one_network: int) -> None:
        self._in_all = in_all
        self._of_one_network = of_one_network
        self._by_network: Counter[str] = Counter()

    def enter(self, peer: str) -> bool:
        """Count one more connection from this address; False, and nothing counted, when there is no room for it."""
        network = network_of(peer)
        if self._by_network.total() >= self._in_all or self._by_network[network] >= self._of_one_network:
            return False
        self._by_network[network] += 1
        return True

    def leave(self, peer: str) -> None:
        """One connection from this address, which was let in, is over."""
        network = network_of(peer)
        self._by_network[network] -= 1
        if self._by_network[network] <= 0:
            del self._by_network[network]
