from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import drain_progress
from appliance.acceptance import Acceptance
from appliance.directory import Directory
from appliance.drain_progress import Drained, DrainProgress
from appliance.opening_follow_up import drained_first
from appliance.sealed_drain import SealedDrain, StoppedError
from appliance.smtp_acceptance import AcceptanceLimits
from mailstore import audit_trail, mailboxes, message_records
from mailstore.addresses import Address, parse_mailbox
from mailstore.arrival_group import SEGMENT_HEADER
from mailstore.key_opener import CaptureOpener
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, Envelope, Origin, Peer, ReceivedMessage, Scan
from mailstore.sealed_spool import DAMAGED, SealedSegments, SealedSpool, set_aside_count
from mailstore.spool_gauge import SpoolFullError
from tests.vault_room import ALICE, NOW, RING, Vault

POSTMASTER = "c" * 26


class Clinic:
    """A vault whose front door takes in what waited in a sealed spool."""

    def __init__(self, directory: Path) -> None:
        self.vault = Vault(directory / "vault")
        self.folder = directory / "sealed-spool"
        self.alice = self.vault.mailbox()
        self.caretaker = self.vault.mailbox(POSTMASTER, "admin@clinic.example")
        self.told = directory / "drain.json"

    def mail(self, number: int, to: str = ALICE, *, content: bytes = b"") -> ReceivedMessage:
        return ReceivedMessage(
            Envelope(Address("sender", "elsewhere.example"), (parse_mailbox(to),)),
            content or b"Subject: number %d\r\n\r\nbody\r\n" % number,
            NOW + timedelta(seconds=number),
            Origin.SMTP,
            Peer("192.0.2.7", "mail.elsewhere.example", "TLSv1.3 X"),
        )

    def arrive(self, *messages: ReceivedMessage) -> None:
        """Each in a group of its own, one writer."""
        spool = SealedSpool(self.folder, capture_public=RING.capture.public, randomness=os.urandom)
        for message in messages:
            spool.submit(message).result(5)
        spool.close()

    def drain(self, *, limit_bytes: int = 1_000_000, cap: int = 1 << 40, stop: Callable[[], bool] = bool) -> Drained:
        with self.draining(limit_bytes=limit_bytes, cap=cap, stop=stop) as drain:
            return drain.run()

    @contextmanager
    def draining(
        self, *, limit_bytes: int = 1_000_000, cap: int = 1 << 40, stop: Callable[[], bool] = bool
    ) -> Iterator[SealedDrain]:
        depositor = self.vault.depositor()
        directory = Directory(
            self.vault.database,
            lookup_key=RING.lookup_key,
            domains=["clinic.example"],
            caretaker=lambda _connection: AccountId(POSTMASTER),
            fresh_seconds=0,
        )
        acceptance = Acceptance(
            depositor,
            directory,
            gauge=self.vault.gauge(cap),
            limits=AcceptanceLimits(limit_bytes),
            host_name="mx.clinic.example",
        )
        try:
            yield SealedDrain(
                SealedSegments(self.folder, CaptureOpener.of(RING)),
                acceptance,
                directory,
                self.vault.database,
                DrainProgress(self.told),
                self.vault.clock,
                Address("postmaster", "clinic.example"),
                stop,
            )
        finally:
            depositor.close()

    def subjects(self, mailbox: str) -> list[str]:
        """Oldest first."""
        with self.vault.database.read() as connection:
            entries = mailboxes.entries(connection, mailbox, Folder.INBOX, 1000)
        retrieval = self.vault.retrieval()
        with self.vault.database.read() as connection:
            rows = [message_records.stored(connection, each.message) for each in reversed(entries)]
        return [retrieval.summary(row).subject for row in rows]

    def events(self) -> list[str]:
        with self.vault.database.read() as connection:
            return [entry.event for entry in audit_trail.tail(connection, 1000)]


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    made = Clinic(tmp_path)
    yield made
    made.vault.close()


def test_what_came_is_taken_in_once_and_in_order(clinic: Clinic) -> None:
    clinic.arrive(*(clinic.mail(number) for number in range(5)))
    assert clinic.drain() == Drained(5, 5, is_over=True)
    assert clinic.subjects(clinic.alice) == [f"number {number}" for number in range(5)]
    assert list(clinic.folder.glob("*.segment")) == []
    assert clinic.drain() == Drained(0, 0, is_over=True)
    assert drain_progress.read(clinic.told) == Drained(0, 0, is_over=True)


