from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from archive import archive_records, hold_records, index_care
from archive.archive_search import ArchiveSearch
from archive.document_reading import DocumentReader
from archive.intake import CAPTURED, DAMAGED, Intake
from archive.retention_schedule import UNCLASSIFIED
from archive.saved_search import AskedSearch
from archive.search_query import QueryError, parse
from archive.tables import doubted_captures
from archive.text_extraction import TextExtractor
from archive.two_persons import NotPermittedError
from mailstore import message_records, outbox
from mailstore.message import MessageId
from tests.records_room import APPROVER, CLINICIAN, RECORDS, RecordsRoom

LETTER = (
    b"From: Dr Who <dr@clinic.example>\r\nTo: Pat <pat@mail.example>\r\nSubject: Knee\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>Your <b>potas</b>sium is fine.</p>\r\n"
    b"--b\r\nContent-Disposition: attachment; filename=report.txt\r\n\r\nsodium level normal\r\n"
    b"--b\r\nContent-Disposition: attachment; filename=all.zip\r\n\r\nPK\x03\x04x\r\n--b--\r\n"
)


class Desk:
    """The records room with the real intake and the real search."""

    def __init__(self, directory: Path, extractor: TextExtractor) -> None:
        self.room = RecordsRoom(directory)
        vault = self.room.vault
        documents = DocumentReader(vault.retrieval(), extractor)
        self.intake = Intake(
            database=vault.database,
            documents=documents,
            index=self.room.index,
            schedule_in_force=self.room.desk.schedules.in_force,
            living_holds=self.room.desk.living_holds,
            evidence=self.room.desk.evidence,
            clock=vault.clock,
            trusted_clock=vault.trusted_clock,
        )
        self.search = ArchiveSearch(
            database=vault.database,
            index=self.room.index,
            retrieval=vault.retrieval(),
            documents=documents,
            clock=vault.clock,
        )

    def receive(self, subject: str = "newsletter", body: str = "hello", content: bytes | None = None) -> MessageId:
        return self.room.receive(
            subject, body=body, to=("pat@mail.example", "audit@clinic.example"), content=content, is_captured=False
        )

    def take_in(self, *messages: MessageId) -> None:
        for message in messages:
            self.intake.capture(message)
        self.intake.index(messages)

    def entry(self, message: MessageId) -> archive_records.ArchiveEntry:
        with self.room.vault.database.read() as connection:
            found = archive_records.find(connection, message)
        assert found
        return found

    def waiting(self) -> int:
        with self.room.vault.database.read() as connection:
            return outbox.waiting(connection)[outbox.Kind.INDEX]

    def found(self, query: str) -> list[MessageId]:
        return [item.id for item in self.search.search(RECORDS, AskedSearch(query), limit=50).items]


@pytest.fixture(scope="module")
def extractor() -> Iterator[TextExtractor]:
    with TextExtractor() as warm:
        yield warm


@pytest.fixture
def desk(tmp_path: Path, extractor: TextExtractor) -> Desk:
    return Desk(tmp_path / "data", extractor)


def test_a_captured_message_is_classified_audited_and_waits_for_the_index(desk: Desk) -> None:
    desk.room.put_in_force()
    message = desk.receive(content=LETTER.replace(b"Knee", b"invoice"))
    desk.intake.capture(message)
    entry = desk.entry(message)
    assert entry.category == "billing"
    assert entry.schedule
    assert entry.unread_parts == 1
    assert entry.indexed_at is None
    assert desk.room.events(CAPTURED) == [message]
    assert desk.waiting() == 1


def test_without_a_schedule_everything_is_unclassified(desk: Desk) -> None:
    message = desk.receive()
    desk.intake.capture(message)
    assert desk.entry(message).category == UNCLASSIFIED


def test_capturing_twice_is_capturing_once(desk: Desk) -> None:
    message = desk.receive()
    desk.take_in(message)
    desk.take_in(message)
    assert desk.room.events(CAPTURED) == [message]
    assert desk.waiting() == 1
    assert desk.room.index.document_count() == 1


def test_a_message_joins_the_living_holds_when_it_comes_in(desk: Desk) -> None:
    desk.room.desk.holds.place(
        RECORDS, name="matter", reason="claim", custodians=[], since=None, until=None, query="attachment:sodium"
    )
    message = desk.receive(content=LETTER)
    desk.intake.capture(message)
    assert [hold.matched for hold in desk.room.desk.holds.all(RECORDS)] == [1]


def test_a_message_that_comes_while_the_clock_stands_ahead_joins_the_holds_of_its_true_day(desk: Desk) -> None:
    held = desk.room.desk.holds.place(RECORDS, name="matter", reason="claim", until=desk.room.clock.now().date())
    desk.room.vault.machine.jump(timedelta(days=60))
    message = desk.receive()
    desk.intake.capture(message)
    desk.room.vault.machine.jump(timedelta(days=-60))
    assert desk.room.desk.holds.messages_of(RECORDS, held.id) == [message]


@pytest.mark.parametrize(("ahead", "rows"), [(timedelta(), 0), (timedelta(days=60), 1), (timedelta(days=-60), 0)])
def test_a_hold_placed_later_covers_what_was_captured_while_the_clock_stood_ahead(
    desk: Desk, ahead: timedelta, rows: int
) -> None:
    """What the trusted time said is noted for that mail alone, and dies with it."""
    room, today = desk.room, desk.room.clock.now().date()
    room.vault.machine.jump(ahead)
    message = desk.receive()
    desk.intake.capture(message)
    room.vault.machine.jump(-ahead)
    held = room.desk.holds.place(RECORDS, name="matter", reason="claim", until=today)
    assert room.desk.holds.messages_of(RECORDS, held.id) == [message]
    with room.vault.database.write() as connection:
        assert connection.execute(select(func.count()).select_from(doubted_captures)).scalar() == rows
        archive_records.remove_entry(connection, message)
        assert connection.execute(select(func.count()).select_from(doubted_captures)).scalar() == 0


