"""Messages under way hold a bounded amount of memory together."""

from __future__ import annotations

from appliance.data_budget import FREE_OCTETS, DataBudget


def test_one_network_leaves_room_for_others_and_gives_back_what_it_took() -> None:
    budget = DataBudget(in_all=300, of_one_network=200)
    with budget.share("2001:db8::1") as one, budget.share("2001:db8::2") as neighbour, budget.share("192.0.2.1") as far:
        assert one.grow(FREE_OCTETS + 150)
        assert not neighbour.grow(FREE_OCTETS + 51)
        assert far.grow(FREE_OCTETS + 100)
        assert not far.grow(51)
    with budget.share("192.0.2.1") as far, budget.share("192.0.2.2") as other:
        assert far.grow(FREE_OCTETS + 200)
        assert not other.grow(FREE_OCTETS + 101)


def test_small_messages_always_have_room() -> None:
    budget = DataBudget(in_all=0, of_one_network=0)
    with budget.share("192.0.2.1") as share:
        assert share.grow(FREE_OCTETS)
        assert not share.grow(1)
