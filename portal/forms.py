"""Core: what a browser sent, parsed in memory within limits. Nothing of it ever touches a disk.

The framework's own reader spools uploads over a megabyte to temporary files; patients' photographs must not lie
there in plain text, so multipart bodies are read here (RFC 7578).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from mailstore.errors import LimitExceededError, RefusedError
from portal.errors import ForgedFormError

FIELDS_AT_MOST = 300
TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a form field, not a secret


class UnreadableFormError(RefusedError):
    """The body is not a form that a browser would send."""

    code = "unreadable_form"


@dataclass(frozen=True)
class Upload:
    """One file, whole, in memory."""

    field_name: str
    file_name: str = field(repr=False)
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Form:
    """The fields in the order in which they came, and the files."""

    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    files: tuple[Upload, ...] = field(default=(), repr=False)

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field, with ordinary line ends."""
        return next((value for key, value in self.pairs if key == name), default).replace("\r\n", "\n")

    def line(self, name: str) -> str:
        """The first value of a one-line field, trimmed."""
        return " ".join(self.get(name).split())

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field, as checkboxes send them."""
        return tuple(value for key, value in self.pairs if key == name)

    def is_set(self, name: str) -> bool:
        """True when a box was ticked or a field filled in."""
        return bool(self.get(name).strip())


def require_token(form: Form, expected: str) -> None:
    """Raises ForgedFormError unless the form carries this session's own token."""
    if not hmac.compare_digest(form.get(TOKEN_FIELD).encode(), expected.encode()):
        raise ForgedFormError("the form does not belong to this session", fix="Open the page again.")


def parse(body: bytes, content_type: str, *, files_at_most: int) -> Form:
    """The form in a request body. Raises UnreadableFormError or LimitExceededError."""
    kind, options = parse_options_header(content_type or "")
    if kind == "application/x-www-form-urlencoded" or (not body and not kind):
        return Form(_urlencoded(body))
    if kind == "multipart/form-data" and options.get("boundary"):
        return _multipart(body, options, files_at_most=files_at_most)
    raise UnreadableFormError("this is not a form", fix="Send the form of the page.")


def _urlencoded(body: bytes) -> tuple[tuple[str, str], ...]:
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_AT_MOST, errors="strict")
    except ValueError:
        raise UnreadableFormError("this form cannot be read") from None
    return tuple(pairs)


def _multipart(body: bytes, options: Mapping[str, str], *, files_at_most: int) -> Form:
    parser = PushMultipartParser(
        options["boundary"], content_length=len(body), max_segment_count=FIELDS_AT_MOST + files_at_most
    )
    pairs: list[tuple[str, str]] = []
    files: list[Upload] = []
    try:
        with parser:
            for segment, content in _segments(parser.parse(body)):
                if segment.filename is None:
                    pairs.append((segment.name or "", content.decode("utf-8")))
                elif segment.filename or content:
                    files.append(_upload(segment, content))
    except (MultipartError, UnicodeDecodeError):
        raise UnreadableFormError("this form cannot be read") from None
    if len(files) > files_at_most:
        raise LimitExceededError(f"more than {files_at_most} files", fix="Send the rest in a second message.")
    return Form(tuple(pairs), tuple(files))


def _segments(
    events: Iterable[MultipartSegment | bytes | bytearray | None],
) -> Iterable[tuple[MultipartSegment, bytes]]:
    segment: MultipartSegment | None = None
    content = bytearray()
    for event in events:
        if isinstance(event, MultipartSegment):
            segment, content = event, bytearray()
        elif event is None:
            if segment is not None:
                yield segment, bytes(content)
        else:
            content += event


def _upload(segment: MultipartSegment, content: bytes) -> Upload:
    name = (segment.filename or "attachment").replace("\\", "/").rsplit("/", 1)[-1]
    return Upload(segment.name or "", name or "attachment", segment.content_type or "application/octet-stream", content)
