from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from archive.index_document import IndexDocument, document_of
from archive.legal_hold import BadHoldError, Evidence, Hold, HoldState, Matter, covers, mailbox_key, matter
from archive.search_query import QueryError
from mailstore.addresses import BadAddressError, parse_mailbox
from mailstore.errors import TamperedError
from mailstore.message import Envelope, MessageId

RECEIVED = datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)


def document(
    *to: str, sender: str = "sender@elsewhere.example", headers: dict[str, list[str]] | None = None, body: str = "hello"
) -> IndexDocument:
    return document_of(
        message=MessageId("m" * 26),
        received_at=RECEIVED,
        category="unclassified",
        envelope=Envelope(parse_mailbox(sender), tuple(map(parse_mailbox, to or ("other@x.example",)))),
        header_fields=headers or {},
        subjects=["subject"],
        bodies=[body],
        file_names=[],
        attachment_texts=[],
        has_attachment=False,
    )


def hold(state: HoldState = HoldState.ACTIVE, mailboxes: frozenset[str] = frozenset(), **told: object) -> Hold:
    return Hold("h", state, matter(name="Matter", reason="Because", **told), mailboxes)  # type: ignore[arg-type]  # the tests below pass what matter takes


def evidence(
    found: IndexDocument | None, *, is_whole: bool = True, mailboxes: frozenset[str] = frozenset()
) -> Evidence:
    return Evidence(RECEIVED, found, is_whole, mailboxes)


@pytest.mark.parametrize(
    ("custodian", "seen"),
    [
        ("bob@x.example", "bob@x.example"),
        ("bob@x.example", "BOB@X.Example"),
        ("bob@x.example", "bob+bills@x.example"),
        ("Bob+bills@x.example", "bob@x.example"),
        ("bob@b\u00fccher.example", "bob@xn--bcher-kva.example"),
        ("bob@xn--bcher-kva.example", "bob@B\u00dcCHER.example"),
        ("bob@x.example", '"bob"@x.example'),
    ],
)
def test_custodian_is_found_however_the_address_is_spelled(custodian: str, seen: str) -> None:
    assert covers(hold(custodians=[custodian]), evidence(document(seen))) is True


def test_custodian_is_found_as_sender_and_in_every_header_field() -> None:
    asked = hold(custodians=["bob@x.example"])
    assert covers(asked, evidence(document(sender="bob@x.example")))
    for name in ("from", "sender", "to", "cc", "bcc", "reply-to", "resent-to"):
        assert covers(asked, evidence(document(headers={name: ["Bob <bob@x.example>"]})))


def test_custodian_in_a_field_that_nobody_can_read_is_found() -> None:
    broken = {"to": ["<bob@x.example> <eve@y.example> (("]}
    assert covers(hold(custodians=["bob@x.example"]), evidence(document(headers=broken)))


def test_neighbours_of_a_custodian_are_not_held() -> None:
    asked = hold(custodians=["ann@x.example"])
    for other in ("joann@x.example", "ann@x.example.org", "ann@y.x.example", "ann.b@x.example"):
        assert covers(asked, evidence(document(other, headers={"to": [other]}))) is False


def test_every_address_of_a_custodians_mailbox_is_theirs() -> None:
    asked = hold(custodians=["bob@x.example"], mailboxes=frozenset({"box"}))
    assert covers(asked, evidence(document("alias@x.example"), mailboxes=frozenset({"box"})))
    assert not covers(asked, evidence(document("alias@x.example"), mailboxes=frozenset({"another"})))


def test_days_of_a_hold_are_both_included() -> None:
    day = date(2026, 3, 4)
    assert covers(hold(since=day, until=day), evidence(document()))
    assert not covers(hold(since=date(2026, 3, 5)), evidence(document()))
    assert not covers(hold(until=date(2026, 3, 3)), evidence(document()))
    assert covers(hold(until=date.max), evidence(document()))


