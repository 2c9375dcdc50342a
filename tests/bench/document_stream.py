"""Documents without mail files: the texts of the shared practice mail, mixed anew for every document.

Each takes the paragraphs of two messages of the corpus, the people and the subject of a third, and a number of its own,
so that words and phrases keep their frequencies and the vocabulary goes on growing. What facets count is spread as a
practice has it: a few categories, more mail received than sent, and every fifth message from one of two thousand
domains that seldom write. The same documents in every run.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from archive.index_document import Direction, Field, IndexDocument
from mailstore.message import MessageId, identifier_from
from tests.bench import practice_mail

START = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=720)
"""The fixed queries ask for dates within it."""

SEED = 11
ONE_IN_SEVEN = 7
ONE_IN_FIVE = 5
OURS = "practice.test"
CATEGORIES = ("clinical", "clinical", "clinical", "billing", "billing", "administrative", "insurance", "unclassified")
SELDOM = 2_000
"""Domains that seldom write."""

_SCATTERED = 7_919
"""A prime, so that what is chosen by number does not follow the number."""


@dataclass(frozen=True)
class Text:
    """One document as text."""

    number: int
    received_at: datetime
    sender: str
    recipients: str
    subject: str
    body: str
    has_attachment: bool

    def document(self) -> IndexDocument:
        """As the archive indexes it."""
        sender, recipients = self.sender.rpartition(" ")[2], self.recipients.split()
        canonical = frozenset(word for word in recipients if "@" in word)
        texts: dict[Field, tuple[str, ...]] = {
            Field.FROM: (self.sender,),
            Field.TO: (self.recipients,),
            Field.CC: (),
            Field.BCC: (),
            Field.PARTICIPANT: (self.sender, self.recipients),
            Field.SUBJECT: (self.subject,),
            Field.BODY: (self.body,),
            Field.FILENAME: (f"report-{self.number}.pdf",) if self.has_attachment else (),
            Field.ATTACHMENT: (),
        }
        addresses = {
            Field.FROM: frozenset({sender}),
            Field.TO: canonical,
            Field.CC: frozenset[str](),
            Field.BCC: frozenset[str](),
            Field.PARTICIPANT: canonical | {sender},
        }
        message = message_id(self.number)
        return IndexDocument(
            message,
            self.received_at,
            CATEGORIES[self.number * _SCATTERED % len(CATEGORIES)],
            self.has_attachment,
            texts,
            addresses,
            size_bytes=len(self.body),
            sender_domain=self.domain,
            direction=Direction.SENT if self.domain == OURS else Direction.RECEIVED,
        )

    @property
    def domain(self) -> str:
        """The sender's domain as facets count it."""
        known = self.sender.rpartition("@")[2]
        is_of_a_stranger = known != OURS and self.number % ONE_IN_FIVE == 0
        return f"seldom{self.number // ONE_IN_FIVE * _SCATTERED % SELDOM}.test" if is_of_a_stranger else known

    def mail(self) -> bytes:
        """The same text as a message, for peers that read files."""
        message = EmailMessage()
        message["From"] = self.sender.rpartition(" ")[2]
        message["To"] = ", ".join(word for word in self.recipients.split() if "@" in word)
        message["Subject"] = self.subject
        message["Date"] = format_datetime(self.received_at)
        message["Message-ID"] = f"<{self.number}@stream.test>"
        message.set_content(self.body)
        return message.as_bytes()


def message_id(number: int) -> MessageId:
    """The id of a document."""
    return MessageId(identifier_from(number.to_bytes(16, "big")))


def mailboxes(count: int) -> list[str]:
    """The addresses of ours that take part in most messages."""
    taking_part = Counter(
        word for each in _corpus() for word in (each["from_addr"], *each["to"].split()) if word.endswith(f"@{OURS}")
    )
    return [address for address, _ in taking_part.most_common(count)]


def _corpus() -> list[dict[str, Any]]:
    lines = (practice_mail.folder() / "docs.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def texts(count: int) -> Iterator[Text]:
    """As many documents, oldest first, spread evenly over the span."""
    corpus = _corpus()
    paragraphs = [each["body"].split("\n\n") for each in corpus]
    chance = random.Random(SEED)  # noqa: S311 - the same documents in every run
    for number in range(count):
        people, one, other = chance.choice(corpus), chance.choice(paragraphs), chance.choice(paragraphs)
        cut = chance.randint(1, len(one))
        body = "\n\n".join([*one[:cut], *other[cut:], f"Reference {number:07d}"])
        received_at = START + SPAN * number / count
        yield Text(
            number,
            received_at,
            people["from"],
            people["to"],
            people["subject"],
            body,
            has_attachment=number % ONE_IN_SEVEN == 0,
        )
