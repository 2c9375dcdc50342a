from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from archive.index_document import Field, IndexDocument
from archive.index_secret import IndexSecrets
from archive.query_conditions import AllOf, AnyOf, IdIs, Not, Query, ReceivedBefore, ReceivedFrom, Words, matches
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_facets import Facet
from archive.search_index import IndexOutdatedError
from archive.search_index_sqlite import LIST_FOLDER, SqliteIndex
from archive.search_query import parse
from archive.sqlite_facts import MESSAGES
from archive.sqlite_part import Part
from archive.sqlite_question import EVERYTHING, question_of
from archive.sqlite_schema import KEPT_FACTS
from archive.words import words_of
from mailstore.message import MessageId, identifier_from
from tests import index_files
from tests.contracts.test_search_index import document, found, message_id

KEY = bytes(range(32))
START = datetime(2026, 1, 1, tzinfo=UTC)


def body(number: int, *texts: str) -> IndexDocument:
    fields: dict[Field, tuple[str, ...]] = dict.fromkeys(Field, ())
    message = MessageId(identifier_from(number.to_bytes(16, "big")))
    received = START + timedelta(minutes=number)
    nobody = dict.fromkeys((Field.FROM, Field.TO, Field.CC, Field.BCC, Field.PARTICIPANT), frozenset[str]())
    return IndexDocument(message, received, "clinical", False, {**fields, Field.BODY: texts}, nobody)


def vocabulary_of(part: Part) -> set[str]:
    """The words that SQLite itself says are in the body."""
    part._connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, col)")
    asked = "SELECT term FROM vocabulary WHERE col = 'body'"
    return {str(term) for (term,) in part._connection.execute(asked)}


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part.made(tmp_path / "one.part", KEY, cache_bytes=1 << 20)


def test_sqlite_cuts_every_character_of_unicode_as_our_own_definition_does(part: Part) -> None:
    """Of the planes that hold characters at all; those between hold none."""
    planes = [*range(0xD800), *range(0xE000, 0x20000), *range(0x20000, 0x32000, 16), *range(0xE0000, 0xE0200)]
    lines = [f"{chr(point)} a{chr(point)}b" for point in planes]
    texts = ["\n".join(lines[at : at + 4_096]) for at in range(0, len(lines), 4_096)]
    part.put([body(number, text) for number, text in enumerate(texts)], replaced={})
    ours = {word for text in texts for word in words_of(text)}
    assert vocabulary_of(part) == ours


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b nul",
        "x" * 65 + " " + "y" * 64 + " A" * 3,
        "MiXeD_case under_score it's 10:30 a.b@c.d",
        "\ud800 half of a pair \udfff",
        "q" * 70 + "\u00e9 " + "\u00e9" * 70,
        '"quoted" (AND) NOT OR near* ^start col:on -minus {brace}',
        "",
    ],
)
def test_odd_texts_are_cut_as_our_own_definition_cuts_them(part: Part, text: str) -> None:
    part.put([body(1, text)], replaced={})
    assert vocabulary_of(part) == set(words_of(text))


def test_no_phrase_crosses_two_texts(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY)
    index.add([body(1, "blood", "pressure"), body(2, "blood pressure")])
    assert found(index, '"blood pressure"') == [2]


def test_marks_are_found_by_nobody_who_searches_for_words(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY)
    index.add([document(1, subject="x", file_names=("a.pdf",), category="medical-record")])
    hexadecimal = b"medical-record".hex()
    assert found(index, f"{hexadecimal[:8]}*") == []
    assert found(index, f"participant:{b'pat@mail.example'.hex()}") == []


