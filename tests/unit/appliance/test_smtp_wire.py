from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.data_budget import DataBudget, DataShare
from appliance.smtp_replies import BARE_LINE_FEED, LINE_TOO_LONG
from appliance.smtp_wire import ConnectionEndedError, SmtpWire, Unread


def nothing() -> None:
    """Nobody waits for replies here."""


def room_for(octets: int) -> DataShare:
    return DataShare(DataBudget(in_all=octets, of_one_network=octets), "192.0.2.1")


async def fed(wire: SmtpWire, chunks: list[bytes]) -> None:
    for chunk in chunks:
        wire.feed(chunk)
        await asyncio.sleep(0)
    wire.feed_end()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b".", b"..", b"\r\n", b"\n", b"\r", b"long text"]), max_size=12),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_message_comes_out_as_it_was_however_it_was_cut(pieces: list[bytes], places: list[int]) -> None:
    content = b"".join(pieces)
    content += b"" if content.endswith(b"\r\n") or not content else b"\r\n"
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]

    async def dialogue() -> tuple[bytes | Unread, object]:
        wire = SmtpWire(nothing)
        feeding = asyncio.ensure_future(fed(wire, cut(stuffed + b".\r\nNOOP\r\n", places)))
        message = await wire.message(10_000, room_for(0))
        line = await wire.line(100)
        await feeding
        return message, line

    assert asyncio.run(dialogue()) == (content, b"NOOP")


@pytest.mark.parametrize("size", [990, 1_500_000, 2_000_000])
def test_message_over_the_limit_is_not_kept_and_what_follows_is(size: int) -> None:
    async def dialogue() -> tuple[object, object]:
        wire = SmtpWire(nothing)
        data = (b"x" * 88 + b"\r\n") * (size // 90) + b".\r\nRSET\r\n"
        feeding = asyncio.ensure_future(fed(wire, [data[at : at + 4096] for at in range(0, len(data), 4096)]))
        answer = await wire.message(900, room_for(5_000_000)), await wire.line(100)
        await feeding
        return answer

    if size > 1_000_000 + 900:
        with pytest.raises(ConnectionEndedError):
            asyncio.run(dialogue())
    else:
        assert asyncio.run(dialogue()) == (Unread.TOO_LARGE, b"RSET")


def test_message_without_room_is_thrown_away_as_it_comes_and_what_follows_is_not() -> None:
    async def dialogue() -> tuple[object, object]:
        wire = SmtpWire(nothing)
        data = (b"x" * 88 + b"\r\n") * 10_000 + b".\r\nRSET\r\n"
        feeding = asyncio.ensure_future(fed(wire, [data[at : at + 4096] for at in range(0, len(data), 4096)]))
        answer = await wire.message(1_000_000, room_for(300_000)), await wire.line(100)
        await feeding
        return answer

    assert asyncio.run(dialogue()) == (Unread.NO_ROOM, b"RSET")


def test_lines_are_told_from_what_is_none() -> None:
    async def dialogue() -> list[object]:
        wire = SmtpWire(nothing)
        wire.feed(b"NOOP\r\nbare\na\rb\r\n" + b"x" * 200 + b"\r\nQUIT\r\n")
        return [await wire.line(100) for _ in range(5)]

    assert asyncio.run(dialogue()) == [b"NOOP", BARE_LINE_FEED, BARE_LINE_FEED, LINE_TOO_LONG, b"QUIT"]


def test_end_of_input_ends_every_wait() -> None:
    async def dialogue() -> None:
        wire = SmtpWire(nothing)
        wire.feed(b"half a line")
        wire.feed_end()
        await wire.line(100)

    with pytest.raises(ConnectionEndedError):
        asyncio.run(dialogue())


def test_discarded_bytes_are_never_seen_again() -> None:
    async def dialogue() -> object:
        wire = SmtpWire(nothing)
        wire.feed(b"MAIL FROM:<evil@x.example>\r\n")
        wire.discard()
        wire.feed(b"NOOP\r\n")
        return await wire.line(100)

    assert asyncio.run(dialogue()) == b"NOOP"
