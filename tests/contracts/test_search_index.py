"""What every search engine must do. ``ENGINES`` lists the adapters; each makes an index in an empty directory."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.document_reading import read_document
from archive.index_document import Direction, Field, IndexDocument, document_of
from archive.query_conditions import AllOf, AnyOf, Not, Prefix, Query, ReceivedBefore, Words, matches
from archive.search_facets import Facet, condition_of, facets_of
from archive.search_index import QueryTooWideError, SearchIndex
from archive.search_index_whoosh import WhooshIndex
from archive.search_query import parse
from archive.search_relevance import Order, relevance
from archive.text_extraction import TextExtractor
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, identifier_from
from tests import index_files

KEY = bytes(range(32))
START = datetime(2024, 1, 1, tzinfo=UTC)
REAL_MAIL_EVERY = 4
"""Which of the real messages a test reads, so that it takes seconds."""


def whoosh(directory: Path) -> SearchIndex:
    return WhooshIndex(index_files.storage_in(directory, KEY))


def sqlite(directory: Path) -> SearchIndex:
    """In parts of three messages each, so that every test has several."""
    return index_files.sqlite_in(directory, KEY, most_part_messages=3)


ENGINES = {"whoosh": whoosh, "sqlite": sqlite}


@pytest.fixture(params=ENGINES)
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SearchIndex]:
    engine = ENGINES[request.param]
    return lambda: engine(tmp_path / "index")


def message_id(number: int) -> MessageId:
    return MessageId(identifier_from(number.to_bytes(16, "big")))


def document(
    number: int,
    *,
    subject: str = "",
    bodies: tuple[str, ...] = (),
    sender: str = "dr@clinic.example",
    to: str = "Pat Patient <pat@mail.example>",
    blind: tuple[str, ...] = (),
    file_names: tuple[str, ...] = (),
    attachment_texts: tuple[str, ...] = (),
    category: str = "unclassified",
    received_at: datetime | None = None,
    direction: Direction = Direction.RECEIVED,
) -> IndexDocument:
    recipients = tuple(parse_mailbox(each) for each in ("pat@mail.example", *blind))
    return document_of(
        message=message_id(number),
        received_at=received_at or START + timedelta(days=number),
        category=category,
        envelope=Envelope(parse_mailbox(sender), recipients),
        header_fields={"from": [f"Doctor <{sender}>"], "to": [to]},
        subjects=[subject],
        bodies=bodies,
        file_names=file_names,
        attachment_texts=attachment_texts,
        has_attachment=bool(file_names),
        direction=direction,
    )


def found(index: SearchIndex, query: str, limit: int = 100) -> list[int]:
    hits = index.search(parse(query), limit=limit)
    return [int.from_bytes(_bytes_of(hit.id), "big") for hit in hits.items]


def _bytes_of(message: MessageId) -> bytes:
    return base64.b32decode(message.upper() + "=" * 6)


def test_a_message_is_found_by_what_it_says(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add(
        [
            document(1, subject="Lab result", bodies=("Your potassium is fine.",)),
            document(2, subject="Invoice", bodies=("result of the lab",), file_names=("scan.pdf",)),
            document(3, subject="再検査", bodies=("糖尿病の検査です",), blind=("audit@clinic.example",)),
        ]
    )
    assert found(index, '"lab result"') == [1]
    assert found(index, "lab result") == [2, 1]
    assert found(index, "result -potassium") == [2]
    assert found(index, "POTASSIUM OR invo*") == [2, 1]
    assert found(index, "糖尿病") == [3]
    assert found(index, "病糖") == []
    assert found(index, "bcc:audit@clinic.example") == [3]
    assert found(index, "to:audit@clinic.example") == []
    assert found(index, "participant:audit") == [3]
    assert found(index, "has:attachment") == [2]
    assert found(index, "filename:scan") == [2]
    assert found(index, f"id:{message_id(3)}") == [3]
    assert found(index, "after:2024-01-03 before:2024-01-04") == [2]
    assert found(index, "category:unclassified -has:attachment") == [3, 1]


def test_the_newest_come_first_and_the_total_counts_all(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add(document(n, subject="recall") for n in range(1, 8))
    hits = index.search(parse("recall"), limit=3)
    assert hits.total == 7
    assert found(index, "recall", limit=3) == [7, 6, 5]
    assert (index.search(parse("recall"), limit=0).total, found(index, "recall", limit=0)) == (7, [])
    assert hits.items[0].received_at == START + timedelta(days=7)


def test_a_search_may_be_kept_among_some_messages(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add(document(n, subject="recall") for n in range(1, 8))
    assert index.search(parse("recall"), limit=9, among=[message_id(2), message_id(99)]).total == 1


def test_adding_again_replaces(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add([document(1, subject="first"), document(2, subject="other")])
    index.add([document(1, subject="second")])
    assert index.document_count() == 2
    assert found(index, "first") == []
    assert found(index, "second") == [1]


def test_a_removed_message_is_found_no_more(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add(document(n, subject=f"word{n} shared") for n in range(1, 6))
    index.remove([message_id(2), message_id(4), message_id(77)])
    assert index.document_count() == 3
    assert found(index, "shared") == [5, 3, 1]
    assert found(index, "word2 OR word4") == []
    index.remove([message_id(n) for n in range(1, 6)])
    assert index.document_count() == 0
    assert found(index, "-nothing") == []


def test_another_reader_sees_what_was_committed(open_index: Callable[[], SearchIndex]) -> None:
    writer, reader = open_index(), open_index()
    assert found(reader, "-nothing") == []
    for number in range(1, 30):
        writer.add([document(number, subject="burst")])
        assert len(found(reader, "burst")) == number
    writer.clear()
    assert reader.document_count() == 0
    writer.add([document(1, subject="burst")])
    assert found(reader, "burst") == [1]


def test_a_prefix_that_stands_for_much_is_answered_or_refused(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add([document(1, bodies=(" ".join(f"qq{n}" for n in range(2_500)),))])
    with suppress(QueryTooWideError):
        assert found(index, "qq*") == [1]
    assert found(index, "qq249*") == [1]


WORDS = [
    "lab",
    "Lab",
    "result",
    "résultat",
    "straße",
    "STRASSE",
    "糖尿病",
    "שלום",
    "مرحبا",
    "x1",
    "re\u00adsult",
    "a",
    "of",
]
texts = st.lists(st.sampled_from([*WORDS, "\n", ",", "-", "pat@mail.example"]), max_size=6).map(" ".join)
short = st.lists(texts, max_size=2).map(tuple)
MAILBOXES = ["dr@clinic.example", "pat@mail.example", "päd@xn--mller-kva.example"]
ADDRESSES = ["dr@clinic.example", "DR@Clinic.example", "pat@mail.example", "päd@müller.example", "x.lab@clinic.example"]
numbers = count(1)
documents = st.builds(
    document,
    number=st.builds(lambda: next(numbers)),
    subject=texts,
    bodies=short,
    sender=st.sampled_from(ADDRESSES),
    to=st.sampled_from(
        ["Lab Result <pat@mail.example>", "undisclosed:;", '"Pat, lab" <PAT@MAIL.example>, x@y.example']
    ),
    blind=st.lists(st.sampled_from(ADDRESSES), max_size=1).map(tuple),
    file_names=st.lists(st.sampled_from(["lab.pdf", "Résultat_x1.docx"]), max_size=2).map(tuple),
    attachment_texts=short,
    category=st.sampled_from(["unclassified", "medical-record", "Medical-Record"]),
    direction=st.sampled_from(list(Direction)),
    received_at=st.datetimes(datetime(2023, 12, 30), datetime(2024, 2, 3), timezones=st.just(UTC)),  # noqa: DTZ001
)
values = st.one_of(
    st.sampled_from(
        ["lab", "LAB", "result", "résultat", "strasse", "糖尿", "病", "שלום", "x1", "of", "mail", "la*", "rés*"]
    ),
    st.sampled_from(['"lab result"', '"result of"', '"糖尿病 lab"', '"a a"', "pat@mail.example", "clinic.example"]),
)
named = st.builds("{}:{}".format, st.sampled_from([field.value for field in Field]), values)
people = st.builds("{}:{}".format, st.sampled_from(["from", "to", "bcc", "participant"]), st.sampled_from(ADDRESSES))
facts = st.sampled_from(
    [
        "has:attachment",
        "category:medical-record",
        "category:medical",
        "after:2024",
        "before:2024-01-15",
        "after:2024-02",
        "domain:clinic.example",
        "domain:müller.example",
        "direction:sent",
    ]
)
queries = st.recursive(
    st.one_of(values, named, people, facts),
    lambda inner: st.one_of(
        st.builds("({} {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("-({})".format, inner),
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=st.lists(documents, min_size=1, max_size=8), asked=st.lists(queries, min_size=20, max_size=40))
def test_the_index_answers_as_the_messages_themselves_do(
    engine: str, some: list[IndexDocument], asked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = ENGINES[engine](tmp_path_factory.mktemp("index"))
    half = len(some) // 2
    index.add(some[:half])
    index.add(some[half:])
    for text in asked:
        query: Query = parse(text)
        expected = {each.id for each in some if matches(query, each)}
        assert {hit.id for hit in index.search(query, limit=100).items} == expected, text


def counted(found: list[IndexDocument]) -> Counter[tuple[Facet, str]]:
    return Counter(each for document in found for each in facets_of(document, mailboxes=MAILBOXES))


def facets_of_index(index: SearchIndex, query: Query) -> dict[tuple[Facet, str], int]:
    told = index.facets(query, mailboxes=MAILBOXES, seconds=60)
    assert told.is_complete
    assert told.total == index.search(query, limit=1).total
    return {(facet, value): count for facet, values in told.counts.items() for value, count in values.items()}


def in_order(query: Query, some: list[IndexDocument]) -> list[MessageId]:
    found = [each for each in some if matches(query, each)]
    found.sort(key=lambda each: (relevance(query, each), each.received_at, each.id), reverse=True)
    return [each.id for each in found]


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=st.lists(documents, min_size=1, max_size=9), asked=st.lists(queries, min_size=10, max_size=20))
def test_each_facet_counts_the_results_that_it_would_leave(
    engine: str, some: list[IndexDocument], asked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = ENGINES[engine](tmp_path_factory.mktemp("index"))
    index.add(some)
    for query in map(parse, asked):
        told = facets_of_index(index, query)
        assert told == counted([each for each in some if matches(query, each)])
        for (facet, value), results in told.items():
            assert index.search(AllOf((query, condition_of(facet, value))), limit=1).total == results


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=st.lists(documents, min_size=1, max_size=9), asked=st.lists(queries, min_size=10, max_size=20))
def test_the_most_relevant_come_first(
    engine: str, some: list[IndexDocument], asked: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = ENGINES[engine](tmp_path_factory.mktemp("index"))
    index.add(some)
    for query in map(parse, asked):
        hits = index.search(query, limit=4, order=Order.RELEVANCE)
        assert [hit.id for hit in hits.items] == in_order(query, some)[:4]


def test_facets_follow_what_is_added_and_removed_by_another(open_index: Callable[[], SearchIndex]) -> None:
    writer, reader = open_index(), open_index()
    everything = parse("-nothing")
    for number in range(1, 8):
        writer.add([document(number, subject="burst")])
        assert facets_of_index(reader, everything)[Facet.YEAR, "2024"] == number
    writer.remove([message_id(7), message_id(1)])
    writer.add([document(2, category="billing", direction=Direction.SENT)])
    told = facets_of_index(reader, everything)
    assert told[Facet.DIRECTION, "received"] == 4
    assert told[Facet.CATEGORY, "billing"] == 1
    assert told[Facet.MAILBOX, "pat@mail.example"] == 5


def test_facets_without_time_say_that_they_are_not_all(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add([document(1, subject="burst")])
    told = index.facets(parse("burst"), mailboxes=(), seconds=-1.0)
    assert (told.is_complete, told.total) == (False, 0)


def test_a_word_in_the_subject_says_more_than_one_in_the_text(open_index: Callable[[], SearchIndex]) -> None:
    index = open_index()
    index.add(
        [
            document(1, subject="knee surgery"),
            document(2, subject="surgery of the knee"),
            document(3, bodies=("knee surgery",)),
            document(4, attachment_texts=("surgery", "knee"), file_names=("a.pdf", "b.pdf")),
        ]
    )
    hits = index.search(parse("knee surgery"), limit=9, order=Order.RELEVANCE)
    assert [hit.id for hit in hits.items] == [message_id(number) for number in (1, 2, 3, 4)]
    assert found(index, "knee surgery") == [4, 3, 2, 1]


def real_mail() -> list[IndexDocument]:
    """A part of the folder of real mail, in many charsets and forms, broken ones too."""
    folder = Path(__file__).parents[1] / "data" / "mail"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()][::REAL_MAIL_EVERY]
    envelope = Envelope(parse_mailbox("dr@clinic.example"), (parse_mailbox("päd@müller.example"),))
    with TextExtractor() as extractor:
        return [
            read_document(
                path.read_bytes(),
                message=message_id(number),
                received_at=START + timedelta(hours=number),
                envelope=envelope,
                extractor=extractor,
            ).document
            for number, path in enumerate(paths)
        ]


def questions_about(documents: list[IndexDocument], chance: Random) -> Iterator[Query]:
    """Words, phrases and beginnings that stand in the documents, in a field or anywhere, joined in every way."""
    while True:
        texts = chance.choice(documents).words
        name = chance.choice([name for name in Field if any(texts[name])])
        words = chance.choice([words for words in texts[name] if words])
        at, where = chance.randrange(len(words)), chance.choice([name, None])
        phrase = Words(where, tuple(words[at : at + chance.randint(1, 4)]))
        other = Words(None, (words[chance.randrange(len(words))],))
        early = ReceivedBefore(START + timedelta(hours=chance.randrange(len(documents))))
        yield phrase
        yield AllOf((phrase, Not(other)))
        yield AnyOf((AllOf((phrase, early)), Not(AnyOf((other, early)))))
        if len(words[at]) > 2:
            yield AllOf((Prefix(where, words[at][: chance.randint(2, 6)]), early))


def test_all_engines_answer_alike_about_real_mail(tmp_path: Path) -> None:
    documents = real_mail()
    indexes = {
        "whoosh": whoosh(tmp_path / "whoosh"),
        "sqlite": index_files.sqlite_in(tmp_path / "sqlite", KEY, most_part_messages=30),
    }
    for index in indexes.values():
        index.add(documents)
    chance = Random(7)  # noqa: S311 - the same questions at every run
    for query in islice(questions_about(documents, chance), 120):
        expected = {each.id for each in documents if matches(query, each)}
        for name, index in indexes.items():
            assert {hit.id for hit in index.search(query, limit=1_000).items} == expected, (name, query)
    for query in islice(questions_about(documents, chance), 40):
        expected_counts = counted([each for each in documents if matches(query, each)])
        for name, index in indexes.items():
            assert facets_of_index(index, query) == expected_counts, (name, query)
            best = index.search(query, limit=1_000, order=Order.RELEVANCE)
            assert [hit.id for hit in best.items] == in_order(query, documents), (name, query)
