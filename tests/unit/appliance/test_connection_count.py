"""So many connections at a time, from everywhere and from one network."""

from __future__ import annotations

from appliance.connection_count import ConnectionCount


def test_neighbours_in_one_network_share_its_room() -> None:
    count = ConnectionCount(in_all=10, of_one_network=2)
    assert count.enter("2001:db8::1")
    assert count.enter("2001:db8::2")
    assert not count.enter("2001:db8::3")
    assert count.enter("2001:db8:0:1::1")
    count.leave("2001:db8::1")
    assert count.enter("2001:db8::3")


def test_there_is_no_more_room_than_for_all() -> None:
    count = ConnectionCount(in_all=3, of_one_network=2)
    assert [count.enter(f"::ffff:192.0.2.{number}") for number in range(5)] == [True, True, True, False, False]
