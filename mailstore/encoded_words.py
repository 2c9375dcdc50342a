"""Core: header text as people read it: RFC 2047 encoded words and whatever charset a stranger claims.

Everything here is linear in its input and answers something readable for every input: mail that cannot be
decoded as labelled is still mail.
"""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache

MAX_HEADER_TEXT = 65_536
"""Characters of one header field that are looked at; a field is never that long by intent."""

MAX_LABEL = 40
"""Characters of a charset label that can still name one."""

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\s]{0,4096}+)\?=")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_PADDING = re.compile(rb"=+")
MOST_PIECES = 10_000
"""Pieces with padding of their own that one base64 text is read in."""
_QUOTED_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_TEXT_CHARSETS = re.compile(
    r"(us-ascii|ascii|utf-?8|utf-?7|utf-?16(-?[lb]e)?|utf-?32(-?[lb]e)?|iso-?8859-?\d{1,2}|latin-?\d{1,2}|"
    r"windows-?\d{3,4}|cp-?\d{3,4}|koi8-?[rtu]|mac-?[a-z]{3,9}|gb2312|gbk|gb18030|big5(-?hkscs)?|hz|"
    r"euc-?(jp|kr|cn)|iso-?2022-?(jp(-?\d)?(-?ext)?|kr)|shift[-_]?jis|sjis|ks_c_5601-1987|johab|tis-?620|viscii)\Z",
)
_ALIASES = {"ks_c_5601-1987": "cp949", "viscii": "cp1258", "gb2312": "gb18030", "iso-8859-1": "cp1252"}
"""Labels in use for a larger character set than the one they name (as in the WHATWG Encoding Standard)."""

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""Half of a pair of UTF-16. It is no character: no page, no index and no file can hold it."""


@lru_cache(maxsize=256)
def known_charset(label: str) -> str | None:
    """Python's name for a charset of text or None: ``zlib``, ``rot13`` and ``idna`` are none of mail."""
    lowered = label.strip().strip("\"'").lower().split("*", 1)[0]  # RFC 2231 section 5: a language may follow
    if len(lowered) > MAX_LABEL or not _TEXT_CHARSETS.match(lowered):
        return None
    name = _ALIASES.get(lowered, lowered)
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None


def text_of(data: bytes, charset: str) -> str:
    """Text in the claimed charset, else UTF-8, else Windows-1252; what fits nowhere becomes U+FFFD.

    UTF-7 alone can write half a character (RFC 2152 encodes UTF-16); that becomes U+FFFD too.
    """
    name = known_charset(charset)
    text = _read(data, name)
    return _HALF_CHARACTER.sub("\ufffd", text) if name == "utf-7" else text


def _read(data: bytes, name: str | None) -> str:
    for candidate in (name, "utf-8"):
        if candidate is None:
            continue
        try:
            return data.decode(candidate)
        except (UnicodeError, ValueError):
            continue
    return data.decode(name if name not in {None, "ascii"} and name is not None else "cp1252", errors="replace")


def header_text(raw: bytes | str) -> str:
    """One header field's value as a line of text: unfolded, encoded words decoded, line ends gone."""
    return decode_words(unfolded(raw))


def unfolded(raw: bytes | str) -> str:
    """The value with its folding undone (RFC 5322 section 2.2.3), as Unicode, bounded in length."""
    if isinstance(raw, bytes):
        raw = text_of(raw[:MAX_HEADER_TEXT], "")
    if "\n" in raw or "\r" in raw:
        raw = raw.replace("\r", "").replace("\n", "")
    return raw[:MAX_HEADER_TEXT].strip(" \t")


def decode_words(text: str) -> str:
    """Text with its RFC 2047 encoded words decoded; white space between neighbours vanishes (section 6.2).

    Neighbours of one charset are joined as bytes first: mail programs cut characters in two although
    section 5 forbids it.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    pending = _PendingWords()
    position = 0
    for match in _ENCODED_WORD.finditer(text):
        between = text[position : match.start()]
        if between.strip(" \t") or not pending:
            pieces += (pending.flush(), between)
        charset, encoding, payload = match.groups()
        pieces.append(pending.add(charset, _word_bytes(encoding, payload)))
        position = match.end()
    pieces += (pending.flush(), text[position:])
    return "".join(pieces).replace("\r", " ").replace("\n", " ")


class _PendingWords:
    """Bytes of neighbouring encoded words of one charset that are not text yet."""

    def __init__(self) -> None:
        self._charset = ""
        self._parts: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, charset: str, data: bytes) -> str:
        """Take one more word; answers the text of those before it when the charset changes."""
        done = self.flush() if charset.lower() != self._charset else ""
        self._charset = charset.lower()
        self._parts.append(data)
        return done

    def flush(self) -> str:
        """The text of what waits."""
        if not self._parts:
            return ""
        text = text_of(b"".join(self._parts), self._charset)
        self._parts.clear()
        return text


def _word_bytes(encoding: str, payload: str) -> bytes:
    """The bytes one encoded word stands for (RFC 2047 section 4); broken base64 gives what can be read."""
    raw = payload.encode("utf-8", "replace")
    if encoding in "qQ":
        return _QUOTED_HEX.sub(lambda match: bytes([int(match[1], 16)]), raw.replace(b"_", b" "))
    return from_base64(raw)


def from_base64(raw: bytes) -> bytes:
    """The bytes behind base64; where it is damaged, those that can be read (RFC 2045 section 6.8).

    Padding ends nothing when more comes behind it: some programs encode a file in pieces, and readers differ about
    what follows. Nothing that any of them shows may stay unread here.
    """
    padding = raw.find(b"=")
    if padding >= 0 and raw[padding:].strip(b"= \t\r\n"):
        return b"".join(map(_piece_of_base64, _PADDING.split(raw, MOST_PIECES)))
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        return _piece_of_base64(raw)


def _piece_of_base64(raw: bytes) -> bytes:
    pure = raw.translate(None, _NOT_BASE64)
    whole = pure[:-1] if len(pure) % 4 == 1 else pure
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
