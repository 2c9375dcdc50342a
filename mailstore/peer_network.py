"""Core: Which network an address counts as, wherever strangers are counted.

An IPv4 peer of a socket that listens on IPv6 comes in IPv6 clothes (``::ffff:192.0.2.1``, RFC 4291 section 2.5.5.2) and
counts as the IPv4 address it is: else all of IPv4 would be one neighbour. Anybody else on IPv6 has a /64 at the least
to choose addresses from (RFC 6177, RFC 7421), so that single addresses bound nothing.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

PREFIX_BITS: Final = 64
_REMEMBERED: Final = 1_024


@lru_cache(maxsize=_REMEMBERED)
def network_of(peer: str) -> str:
    """An IPv4 address as it is, the /64 of an IPv6 address, and any other text unchanged."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.IPv6Network((int(address), PREFIX_BITS), strict=False))