def test_dates_and_ids_joined_with_words_in_every_way(tmp_path: Path) -> None:
    documents = [
        body(number, f"word{number % 3} shared" if number % 2 else f"other{number % 5}") for number in range(40)
    ]
    index = index_files.sqlite_in(tmp_path / "index", KEY, most_part_messages=7)
    index.add(documents)
    early, late = ReceivedBefore(START + timedelta(minutes=15)), ReceivedFrom(START + timedelta(minutes=25))
    shared, other, third = Words(None, ("shared",)), Words(Field.BODY, ("other3",)), IdIs(documents[3].id)
    nothing: tuple[Query, ...] = ()
    asked: list[Query] = [
        AnyOf((early, shared)),
        AllOf((early, AnyOf((late, other)))),
        Not(AllOf((late, shared))),
        AnyOf((Not(early), AllOf((shared, third)))),
        AllOf((Not(shared), Not(third))),
        AllOf((Not(AnyOf((shared, other))),)),
        AllOf((late, ReceivedBefore(START + timedelta(minutes=30)), Not(other))),
        AllOf((ReceivedFrom(START + timedelta(minutes=5)), late, shared)),
        AnyOf((third, IdIs(documents[4].id), Not(AnyOf((early, late))))),
        AllOf(nothing),
        AnyOf(nothing),
        Not(Not(shared)),
    ]
    for query in asked:
        expected = [each.id for each in reversed(documents) if matches(query, each)]
        hits = index.search(query, limit=100)
        assert [hit.id for hit in hits.items] == expected, query
        assert (hits.total, hits.is_complete) == (len(expected), True)
        assert [hit.id for hit in index.search(query, limit=3).items] == expected[:3]


def test_newest_first_over_parts_that_were_filled_in_any_order(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY, most_part_messages=4)
    order = [(number * 7) % 23 for number in range(23)]
    for number in order:
        index.add([body(number, "recall")])
    for limit in (1, 5, 30):
        assert found(index, "recall", limit=limit) == sorted(order, reverse=True)[:limit]


def test_when_the_time_is_over_the_answer_says_so(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY, most_part_messages=4, query_seconds=0.0)
    index.add([body(number, "recall") for number in range(10)])
    hits = index.search(parse("recall"), limit=5)
    assert (hits.total, hits.items, hits.is_complete) == (0, (), False)


def test_question_is_interrupted_in_the_middle_and_the_part_answers_the_next(part: Part) -> None:
    part.put([body(number, f"recall {number}") for number in range(3_000)], replaced={})
    looks = iter([False, False, True])
    question = question_of(parse("recall -nothing after:2026"))
    assert part.answer(question, limit=5, is_over=lambda: next(looks)) is None
    answer = part.answer(question, limit=5, is_over=lambda: False)
    assert answer is not None
    assert answer.total == 3_000


def test_index_made_with_another_definition_of_a_word_is_outdated(tmp_path: Path) -> None:
    secret = IndexSecrets(index_files.secrets_path(tmp_path / "index"), KEY)
    older = SealedIndexStorage(tmp_path / "index" / LIST_FOLDER, secret, words="0/1.0").create()
    with older.exclusively(seconds=1):
        older.publish()
    index = index_files.sqlite_in(tmp_path / "index", KEY)
    with pytest.raises(IndexOutdatedError):
        index.document_count()
    with pytest.raises(IndexOutdatedError):
        index.add([body(2, "recall")])
    index.clear()
    index.add([body(2, "recall")])
    assert found(index, "recall") == [2]


def test_readers_go_on_while_parts_are_added_and_rewritten(tmp_path: Path) -> None:
    writer, reader = (index_files.sqlite_in(tmp_path / "index", KEY, most_part_messages=10) for _ in range(2))
    writer.add([body(number, "stays") for number in range(0, 60, 2)])
    done, seen = threading.Event(), set[int]()

    def read() -> None:
        while not done.is_set():
            seen.add(reader.search(parse("stays"), limit=1).total)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 30, 2):
        writer.add([body(number, "goes")])
        writer.remove([body(number).id])
    done.set()
    thread.join()
    assert seen == {30}


def test_other_sqlite_of_the_process_cannot_read_a_part(part: Part, tmp_path: Path) -> None:
    part.put([body(1, "recall")], replaced={})
    part.settle()
    plain = apsw.Connection(str(tmp_path / "one.part"))
    with pytest.raises(apsw.NotADBError):
        plain.execute("SELECT * FROM messages")
    assert b"SQLite" not in (tmp_path / "one.part").read_bytes()


def test_errors_never_hold_the_key(part: Part, tmp_path: Path) -> None:
    """SQLite names the whole address of a file that it cannot make, and the key stands in that."""
    with pytest.raises(Exception, match="index") as failed:
        part.copy_to(tmp_path / "nowhere" / "copy.part", KEY)
    told = failed.getrepr(style="long", chain=True, showlocals=False)
    assert KEY.hex() not in str(failed.value)
    assert f"raw:{KEY.hex()}".encode().hex() not in str(told.reprcrash)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_what_is_here_already_is_replaced_where_it_lies(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY, most_part_messages=3)
    index.add([body(number, "first") for number in range(9)])
    index.add([body(number, "second") for number in (1, 4, 30)])
    assert index.document_count() == 10
    assert found(index, "second") == [30, 4, 1]
    assert found(index, "first") == [8, 7, 6, 5, 3, 2, 0]
    assert index.search(parse("first"), limit=9, among=[message_id(2)]).total == 1