def test_mail_of_several_writers_is_taken_in_by_time_of_receipt(clinic: Clinic) -> None:
    clinic.arrive(*(clinic.mail(number) for number in (0, 3, 4, 8)))
    clinic.arrive(*(clinic.mail(number) for number in (1, 2, 6)))
    clinic.arrive(*(clinic.mail(number) for number in (5, 7)))
    clinic.drain()
    assert clinic.subjects(clinic.alice) == [f"number {number}" for number in range(9)]


def test_message_keeps_its_time_of_receipt_and_its_peer(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(7))
    clinic.vault.clock.advance(timedelta(days=3))
    clinic.drain()
    with clinic.vault.database.read() as connection:
        (entry,) = mailboxes.entries(connection, clinic.alice, Folder.INBOX, 10)
        row = message_records.stored(connection, entry.message)
    assert row.received_at == NOW + timedelta(seconds=7)
    trace = clinic.vault.retrieval().summary(row).trace_fields
    assert "192.0.2.7" in trace
    assert "ESMTPS" in trace


def test_what_a_scanner_took_for_junk_while_sealed_is_filed_apart_when_opened(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1), replace(clinic.mail(2), scan=Scan.JUNK), replace(clinic.mail(3), scan=Scan.UNSCANNED))
    clinic.drain()
    assert clinic.subjects(clinic.alice) == ["number 1", "number 3"]
    with clinic.vault.database.read() as connection:
        assert len(mailboxes.entries(connection, clinic.alice, Folder.JUNK, 10)) == 1
        scans = [entry.detail.get("scan") for entry in audit_trail.tail(connection, 1000)]
    assert [scan for scan in scans if scan] == ["junk", "unscanned"]


def test_segment_that_is_put_back_brings_nothing_a_second_time(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1), clinic.mail(2))
    (path,) = clinic.folder.glob("*.segment")
    copy = path.read_bytes()
    clinic.drain()
    path.write_bytes(copy)
    assert clinic.drain().done == 0
    assert len(clinic.subjects(clinic.alice)) == 2
    assert not path.exists()


def test_drain_told_to_stop_goes_on_where_it_stopped(clinic: Clinic) -> None:
    clinic.arrive(*(clinic.mail(number) for number in range(200)))
    looks = iter(range(10_000))
    with pytest.raises(StoppedError):
        clinic.drain(stop=lambda: next(looks) > 100)
    taken = len(clinic.subjects(clinic.alice))
    assert 0 < taken < 200
    assert clinic.drain() == Drained(200 - taken, 200 - taken, is_over=True)
    assert clinic.subjects(clinic.alice) == [f"number {number}" for number in range(200)]


def test_full_spool_stops_the_drain_and_loses_nothing(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1))
    with pytest.raises(SpoolFullError):
        clinic.drain(cap=0)
    assert clinic.drain().done == 1


def test_follow_up_begins_where_the_drain_cannot_go_on_for_now(clinic: Clinic) -> None:
    """A full spool is emptied by follow-up alone: it would wait for the drain, and the drain for it."""

    async def begun(drain: SealedDrain) -> bool:
        unfinished = await drained_first(drain, stopping=threading.Event())
        if unfinished is not None:
            unfinished.cancel()
        return unfinished is not None

    clinic.arrive(clinic.mail(1))
    with clinic.draining(cap=0) as drain:
        assert asyncio.run(begun(drain))
    with clinic.draining() as drain:
        assert not asyncio.run(begun(drain))
    assert clinic.subjects(clinic.alice) == ["number 1"]


def test_message_that_was_promised_is_not_judged_by_newer_limits(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1, content=b"Subject: large\r\n\r\n" + b"x" * 500 + b"\r\n"))
    clinic.drain(limit_bytes=100)
    assert clinic.subjects(clinic.alice) == ["large"]


