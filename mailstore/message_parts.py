"""Core: a message taken apart: headers, text bodies and attachments, within stated limits.

Written for mail by strangers: one pass of ``bytes.find`` a level, at most ``Limits.depth`` levels, nothing recursive
without a bound and nothing quadratic, so that a hostile message costs at most 2 s and 256 MB. Nothing raises: what
could not be read is said in ``problems``, and the message is always there whole as its bytes.
MIME is RFC 2045 and RFC 2046. A message inside a message is an attachment and is not descended into here.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mailstore.addresses import HeaderAddress
from mailstore.encoded_words import from_base64, text_of, unfolded
from mailstore.header_block import HeaderBlock, Parametrised, body_start, headers_of, parametrised
from mailstore.message import MessageSummary, ReceivedMessage

__all__ = [
    "Attachment",
    "Body",
    "HeaderBlock",
    "Limits",
    "ParsedMessage",
    "headers_of",
    "parse",
    "summary_of",
]

MAX_SHOWN_SUBJECT = 1_000
MAX_SHOWN_ADDRESSES = 8_000
"""Characters of a summary's fields. The message itself keeps everything."""

MAX_FILE_NAME = 255
"""Characters of an attachment's name."""

_UNSAFE_IN_NAMES = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\ufeff\ud800-\udfff]"
)
_ENCODED_PART = re.compile(
    rb"^content-transfer-encoding[ \t]*+:[ \t]*+(?![78]bit|binary)", re.MULTILINE | re.IGNORECASE
)
_TRANSFER_ENCODING = re.compile(r'[\s"]*([a-z0-9\-]{1,40})')
_FOREIGN_ENCODING = re.compile(r"x-|uu|mac-binhex|yenc")
"""Encodings of a time before MIME, or of one program, which some readers undo (RFC 2045 section 6.3)."""
_BOUNDARY = re.compile(r"(?i);\s*boundary\s*=")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]{1,80}/[a-z0-9!#$&^_.+\-]{1,120}\Z")


@dataclass(frozen=True)
class Limits:
    """How far a message is taken apart. Beyond a limit the rest is left in the raw bytes and a problem is noted."""

    depth: int = 20
    parts: int = 1_000
    body_bytes: int = 8 * 1024 * 1024
    all_bodies_bytes: int = 16 * 1024 * 1024


LIMITS = Limits()


@dataclass(frozen=True)
class Body:
    """One text of the message. ``kind`` is ``text`` or ``html``; html is as sent and must be sanitised to be shown.

    ``is_one_of_several``: the same is said once more in another form (RFC 2046 section 5.1.4).
    """

    kind: str
    text: str = field(repr=False)
    is_one_of_several: bool = False


@dataclass(frozen=True)
class Attachment:
    """One file of the message. ``position`` counts from 0; ``file_name`` is a plain name, safe to show and to save.

    ``content`` decodes anew at each call and is never kept.
    """

    position: int
    file_name: str = field(repr=False)
    content_type: str
    content_id: str = field(repr=False)
    is_inline: bool
    encoded: memoryview = field(repr=False, compare=False)
    transfer_encoding: str

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        return _decoded(self.encoded, self.transfer_encoding)

    @cached_property
    def size_bytes(self) -> int:
        """How large the file is."""
        return len(self.content)


@dataclass(frozen=True)
class ParsedMessage:
    """A message taken apart. ``problems`` says in plain words what could not be read as sent.

    ``losses`` are those of them by which something may have stayed unread; the others cost no word of the message.
    """

    headers: HeaderBlock
    bodies: tuple[Body, ...]
    attachments: tuple[Attachment, ...]
    problems: tuple[str, ...]
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A stretch of the message that is one entity, headers included."""

    start: int
    end: int
    depth: int
    default_type: str = "text/plain"
    is_one_of_several: bool = False


def parse(content: bytes, limits: Limits = LIMITS) -> ParsedMessage:
    """The message's headers, bodies and attachments. Never raises."""
    reading = _Reading(content, limits)
    reading.run()
    return ParsedMessage(
        headers_of(content),
        tuple(reading.bodies),
        tuple(reading.attachments),
        tuple(reading.problems),
        tuple(problem for problem, is_loss in reading.problems.items() if is_loss),
    )


class _Reading:
    """One message being taken apart, with what was used up of the limits."""

    def __init__(self, content: bytes, limits: Limits) -> None:
        self._content = content
        self._limits = limits
        self._waiting = [_Part(0, len(content), 0)]
        self._left_for_bodies = limits.all_bodies_bytes
        self._seen = 0
        self.bodies: list[Body] = []
        self.attachments: list[Attachment] = []
        self.problems: dict[str, bool] = {}

    def run(self) -> None:
        """Take the parts in the order in which they stand, until none is left or a limit is met."""
        while self._waiting:
            if self._seen >= self._limits.parts:
                self._note(f"the message has more than {self._limits.parts} parts; the rest was not read")
                return
            self._seen += 1
            self._take(self._waiting.pop())

    def _note(self, problem: str, *, is_loss: bool = True) -> None:
        self.problems[problem] = is_loss or self.problems.get(problem, False)

    def _hides_parts(self, begin: int, end: int) -> bool:
        """True when parts stand here in an encoding that reading the whole as one text leaves undecoded."""
        return _ENCODED_PART.search(self._content, begin, end) is not None

    def _take(self, part: _Part) -> None:
        block = headers_of(self._content, part.start, part.end)
        if not block.is_whole:
            self._note("a header block is damaged or larger than is read")
        begin = min(body_start(self._content, block, part.start), part.end)
        if block.count("content-type") > 1:
            is_loss = self._hides_parts(begin, part.end) and _might_be_multipart(block)
            self._note("a part names its type twice; the first counts", is_loss=is_loss)
        kind = parametrised(block.raw("content-type"))
        media_type = kind.value if _MEDIA_TYPE.match(kind.value) else part.default_type
        if not media_type.startswith("multipart/") or not self._descend(part, block, begin, media_type, kind):
            self._leaf(part, block, kind, media_type, begin)

    def _descend(self, part: _Part, block: HeaderBlock, begin: int, media_type: str, kind: Parametrised) -> bool:
        """Queue the parts of a multipart; False when it is none after all and should be read as one piece."""
        if len(_BOUNDARY.findall(block.raw("content-type"))) > 1:
            self._note("a multipart names two boundaries; the first counts")
        boundary = kind.parameters.get("boundary", "").rstrip(" ").encode("utf-8", "replace")
        if not boundary or len(boundary) > 1_000:  # noqa: PLR2004 - RFC 2046 section 5.1.1 allows 70; real mail strays
            self._note("a multipart has no usable boundary", is_loss=self._hides_parts(begin, part.end))
            return False
        if part.depth >= self._limits.depth:
            self._note(f"parts are nested deeper than {self._limits.depth}; what lies deeper was not taken apart")
            return False
        room = self._limits.parts - self._seen - len(self._waiting) + 1
        default = "message/rfc822" if media_type == "multipart/digest" else "text/plain"
        several = part.is_one_of_several or media_type == "multipart/alternative"
        found = [
            _Part(start, end, part.depth + 1, default, several)
            for start, end in _between(self._content, boundary, begin, part.end, at_most=max(room, 1))
        ]
        if not found:
            self._note("a multipart does not contain its boundary", is_loss=self._hides_parts(begin, part.end))
        self._waiting += reversed(found)
        return bool(found)

    def _leaf(self, part: _Part, block: HeaderBlock, kind: Parametrised, media_type: str, begin: int) -> None:
        disposition = parametrised(block.raw("content-disposition"))
        name = disposition.parameters.get("filename") or kind.parameters.get("name", "")
        is_text = media_type in {"text/plain", "text/html"} or media_type.startswith("multipart/")
        if is_text and disposition.value != "attachment" and not name:
            self._body(part, "html" if media_type == "text/html" else "text", block, kind, begin)
            return
        position = len(self.attachments)
        self.attachments.append(
            Attachment(
                position=position,
                file_name=plain_file_name(name, position, media_type),
                content_type=media_type,
                content_id=block.raw("content-id").strip("<> ")[:MAX_FILE_NAME],
                is_inline=disposition.value == "inline",
                encoded=memoryview(self._content)[begin : part.end],
                transfer_encoding=self._transfer_encoding(block),
            ),
        )

    def _transfer_encoding(self, block: HeaderBlock) -> str:
        """The encoding of a part: its first word, whatever stands behind it (RFC 2045 section 6.1)."""
        values = [unfolded(value).lower() for value in block.values("content-transfer-encoding")]
        told = [found[1] for value in values if (found := _TRANSFER_ENCODING.match(value))]
        if len(set(told)) > 1:
            self._note("a part names its encoding twice; the first counts")
        if any(map(_FOREIGN_ENCODING.match, told)):
            self._note("a part is in an encoding that is not read")
        return told[0] if told else ""

    def _body(self, part: _Part, kind: str, block: HeaderBlock, content_type: Parametrised, begin: int) -> None:
        end = part.end
        room = min(self._limits.body_bytes, self._left_for_bodies)
        if end - begin > room:
            self._note("a text is longer than is shown; the rest is in the original message")
            end = begin + room
        self._left_for_bodies -= end - begin
        octets = _decoded(memoryview(self._content)[begin:end], self._transfer_encoding(block))
        text = text_of(octets, content_type.parameters.get("charset", "")[:80])
        text = text.replace("\r\n", "\n").replace("\0", "\ufffd")
        self.bodies.append(Body(kind, text, is_one_of_several=part.is_one_of_several))


def _might_be_multipart(block: HeaderBlock) -> bool:
    """True when a part that was read as one piece calls itself a multipart in a later field."""
    first, *others = [parametrised(unfolded(value)).value for value in block.values("content-type")]
    return not first.startswith("multipart/") and any(other.startswith("multipart/") for other in others)


def _between(content: bytes, boundary: bytes, begin: int, end: int, *, at_most: int) -> Iterator[tuple[int, int]]:
    """The stretches between the delimiter lines of a multipart (RFC 2046 section 5.1.1), the last even if open.

    The line end before a delimiter belongs to the delimiter; the one behind it may belong to the next. Nothing
    between two delimiters is no part.
    """
    delimiter = re.compile(rb"\n--" + re.escape(boundary) + rb"(--)?+[ \t\r]*+(?=\n|\Z)")
    opened: int | None = None
    for match in delimiter.finditer(content, max(begin - 1, 0), end):
        if opened is not None:
            stop = match.start() - content.startswith(b"\r", match.start() - 1)
            if stop > opened:
                yield opened, stop
            at_most -= 1
        if match[1] or at_most <= 0:
            return
        opened = min(match.end() + 1, end)
    if opened is not None and opened < end:
        yield opened, end


def _decoded(encoded: memoryview, transfer_encoding: str) -> bytes:
    """The bytes behind a Content-Transfer-Encoding (RFC 2045 section 6); broken base64 gives what can be read."""
    match transfer_encoding:
        case "base64":
            return from_base64(bytes(encoded))
        case "quoted-printable":
            return binascii.a2b_qp(bytes(encoded))
        case _:
            return bytes(encoded)


def plain_file_name(claimed: str, position: int, media_type: str) -> str:
    """A file name without folders, controls or direction marks, and never empty or hidden."""
    last = re.split(r"[/\\]", claimed[: 4 * MAX_FILE_NAME])[-1]
    name = _UNSAFE_IN_NAMES.sub("_", last).strip(" .")
    if len(name) > MAX_FILE_NAME:
        stem, dot, ending = name.rpartition(".")
        name = f"{stem[: MAX_FILE_NAME - 20]}{dot}{ending[:19]}"
    if name:
        return name
    return f"attachment-{position + 1}" + (".eml" if media_type == "message/rfc822" else "")


def summary_of(received: ReceivedMessage, trace_fields: str) -> MessageSummary:
    """What a list shows of a message, from its header block alone: cheap enough for every SMTP delivery."""
    block = headers_of(received.content)
    sender = received.envelope.sender
    references = dict.fromkeys((*block.message_ids("references"), *block.message_ids("in-reply-to")))
    return MessageSummary(
        subject=block.text("subject")[:MAX_SHOWN_SUBJECT],
        from_=listed(block.addresses("from")),
        to=listed(block.addresses("to")),
        cc=listed(block.addresses("cc")),
        date=block.text("date")[:100],
        header_message_id=next(iter(block.message_ids("message-id")), ""),
        references=tuple(references),
        sender=sender.text if sender else "",
        recipients=tuple(address.text for address in received.envelope.recipients),
        trace_fields=trace_fields,
    )


def listed(entries: tuple[HeaderAddress, ...]) -> str:
    """Address entries as one line that reads back as the same entries, cut at a whole entry."""
    shown: list[str] = []
    length = 0
    for entry in entries:
        one = _entry_text(entry)
        length += len(one) + 2
        if length > MAX_SHOWN_ADDRESSES:
            break
        shown.append(one)
    return ", ".join(shown)


def _entry_text(entry: HeaderAddress) -> str:
    if entry.address is None:
        return '"' + re.sub(r'["\\]', "'", entry.raw) + '"'
    if not entry.display_name:
        return entry.address.text
    name = entry.display_name
    if re.search(r'[()<>\[\]:;@\\,."]', name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{entry.address.text}>"