def test_days_of_a_hold_are_those_on_any_wall() -> None:
    """Half past five on the last afternoon of March in Los Angeles is April in UTC; April begins in Auckland before."""
    first, last = date(2026, 4, 1), date(2026, 3, 31)
    evening, morning = datetime(2026, 4, 1, 0, 30, tzinfo=UTC), datetime(2026, 3, 31, 11, 30, tzinfo=UTC)
    for moment, asked in ((evening, hold(until=last)), (morning, hold(since=first))):
        assert covers(asked, Evidence(moment, document(), is_whole=True)) is None
    assert covers(hold(until=last), Evidence(evening + timedelta(hours=12), document(), is_whole=True)) is False
    assert covers(hold(since=first), Evidence(morning - timedelta(hours=2), document(), is_whole=True)) is False
    assert covers(hold(since=date.min, until=date.max), Evidence(evening, document(), is_whole=True)) is True


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (date(2026, 5, 1), None, None),
        (None, date(2026, 4, 1), None),
        (date(2026, 4, 1), date(2026, 4, 30), None),
        (date(2026, 3, 4), date(2026, 6, 1), True),
        (date(2026, 6, 3), None, False),
        (None, date(2026, 3, 2), False),
    ],
)
def test_message_that_came_between_two_clocks_is_held_where_it_may_fall_within(
    since: date | None, until: date | None, *, expected: bool | None
) -> None:
    """Received by one clock in March, captured by the other in June: which of the two was wrong nobody knows now."""
    june = datetime(2026, 6, 1, 12, tzinfo=UTC)
    for received, captured in ((RECEIVED, june), (june, RECEIVED)):
        found = Evidence(received, document(), is_whole=True, captured_at=captured)
        assert covers(hold(since=since, until=until), found) is expected
        assert covers(hold(HoldState.RELEASED, since=since, until=until), found) is False
        assert covers(hold(since=since, until=until, custodians=["bob@x.example"]), found) is False
        assert covers(hold(since=since, until=until, query_text="knee"), found) is False
        assert covers(hold(since=since, until=until, query_text="hello"), found) is expected


def test_query_of_a_hold_that_asks_for_days_does_not_go_by_a_wrong_clock() -> None:
    dead = Evidence(datetime(2000, 1, 1, tzinfo=UTC), document(), is_whole=True, captured_at=RECEIVED)
    for query in ("after:2026-01-01", "-before:2026-01-01", "before:2026-01-01", "hello after:2026-01-01"):
        assert covers(hold(query_text=query), dead) is None
    assert covers(hold(query_text="after:2026-03-06"), dead) is False
    assert covers(hold(query_text="before:2026-03-06"), dead) is True


def test_all_conditions_must_hold_together() -> None:
    asked = hold(custodians=["bob@x.example"], query_text="knee")
    assert covers(asked, evidence(document("bob@x.example", body="my knee")))
    assert not covers(asked, evidence(document("bob@x.example")))
    assert not covers(asked, evidence(document("eve@x.example", body="my knee")))


def test_message_that_cannot_be_opened_may_be_covered() -> None:
    assert covers(hold(custodians=["bob@x.example"]), evidence(None, is_whole=False)) is None
    assert covers(hold(since=date(2027, 1, 1)), evidence(None, is_whole=False)) is False


def test_part_that_cannot_be_read_may_hold_the_word() -> None:
    partly = evidence(document(), is_whole=False)
    assert covers(hold(query_text="knee"), partly) is None
    assert covers(hold(query_text="subject:knee"), partly) is False
    assert covers(hold(query_text="hello"), partly) is True
    assert covers(hold(query_text="hello -knee"), partly) is None


def test_only_released_holds_hold_nothing() -> None:
    assert covers(hold(HoldState.RELEASE_REQUESTED), evidence(document())) is True
    assert covers(hold(HoldState.RELEASED), evidence(document())) is False


def test_hold_without_name_reason_or_sense_is_refused() -> None:
    backwards = {"since": date(2026, 1, 2), "until": date(2026, 1, 1)}
    for told in ({"name": " "}, {"reason": ""}, backwards, {"custodians": [f"{n}@x.example" for n in range(2_000)]}):
        with pytest.raises(BadHoldError) as refused:
            matter(**{"name": "n", "reason": "r", **told})  # type: ignore[arg-type]  # each value suits its own field
        assert refused.value.fix
    with pytest.raises(BadAddressError):
        matter(name="n", reason="r", custodians=["bob"])
    with pytest.raises(QueryError):
        matter(name="n", reason="r", query_text="(")


def test_details_come_back_as_they_were_sealed() -> None:
    told = matter(
        name="N\u00f6", reason="r", custodians=["B@X.example"], since=date(2026, 1, 1), query_text='"a b" OR c'
    )
    assert Matter.from_bytes(told.to_bytes()) == told
    assert told.custodians == ("b@x.example",)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"name": 1}', b"\xff"])
def test_details_that_cannot_be_understood_are_never_guessed(data: bytes) -> None:
    with pytest.raises(TamperedError):
        Matter.from_bytes(data)


def test_compatibility_spellings_are_one_mailbox() -> None:
    assert mailbox_key("\uff42\uff4f\uff42@x.example") == mailbox_key("bob@x.example")
    assert mailbox_key("+tag@x.example") == "+tag@x.example"