def test_mail_for_somebody_who_is_gone_comes_to_the_caretaker(clinic: Clinic) -> None:
    gone = clinic.mail(2, "gone@clinic.example")
    both = replace(gone, envelope=replace(gone.envelope, recipients=(parse_mailbox(ALICE), *gone.envelope.recipients)))
    clinic.arrive(clinic.mail(1), gone, both, clinic.mail(3))
    clinic.drain()
    assert clinic.subjects(clinic.alice) == ["number 1", "number 2", "number 3"]
    assert clinic.subjects(clinic.caretaker) == ["number 2", "number 2"]
    assert clinic.events().count("sealed_spool.readdressed") == 2


def test_damaged_group_is_set_aside_and_hides_no_other(clinic: Clinic) -> None:
    clinic.arrive(*(clinic.mail(number) for number in range(4)))
    (path,) = clinic.folder.glob("*.segment")
    data = bytearray(path.read_bytes())
    second = data.index(b"SRSG", data.index(b"SRSG") + 1)
    data[second + 300] ^= 1
    path.write_bytes(data)
    clinic.drain()
    assert clinic.subjects(clinic.alice) == ["number 0", "number 2", "number 3"]
    assert set_aside_count(clinic.folder) == 1
    assert {"sealed_spool.missing", "sealed_spool.damaged"} <= set(clinic.events())


@pytest.mark.parametrize("at", [20, 300], ids=["in its head", "in its index"])
def test_group_that_opens_only_when_later_ones_are_ours_is_taken_in_once(clinic: Clinic, at: int) -> None:
    """A key came back, or a disk reads right again, and a person had the segment tried once more."""
    clinic.arrive(*(clinic.mail(number) for number in range(4)))
    (path,) = clinic.folder.glob("*.segment")
    good = path.read_bytes()
    second = good.index(b"SRSG", good.index(b"SRSG") + 1)
    bad = bytearray(good)
    bad[second + at] ^= 1
    path.write_bytes(bad)
    clinic.drain()
    path.write_bytes(bad)
    assert clinic.drain() == Drained(0, 1, is_over=True)
    assert set_aside_count(clinic.folder) == 1
    for taken_in in (1, 0):
        path.write_bytes(good)
        assert clinic.drain() == Drained(taken_in, taken_in, is_over=True)
        assert sorted(clinic.subjects(clinic.alice)) == [f"number {number}" for number in range(4)]
        assert not path.exists()


def test_forged_group_under_another_key_is_set_aside(clinic: Clinic) -> None:
    spool = SealedSpool(clinic.folder, capture_public=bytes([9] * 32), randomness=os.urandom)
    spool.submit(clinic.mail(1)).result(5)
    spool.close()
    assert clinic.drain().done == 0
    assert set_aside_count(clinic.folder) == 1


def test_group_of_another_series_is_not_erased_as_if_it_were_ours(clinic: Clinic) -> None:
    """Its number was taken in already, of the series that the segment began with."""
    clinic.arrive(clinic.mail(1))
    clinic.arrive(clinic.mail(2))
    first, second = sorted(clinic.folder.iterdir())
    first.write_bytes(first.read_bytes() + second.read_bytes()[len(SEGMENT_HEADER) :])
    second.unlink()
    clinic.drain()
    assert set_aside_count(clinic.folder) == 1


def test_segment_whose_only_head_is_not_right_is_set_aside(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1))
    (path,) = clinic.folder.glob("*.segment")
    good = path.read_bytes()
    path.write_bytes(good[:36] + bytes([good[36] ^ 1]) + good[37:])
    assert clinic.drain().done == 0
    assert (clinic.folder / DAMAGED / path.name).exists()
    path.write_bytes(good)
    assert clinic.drain().done == 1


def test_zeros_that_a_cut_write_left_behind_the_last_group_are_no_damage(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1))
    (path,) = clinic.folder.glob("*.segment")
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert clinic.drain().done == 1
    assert list(clinic.folder.rglob("*.segment")) == []


def test_torn_segment_that_holds_nothing_whole_is_cleared_away(clinic: Clinic) -> None:
    clinic.arrive(clinic.mail(1))
    (path,) = clinic.folder.glob("*.segment")
    os.truncate(path, 500)
    assert clinic.drain().done == 0
    assert list(clinic.folder.rglob("*.segment")) == []
