"""How many bytes of messages under way the connections of one port may hold together, and one network of them.

A message lies in memory from its first byte until it is stored. The first 128 KB of each are free, so that small mail
goes on coming while others fill the rest with large mail: all connections together can take no more of that than
their number allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mailstore.peer_network import network_of

FREE_OCTETS: Final = 131_072


class DataShare:
    """What one message under way takes of the budget."""

    def __init__(self, budget: DataBudget, network: str) -> None:
        self._budget = budget
        self._network = network
        self._octets = 0
        self._taken = 0

    def grow(self, octets: int) -> bool:
        """So many more octets came; False when there is no room for them."""
        self._octets += octets
        more = self._octets - FREE_OCTETS - self._taken
        if more <= 0:
            return True
        if not self._budget.take(self._network, more):
            return False
        self._taken += more
        return True

    def give_back(self) -> None:
        """The octets are forgotten, or stored."""
        self._budget.give_back(self._network, self._taken)
        self._octets = self._taken = 0


class DataBudget:
    """Octets beyond the free ones, counted in all and by network. Not for several threads."""

    def __init__(self, *, in_all: int, of_one_network: int) -> None:
        self._in_all = in_all
        self._of_one_network = of_one_network
        self._by_network: Counter[str] = Counter()

    @contextmanager
    def share(self, peer: str) -> Iterator[DataShare]:
        """The share of one message from this address, given back at the end."""
        share = DataShare(self, network_of(peer))
        try:
            yield share
        finally:
            share.give_back()

    def take(self, network: str, octets: int) -> bool:
        """Count so many octets more; False, and nothing counted, when there is no room for them."""
        taken = self._by_network[network] + octets
        if taken > self._of_one_network or self._by_network.total() + octets > self._in_all:
            return False
        self._by_network[network] = taken
        return True

    def give_back(self, network: str, octets: int) -> None:
        """So many octets that were taken are free again."""
        self._by_network[network] -= octets
        if self._by_network[network] <= 0:
            del self._by_network[network]
