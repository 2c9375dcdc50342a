"""The one way from a stored message to the document that searches, rules and holds look at."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

from archive.evidence import ReadDocument
from archive.extracted_text import CUT, NOT_TAKEN_APART, ExtractedText, Extraction, Unreadable, known_reason
from archive.index_document import Direction, direction_of, document_of
from archive.retention_schedule import UNCLASSIFIED
from archive.text_extraction import Extractor
from mailstore.addresses import Address, BadAddressError, parse_mailbox
from mailstore.encoded_words import header_text, unfolded
from mailstore.header_block import HeaderBlock
from mailstore.message import Envelope, MessageId, MessageSummary, StoredMessage
from mailstore.message_parts import Attachment, Body, ParsedMessage, parse
from mailstore.retrieval import Retrieval

MESSAGE_SECONDS = 60.0
"""Time for all attachments of one message together; what is left then counts as unread."""

_ADDRESS_FIELDS = (
    "from sender to cc bcc reply-to resent-from resent-sender resent-to resent-cc resent-bcc"  # RFC 5322 section 3.6
)


class DocumentReader:
    """A ``DocumentSource``: opens the message, parses it, and has its attachments read by the limited process."""

    def __init__(self, retrieval: Retrieval, extractor: Extractor) -> None:
        self._retrieval = retrieval
        self._extractor = extractor

    def read(self, message: StoredMessage) -> ReadDocument:
        """The document, in category ``unclassified``. Raises as ``Retrieval.content`` does."""
        return read_document(
            self._retrieval.content_of(message),
            message=message.id,
            received_at=message.received_at,
            envelope=_envelope(self._retrieval.summary(message)),
            extractor=self._extractor,
            direction=direction_of(message.origin),
        )


def read_document(
    content: bytes,
    *,
    message: MessageId,
    received_at: datetime,
    envelope: Envelope,
    extractor: Extractor,
    direction: Direction = Direction.RECEIVED,
) -> ReadDocument:
    """The document of a message that is open."""
    parsed = parse(content)
    texts = _Texts(extractor)
    document = document_of(
        message=message,
        received_at=received_at,
        category=UNCLASSIFIED,
        envelope=envelope,
        header_fields=_address_fields(parsed.headers),
        subjects=_decoded(parsed.headers, "subject"),
        bodies=[texts.of_body(body) for body in parsed.bodies],
        file_names=[attachment.file_name for attachment in parsed.attachments],
        attachment_texts=[texts.of_attachment(attachment) for attachment in parsed.attachments],
        has_attachment=_carries_files(parsed),
        size_bytes=len(content),
        direction=direction,
    )
    reasons = (*texts.unread, *(NOT_TAKEN_APART for _ in parsed.losses))
    return ReadDocument(document, len(reasons), reasons)


class _Texts:
    """The texts of one message's parts, and why some could not be had."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._ends = time.monotonic() + MESSAGE_SECONDS
        self.unread: list[str] = []

    def of_body(self, body: Body) -> str:
        """Plain text as it is; HTML as its words."""
        if body.kind != "html":
            return body.text
        content = body.text.encode("utf-8", "replace")
        return self._counted(
            self._extractor.extract(content, content_type="text/html", file_name="", charset="utf-8"),
        )

    def of_attachment(self, attachment: Attachment) -> str:
        """The text in it, empty when there is none."""
        if time.monotonic() > self._ends:
            return self._counted(Unreadable("timeout"))
        found = self._extractor.extract(
            attachment.content, content_type=attachment.content_type, file_name=attachment.file_name
        )
        return self._counted(found)

    def _counted(self, found: Extraction) -> str:
        if isinstance(found, ExtractedText):
            self.unread += [] if found.is_whole else [CUT]
            return found.text
        self.unread.append(known_reason(found.reason))
        return ""


def _envelope(summary: MessageSummary) -> Envelope:
    senders = _addresses([summary.sender] if summary.sender else [])
    return Envelope(senders[0] if senders else None, tuple(_addresses(summary.recipients)))


def _addresses(texts: Iterable[str]) -> list[Address]:
    found = []
    for text in texts:
        try:
            found.append(parse_mailbox(text))
        except BadAddressError:
            continue
    return found


def _address_fields(headers: HeaderBlock) -> dict[str, list[str]]:
    return {name: [unfolded(value) for value in headers.values(name)] for name in _ADDRESS_FIELDS.split()}


def _decoded(headers: HeaderBlock, name: str) -> list[str]:
    return [header_text(value) for value in headers.values(name)]


def _carries_files(parsed: ParsedMessage) -> bool:
    """True when something is attached; pictures that the HTML shows in its own place are none."""
    return any(not (attachment.is_inline and attachment.content_id) for attachment in parsed.attachments)