OURS = ("dr@clinic.example", "pat@mail.example", "nobody@clinic.example")


def statements_of_facets(part: Part) -> list[str]:
    """What SQLite is asked when facets of everything are counted."""
    asked: list[str] = []

    def noted(_cursor: object, statement: str, _values: object) -> bool:
        asked.append(statement)
        return True

    part._connection.set_exec_trace(noted)
    try:
        assert part.facets(EVERYTHING, mailboxes=OURS, is_over=lambda: False) is not None
    finally:
        part._connection.set_exec_trace(None)
    return asked


def test_what_facets_count_is_there_with_one_reading_once_a_part_is_full(tmp_path: Path) -> None:
    part = Part.made(tmp_path / "one.part", KEY, cache_bytes=1 << 20)
    part.put([document(number) for number in range(1, 9)], replaced={})
    part.settle()
    again = Part(tmp_path / "one.part", KEY, cache_bytes=1 << 20)
    assert KEPT_FACTS in (asked := statements_of_facets(again))
    assert MESSAGES not in asked
    again.put([document(9)], replaced={})
    assert MESSAGES in statements_of_facets(again), "what changed is read anew"


def test_what_facets_count_is_forgotten_with_the_first_message_that_goes(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY, most_part_messages=4)
    index.add([document(number, sender=f"one{number}@once{number}.example") for number in range(1, 12)])
    index.remove([message_id(2)], more_follow=True)
    told = index.facets(parse("-nothing"), mailboxes=["one2@once2.example", "one3@once3.example"], seconds=60)
    assert told.total == 10
    assert told.counts[Facet.MAILBOX] == {"one3@once3.example": 1}
    with index._current() as parts:
        assert [len(list(part._connection.execute(KEPT_FACTS))) for part in parts] == [0, 1, 0]
    index.remove([message_id(2)])
    with index._current() as parts:
        kept = [str(row) for part in parts for row in part._connection.execute(KEPT_FACTS)]
    assert len(kept) == 2
    assert not [row for row in kept if "once2.example" in row]
    assert [row for row in kept if "once3.example" in row]


def asked_meanwhile(index: SqliteIndex, *, seconds: float) -> tuple[threading.Thread, list[tuple[int, bool]]]:
    """A search with its facets in another thread, waited for so long, and what it has answered or will."""
    answers: list[tuple[int, bool]] = []

    def ask() -> None:
        hits = index.search(parse("recall"), limit=1)
        counts = index.facets(parse("recall"), mailboxes=(), seconds=2)
        answers.append((hits.total + counts.total, hits.is_complete and counts.is_complete))

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(seconds)
    return asking, answers


def test_search_waits_neither_for_another_search_nor_for_a_writer(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY)
    index.add([body(number, "recall") for number in range(10)])
    with index._lock, index._current(), index._beside[0]._lock:
        _, answers = asked_meanwhile(index, seconds=30)
        assert answers == [(20, True)]


def test_waiting_for_other_searches_does_not_count_as_searching(tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "index", KEY, query_seconds=2)
    index.add([body(number, "recall") for number in range(10)])
    with index._current(), index._beside[0]._lock, index._beside[1]._lock:
        asking, answers = asked_meanwhile(index, seconds=2.2)
        assert answers == []
    asking.join(30)
    assert answers == [(20, True)]


def test_no_view_at_rest_keeps_a_file_open_that_was_written_anew(tmp_path: Path) -> None:
    writer, reader = (index_files.sqlite_in(tmp_path / "index", KEY) for _ in range(2))
    writer.add([body(number, "recall") for number in range(10)])
    with reader._lock, reader._beside[0]._lock:
        assert asked_meanwhile(reader, seconds=30)[1] == [(20, True)]
    assert reader._beside[1]._parts
    writer.remove([body(3).id])
    assert reader.search(parse("recall"), limit=1).total == 9
    assert not reader._beside[1]._parts
