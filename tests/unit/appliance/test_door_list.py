from __future__ import annotations

import json
import os
from concurrent.futures import Future
from dataclasses import replace

import pytest

from appliance import door_list
from appliance.delivery_plan import Located, Place
from appliance.door_list import DoorCost, DoorList
from appliance.sealed_addresses import MOST_OF_ONE_PEER, MOST_WAITING, SealedAddresses
from appliance.smtp_door import CannotTellError
from mailstore.addresses import Address, parse_mailbox
from mailstore.errors import TamperedError

LOOKUP_KEY, ROW_KEY = b"\x01" * 32, b"\x02" * 32
LIGHT = DoorCost(8, 1)
ALICE, BOB = "alice@clinic.example", "bob@clinic.example"
PEER = "192.0.2.1"


def listed(*addresses: str, old: DoorList | None = None, caretaker: bool = True) -> DoorList:
    return door_list.brought_up_to_date(
        old, addresses, has_caretaker=caretaker, lookup_key=LOOKUP_KEY, randomness=os.urandom, cost=LIGHT
    )


def found(addresses: SealedAddresses, address: str | Address, peer: str = PEER) -> Place:
    located = addresses.find(parse_mailbox(address) if isinstance(address, str) else address, peer=peer)
    return (located if isinstance(located, Located) else located.result(5)).place


def sealed(door: DoorList | None) -> SealedAddresses:
    return SealedAddresses(door, domains=["clinic.example"])


def test_same_answers_as_the_directory_gives() -> None:
    addresses = sealed(listed(ALICE))
    for text, place in {
        ALICE: Place.HERE,
        "ALICE@Clinic.Example": Place.HERE,
        BOB: Place.UNKNOWN_HERE,
        "alice+x@clinic.example": Place.UNKNOWN_HERE,
        "postmaster@clinic.example": Place.HERE,
        "abuse@clinic.example": Place.HERE,
        "notices@clinic.example": Place.HERE,
        "notices+abc.1.0123@clinic.example": Place.HERE,
        "postmaster+x@clinic.example": Place.UNKNOWN_HERE,
        "alice@elsewhere.example": Place.OUTSIDE,
    }.items():
        assert found(addresses, text) is place, text
        assert found(addresses, text) is place, f"{text}, remembered"


def test_nobody_reads_the_postmasters_mail_before_anybody_works_here() -> None:
    assert found(sealed(listed(caretaker=False)), "postmaster@clinic.example") is Place.UNKNOWN_HERE


def test_without_a_list_nobody_is_refused_for_good() -> None:
    addresses = sealed(None)
    with pytest.raises(CannotTellError):
        addresses.find(parse_mailbox(ALICE), peer=PEER)
    assert found(addresses, "alice@elsewhere.example") is Place.OUTSIDE


def test_list_shows_neither_addresses_nor_how_many_there_are() -> None:
    empty, full = (door_list.to_text(listed(*some), row_key=ROW_KEY) for some in ((), (ALICE, BOB)))
    assert len(empty) == len(full)
    for canary in ("alice@", "bob@", "clinic."):  # a few letters come by chance in so much base64
        assert canary not in full
    assert json.loads(full)["entries"] == sorted(json.loads(full)["entries"], key=lambda pair: _raw(pair[0]))


def _raw(text: str) -> bytes:
    import base64  # noqa: PLC0415 - one line of one test

    return base64.b64decode(text)


def test_digests_are_kept_and_a_removed_address_is_refused_again() -> None:
    first = listed(ALICE)
    second = listed(ALICE, BOB, old=first)
    assert len(set(first.entries) & set(second.entries)) == len(first.entries) - 1
    third = listed(BOB, old=second)
    assert found(sealed(third), ALICE) is Place.UNKNOWN_HERE
    assert found(sealed(third), BOB) is Place.HERE


def test_room_grows_in_steps() -> None:
    assert len(listed(*(f"person{number}@clinic.example" for number in range(70))).entries) == 128


def test_list_is_read_back_and_a_changed_one_is_noticed_by_whoever_has_the_key() -> None:
    text = door_list.to_text(listed(ALICE), row_key=ROW_KEY)
    assert door_list.verified(text, row_key=ROW_KEY) == door_list.unverified(text)
    told = json.loads(text)
    for change in (
        {"has_caretaker": False},
        {"entries": told["entries"][1:]},
        {"seal": "0" * 64},
        {"memory_kib": 16},
    ):
        changed = json.dumps({**told, **change})
        door_list.unverified(changed)
        with pytest.raises(TamperedError):
            door_list.verified(changed, row_key=ROW_KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": 1 << 30},
        {"passes": 1000},
        {"format": "strongroom/door-list/v9"},
        {"salt": "AA=="},
        {"entries": [["AA==", "AA=="]]},
        {"entries": 5},
    ],
)
def test_list_that_would_exhaust_the_machine_or_is_none_is_refused(change: dict[str, object]) -> None:
    told = json.loads(door_list.to_text(listed(ALICE), row_key=ROW_KEY))
    with pytest.raises(TamperedError):
        door_list.unverified(json.dumps({**told, **change}))


def test_flood_of_unknown_addresses_is_put_off_and_known_ones_are_still_taken() -> None:
    """One peer gets a few looks at a time, all together get a bounded number, remembered answers cost nothing."""
    addresses = sealed(replace(listed(ALICE), cost=DoorCost(64, 1)))
    slow = sealed(
        door_list.brought_up_to_date(
            None, [ALICE], has_caretaker=True, lookup_key=LOOKUP_KEY, randomness=os.urandom, cost=DoorCost(16 * 1024, 2)
        )
    )
    assert found(addresses, BOB) is Place.UNKNOWN_HERE
    assert found(slow, ALICE) is Place.HERE
    waiting: list[Future[Located]] = []
    put_off = 0
    for peer in range(30):
        for number in range(2 * MOST_OF_ONE_PEER):
            try:
                asked = slow.find(parse_mailbox(f"x{peer}-{number}@clinic.example"), peer=f"192.0.2.{peer}")
            except CannotTellError:
                put_off += 1
            else:
                assert isinstance(asked, Future)
                waiting.append(asked)
    assert len(waiting) <= MOST_WAITING + 16
    assert put_off >= 30 * MOST_OF_ONE_PEER
    assert found(slow, ALICE, peer="192.0.2.0") is Place.HERE
    slow.close()
