"""Strangers are counted by what they cannot change at will."""

from __future__ import annotations

import pytest

from mailstore.peer_network import network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:DB8:0:1::", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("", ""),
        ("192.0.2.1, 198.51.100.1", "192.0.2.1, 198.51.100.1"),
    ],
)
def test_an_address_counts_as_its_network(peer: str, network: str) -> None:
    assert network_of(peer) == network
