"""Whose wrong answers are counted together."""

from __future__ import annotations

from portal.throttles import address_subject


def test_neighbours_in_one_ipv6_network_share_their_free_tries() -> None:
    assert address_subject("2001:db8::1") == address_subject("2001:db8::ffff")
    assert address_subject("2001:db8::1") != address_subject("2001:db8:0:1::1")


def test_ipv4_addresses_in_ipv6_clothes_do_not() -> None:
    assert address_subject("::ffff:192.0.2.1") == address_subject("192.0.2.1")
    assert address_subject("::ffff:192.0.2.1") != address_subject("::ffff:192.0.2.2")
