from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from archive.saved_search import AskedSearch
from archive.search_facets import Facet, counts_of
from archive.search_relevance import Order
from portal import facet_words
from portal.search_address import LAST_PAGE, SearchAddress, neighbours

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(lambda text: " ".join(text.split()))
addresses = st.builds(
    SearchAddress,
    st.builds(
        AskedSearch,
        words,
        st.dictionaries(st.sampled_from(Facet), words.filter(bool), max_size=3),
        st.sampled_from(Order),
    ),
    st.integers(1, LAST_PAGE),
    st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - made aware by the next argument
    st.sampled_from(["", "a" * 26]),
)


def read(address: str) -> SearchAddress:
    told = parse_qs(urlsplit(address).query)
    page = int(told.get("page", ["1"])[0])
    return SearchAddress.read(lambda name: told.get(name, [""])[0], page)


@given(addresses)
def test_address_says_the_whole_state_and_nothing_is_lost(address: SearchAddress) -> None:
    assert read(address.at()) == address
    assert read(address.at("/archive/" + "b" * 26)) == address


@given(addresses, st.sampled_from(Facet), words.filter(bool))
def test_facet_that_is_added_and_removed_leaves_what_was_there(
    address: SearchAddress, facet: Facet, value: str
) -> None:
    narrowed = address.with_facet(facet, value)
    assert narrowed.asked.chosen[facet] == value
    assert narrowed.page == 1
    assert facet not in narrowed.with_facet(facet, "").asked.chosen


def test_neighbours_are_those_of_the_same_page() -> None:
    address = SearchAddress(AskedSearch("knee"))
    found = neighbours(address, ["x", "y", "z"], "y")
    assert (found.before, found.after) == ("/archive/x?q=knee", "/archive/z?q=knee")
    assert neighbours(address, ["x", "y"], "x").before == ""
    assert neighbours(address, ["x", "y"], "w") == neighbours(address, [], "x")


def test_most_frequent_values_are_shown_and_the_chosen_facet_is_a_chip() -> None:
    tallies = [(Facet.DOMAIN, f"d{number}.example", number) for number in range(1, 12)]
    tallies += [(Facet.YEAR, "2024", 9), (Facet.YEAR, "2026", 1), (Facet.MAILBOX, "ruiz@clinic.example", 2)]
    counts = counts_of(tallies, total=66)
    names = {"ruiz@clinic.example": "Dr Ruiz"}
    address = SearchAddress(AskedSearch("knee", {Facet.ATTACHMENT: "yes"}))
    years, mailboxes, domains = facet_words.groups(address, counts, names)
    assert [value.words for value in years.values] == ["2026", "2024"]
    assert mailboxes.values[0].words == "Dr Ruiz (ruiz@clinic.example)"
    assert (domains.values[0].words, domains.values[0].count, domains.more) == ("d11.example", 11, 3)
    assert facet_words.chips(address, names) == (("Attachment", "With a file", "/archive?q=knee"),)
