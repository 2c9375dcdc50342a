"""What may be in a dictionary, and what it is good for. The canaries stand for mail that was disposed of."""

from __future__ import annotations

import random

import pytest

from mailstore.mail_dictionary import MAX_BYTES, MIN_CONVERSATIONS, MIN_SENDERS, Sample, dictionary_text

FOOT = b"\r\n--\r\nThis message may contain protected health information of the patient.\r\n"
WORDS = [b"blood", b"pressure", b"results", b"visit", b"tomorrow", b"please", b"the", b"and", b"of", b"your"]


def samples(count: int = 60, *, senders: int = 12, canary: bytes = b"", canaries: range = range(0)) -> list[Sample]:
    """Mail of a practice: headers and a foot that all share, words of a few in an order of their own."""
    chance = random.Random(4)  # noqa: S311 -- the same words at every run
    made = []
    for number in range(count):
        said = b" ".join(chance.choices(WORDS, k=60)) + (b" " + canary if number in canaries else b"")
        head = b"MIME-Version: 1.0\r\nMessage-ID: <%x@clinic.example>\r\n\r\n" % chance.getrandbits(64)
        made.append(Sample(head + said + FOOT, f"conversation {number}", b"sender %d" % (number % senders)))
    return made


def test_what_all_mail_shares_is_in_the_dictionary() -> None:
    text = dictionary_text(samples())
    assert b"This message may contain protected " in text
    assert b"MIME-Version: 1.0" in text
    assert len(text) <= MAX_BYTES


@pytest.mark.parametrize(
    "canary",
    [
        b"tumour marker elevated",
        b"Frau Kowalczyk",
        b"please the blood and pressure of visit your tomorrow results and and the the of of",
        b"4111-1111-1111-1111",
    ],
)
def test_words_of_one_message_are_not(canary: bytes) -> None:
    text = dictionary_text(samples(canary=canary, canaries=range(1)))
    assert canary not in text
    assert b"Kowalczyk" not in text
    assert b"tumour" not in text
    assert b"4111" not in text


def test_words_of_nineteen_conversations_are_not_and_of_twenty_are() -> None:
    canary = b"Zygomaticus maior"
    assert canary not in dictionary_text(samples(canary=canary, canaries=range(MIN_CONVERSATIONS - 1)))
    assert canary in dictionary_text(samples(canary=canary, canaries=range(MIN_CONVERSATIONS)))


def test_what_is_quoted_to_and_fro_in_one_conversation_counts_once() -> None:
    canary = b"Zygomaticus maior"
    mail = [
        Sample(each.text, "one" if number < 50 else each.conversation, each.sender)
        for number, each in enumerate(samples(canary=canary, canaries=range(50)))
    ]
    assert canary not in dictionary_text(mail)


def test_what_few_senders_write_is_not_however_often() -> None:
    canary = b"Zygomaticus maior"
    mail = [
        Sample(each.text, each.conversation, b"%d" % (number % (MIN_SENDERS - 1)) if number < 40 else each.sender)
        for number, each in enumerate(samples(canary=canary, canaries=range(40)))
    ]
    assert canary not in dictionary_text(mail)


def test_no_fragment_longer_than_two_words_survives_that_only_one_message_has() -> None:
    """Every five bytes in a row that stand in the dictionary's fragments come from shared text or from its seams."""
    unique = [b"q%dq" % number for number in range(60)]
    mail = [
        Sample(each.text + b" ".join(unique[number : number + 1] * 3), each.conversation, each.sender)
        for number, each in enumerate(samples())
    ]
    text = dictionary_text(mail)
    assert [word for word in unique if word in text] == []


def test_mail_that_shares_nothing_has_an_empty_dictionary() -> None:
    chance = random.Random(5)  # noqa: S311 -- the same words at every run
    mail = [Sample(b"%x" % chance.getrandbits(4000), str(number), b"%d" % number) for number in range(40)]
    assert dictionary_text(mail) == b""
    assert dictionary_text([]) == b""