def test_a_damaged_message_harms_none_of_those_captured_with_it(desk: Desk) -> None:
    damaged, first, second = desk.receive(), desk.receive(), desk.receive()
    with desk.room.vault.database.read() as connection:
        stored = message_records.stored(connection, damaged)
    segment = desk.room.vault.spool / str(stored.segment)
    content = bytearray(segment.read_bytes())
    content[stored.offset + 100] ^= 1
    segment.write_bytes(content)
    desk.intake.capture_all([first, damaged, second, first])
    assert [desk.entry(message).problem for message in (first, damaged, second)] == [None, DAMAGED, None]
    assert sorted(desk.room.events(CAPTURED)) == sorted([first, damaged, second])
    assert desk.waiting() == 2


def test_messages_captured_together_join_each_its_own_holds(desk: Desk) -> None:
    desk.room.desk.holds.place(
        RECORDS, name="matter", reason="claim", custodians=[], since=None, until=None, query="attachment:sodium"
    )
    held, other = desk.receive(content=LETTER), desk.receive()
    desk.intake.capture_all([other, held])
    with desk.room.vault.database.read() as connection:
        assert hold_records.holds_of(connection, held)
        assert not hold_records.holds_of(connection, other)


def test_everything_a_message_says_is_found(desk: Desk) -> None:
    message = desk.receive(content=LETTER)
    desk.take_in(message)
    for query in (
        "potassium",
        'attachment:"sodium level"',
        "filename:report",
        'from:"dr who"',
        "bcc:audit@clinic.example",
        "to:pat@mail.example",
        "has:attachment",
        "subject:knee category:unclassified",
    ):
        assert desk.found(query) == [message], query
    assert desk.found("bcc:pat@mail.example") == []


def test_a_damaged_message_is_counted_and_never_lost_from_sight(desk: Desk) -> None:
    message = desk.receive()
    [segment] = [path for path in desk.room.vault.spool.iterdir() if path.stat().st_size > 0]
    content = segment.read_bytes()
    segment.write_bytes(content[:-10] + bytes(10))
    desk.take_in(message)
    assert desk.entry(message).problem == DAMAGED
    status = desk.search.status()
    assert (status.accepted, status.archived, status.indexed, status.damaged) == (1, 1, 0, 1)


def test_a_message_disposed_of_before_its_capture_leaves_nothing(desk: Desk) -> None:
    message = desk.receive()
    desk.room.vault.destroy([message])
    desk.take_in(message)
    assert desk.room.index.document_count() == 0
    assert desk.room.events(CAPTURED) == []


def test_a_lost_index_is_noticed_and_made_anew_with_the_same_answers(desk: Desk) -> None:
    messages = [desk.receive(f"letter {n}") for n in range(5)]
    desk.take_in(*messages)
    before = desk.found("letter")
    for path in (desk.room.directory / "index").iterdir():
        path.unlink()
    assert index_care.problem_of(desk.room.vault.database, desk.room.index)
    assert desk.search.status().indexed == 0
    assert desk.search.search(RECORDS, AskedSearch("letter"), limit=9).not_indexed == 5
    assert desk.intake.rebuild() == 5
    assert not index_care.problem_of(desk.room.vault.database, desk.room.index)
    assert desk.found("letter") == before


def test_an_answer_shows_the_places_and_how_fresh_the_index_is(desk: Desk) -> None:
    message = desk.receive(content=LETTER)
    desk.take_in(message)
    desk.intake.capture(desk.receive("waiting"))
    desk.receive("not even captured")
    answer = desk.search.search(APPROVER, AskedSearch("potassium sodium"), limit=10)
    [item] = answer.items
    assert (answer.total, item.id, item.subject, item.from_) == (1, message, "Knee", "Dr Who <dr@clinic.example>")
    assert [place.marked for place in item.highlights] == ["Your «potassium» is fine.", "«sodium» level normal"]
    assert answer.not_indexed == 2
    assert answer.index_age_seconds == 0.0


def test_only_records_staff_and_approvers_may_search(desk: Desk) -> None:
    with pytest.raises(NotPermittedError):
        desk.search.search(CLINICIAN, AskedSearch("potassium"), limit=10)
    assert desk.room.events("archive.searched") == []


def test_a_search_is_in_the_audit_log_without_its_words(desk: Desk) -> None:
    desk.take_in(desk.receive(body="potassium"))
    desk.found("potassium")
    assert len(desk.room.events("archive.searched")) == 1
    assert not desk.room.vault.files_hold(b"potassium")


def test_a_refused_query_searches_nothing(desk: Desk) -> None:
    with pytest.raises(QueryError):
        desk.search.search(RECORDS, AskedSearch("colour:red"), limit=10)
    assert desk.room.events("archive.searched") == []


def test_a_disposed_message_is_found_no_more(desk: Desk) -> None:
    desk.room.put_in_force()
    message, other = desk.receive("newsletter zebra"), desk.receive("invoice")
    desk.take_in(message, other)
    disposal = desk.room.approved()
    desk.room.desk.disposal_run.run(RECORDS, disposal)
    assert not desk.room.is_alive(message)
    assert desk.found("zebra") == []
    assert desk.room.index.search(parse("-nothing"), limit=9).total == 1
