from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailstore import arrival_group
from mailstore.addresses import Address
from mailstore.arrival_group import HEAD_BYTES, GroupHead, Standing
from mailstore.errors import TamperedError
from mailstore.key_hierarchy import CaptureKeyPair, MessageKey
from mailstore.key_opener import CaptureOpener
from mailstore.keystore import WrappedKey
from mailstore.message import Envelope, Origin, Peer, ReceivedMessage
from mailstore.sealed_format import open_sealed

CAPTURE = CaptureKeyPair.of(b"\x07" * 32)
NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
FIRST = ReceivedMessage(
    Envelope(
        Address("ann o'dyne", "elsewhere.example"), (Address("alice", "clinic.example"), Address("bö", "ü.example"))
    ),
    b"Subject: one\r\n\r\nfirst canary\r\n",
    NOW,
    Origin.SMTP,
    Peer("192.0.2.1", "mail.elsewhere.example", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
)
BOUNCE = ReceivedMessage(Envelope(None, (Address("bob", "clinic.example"),)), b"", NOW, Origin.SMTP)
STANDING = Standing("s" * 26, 41)


def sealed(*messages: ReceivedMessage) -> bytes:
    return arrival_group.sealed_group(messages, standing=STANDING, capture_public=CAPTURE.public, randomness=os.urandom)


def key_of(head: GroupHead) -> MessageKey:
    wrapped = WrappedKey(head.name, head.batch, head.sealed_for, head.wrapped_batch_key, head.wrapped_key)
    (key,) = CaptureOpener(CAPTURE).opened([wrapped])
    if isinstance(key, Exception):
        raise key
    return key


def opened(group: bytes) -> list[ReceivedMessage]:
    head = arrival_group.read_head(group)
    key = key_of(head)
    index_end = HEAD_BYTES + head.index_bytes
    index = arrival_group.open_index(group[HEAD_BYTES:index_end], head=head, key=key)
    assert index.standing == STANDING
    content = arrival_group.open_content(group[index_end : head.total_bytes], head=head, index=index, key=key)
    return [each.received(content) for each in index.messages]


def test_messages_come_back_as_they_were_received() -> None:
    assert opened(sealed(FIRST, BOUNCE, FIRST)) == [FIRST, BOUNCE, FIRST]


def test_nothing_of_a_message_stands_in_its_group() -> None:
    group = sealed(FIRST)
    for canary in (b"canary", b"elsewhere", b"clinic", b"alice", b"192.0.2.1", b"TLSv1.3", b"TLS_AES"):
        assert canary not in group


def test_one_message_and_many_small_ones_look_the_same() -> None:
    assert len(sealed(FIRST)) == len(sealed(BOUNCE)) == len(sealed(*[BOUNCE] * 6))


def test_few_lengths_are_shown_and_none_is_an_eighth_too_long() -> None:
    lengths = {arrival_group.padded(length, least=4096) for length in range(4097, 70_000)}
    assert len(lengths) < 70
    assert all(length <= arrival_group.padded(length, least=1) <= length * 1.12 for length in range(64, 70_000, 7))


def test_any_changed_byte_is_refused_or_only_filling() -> None:
    group = bytearray(sealed(FIRST))
    head = arrival_group.read_head(bytes(group))
    index_end = HEAD_BYTES + head.index_bytes
    index = arrival_group.open_index(bytes(group[HEAD_BYTES:index_end]), head=head, key=key_of(head))
    for at in range(index_end + index.sealed_content_bytes):
        group[at] ^= 1
        with pytest.raises(TamperedError):
            opened(bytes(group))
        group[at] ^= 1
    assert opened(bytes(group)) == [FIRST]


def test_parts_of_two_groups_do_not_fit_together() -> None:
    one, other = sealed(FIRST), sealed(FIRST)
    head = arrival_group.read_head(one)
    with pytest.raises(TamperedError):
        opened(one[:HEAD_BYTES] + other[HEAD_BYTES:])
    swapped = replace(head, wrapped_key=arrival_group.read_head(other).wrapped_key)
    with pytest.raises(TamperedError):
        key_of(swapped)


def test_whoever_wrote_a_group_cannot_open_it() -> None:
    """All that the writer is given is the public half."""
    group = sealed(FIRST)
    head = arrival_group.read_head(group)
    start = HEAD_BYTES + head.index_bytes
    for key in (CAPTURE.public, b"\x00" * 32):
        with pytest.raises(Exception, match="does not open"):
            open_sealed(group[start:], key=key, context=("sealed arrivals content", head.name, 1))
