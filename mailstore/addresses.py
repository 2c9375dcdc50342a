"""Core: mail addresses: parsed strictly where they decide something, tolerantly where they are only shown.

Strict forms are RFC 5321 section 4.1.2 with the internationalised extension of RFC 6531 section 3.3. Source
routes are refused: RFC 5321 appendix C lets a server decline to relay them, and we relay for nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import idna

from mailstore.encoded_words import MAX_HEADER_TEXT, decode_words
from mailstore.errors import RefusedError

MAX_LOCAL_OCTETS = 64
MAX_DOMAIN_OCTETS = 255
MAX_PATH_OCTETS = 256
"""RFC 5321 section 4.5.3.1.1 to 4.5.3.1.3."""

MAX_HEADER_ADDRESSES = 1_000
"""Addresses of one header field that are taken apart; the rest stays in the raw message."""

MAX_RAW_ENTRY = 1_000
"""Characters kept of one entry as written."""

MAX_LABEL_OCTETS = 63
"""RFC 1035 section 2.3.4."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_DOT_ATOM = re.compile(rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*+\Z")
_DOT_ATOM_UTF8 = re.compile(rf"[{_ATEXT}\x80-\U0010ffff]+(?:\.[{_ATEXT}\x80-\U0010ffff]+)*+\Z")
_QUOTED_LOCAL = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])++)"\Z')
_QUOTED_PAIR = re.compile(r"\\(.)")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?)*\Z")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]\Z", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that no mailbox name shows to its reader."""
_BIDI_AND_INVISIBLE = frozenset(
    "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad",
)


class BadAddressError(RefusedError):
    """These characters are no mail address."""

    code = "bad_address"


@dataclass(frozen=True)
class Address:
    """One mailbox name. ``local`` is what is meant, without the quotes it may need; ``domain`` is as written.

    Kept out of ``repr``: a patient's address is health information, and tracebacks end up in logs.
    """

    local: str = field(repr=False)
    domain: str = field(repr=False)

    @property
    def text(self) -> str:
        """The address as it is written in an envelope or header field, quoted where it must be."""
        if _DOT_ATOM_UTF8.match(self.local):
            return f"{self.local}@{self.domain}"
        quoted = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'

    @property
    def canonical(self) -> str:
        """The one spelling we look a mailbox up by: lower case, NFC, the domain as A-labels (RFC 5891)."""
        local = unicodedata.normalize("NFC", self.local.lower())
        return f"{local}@{canonical_domain(self.domain)}"

    @property
    def is_ascii(self) -> bool:
        """True when the address travels without SMTPUTF8 (a Unicode domain does, as A-labels)."""
        return self.local.isascii()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class HeaderAddress:
    """One entry of an address field. ``address`` is None when nothing unambiguous could be read."""

    display_name: str = field(repr=False)
    address: Address | None
    raw: str = field(repr=False)


def parse_path(path: bytes, *, smtputf8: bool = False) -> Address | None:
    """A reverse-path or forward-path in its angle brackets (RFC 5321 section 4.1.2); ``<>`` gives None.

    Raises ``BadAddressError`` for everything else: source routes, missing brackets, missing domain, controls,
    non-ASCII without SMTPUTF8.
    """
    if len(path) > MAX_PATH_OCTETS + 2:
        raise BadAddressError("the path is longer than 256 octets")
    if path[:1] != b"<" or path[-1:] != b">":
        raise BadAddressError("the path stands in no angle brackets")
    inner = path[1:-1]
    if not inner:
        return None
    if not inner.isascii() and not smtputf8:
        raise BadAddressError("a non-ASCII address needs SMTPUTF8")
    try:
        return parse_mailbox(inner.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadAddressError("the address is not UTF-8") from None


def parse_mailbox(text: str) -> Address:
    """Exactly one ``local@domain`` and nothing around it. Raises ``BadAddressError``."""
    local_text, at, domain = text.rpartition("@")
    if not at:
        raise BadAddressError("the address has no domain")
    return Address(_local_part(local_text), _domain(domain))


def _local_part(text: str) -> str:
    if len(text.encode("utf-8", "replace")) > MAX_LOCAL_OCTETS:
        raise BadAddressError("the local part is longer than 64 octets")
    if text.isascii() and _DOT_ATOM.match(text):
        return text
    quoted = _QUOTED_LOCAL.match(text)
    if quoted is None and not _DOT_ATOM_UTF8.match(text):
        raise BadAddressError("the local part is neither a dot-atom nor a quoted string")
    local = _QUOTED_PAIR.sub(r"\1", quoted[1]) if quoted else text
    if not local.isascii() and any(unicodedata.category(character) in _INVISIBLE for character in local):
        raise BadAddressError("the local part holds invisible characters")
    return local


def _domain(text: str) -> str:
    if _LITERAL.match(text):
        return text
    if len(text.encode("utf-8", "replace")) > MAX_DOMAIN_OCTETS:
        raise BadAddressError("the domain is longer than 255 octets")
    ascii_form = text if text.isascii() else canonical_domain(text)
    if not _DOMAIN.match(ascii_form) or any(len(label) > MAX_LABEL_OCTETS for label in ascii_form.split(".")):
        raise BadAddressError("the domain is no domain name")
    return text


@lru_cache(maxsize=4096)
def canonical_domain(domain: str) -> str:
    """A domain in lower-case A-labels (RFC 5891). Raises ``BadAddressError`` for one that has none."""
    if domain.isascii():
        return domain.lower()
    if len(domain) > MAX_DOMAIN_OCTETS:
        raise BadAddressError("the domain is longer than 255 octets")
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise BadAddressError("the domain is no internationalised domain name") from None


def display(text: str) -> str:
    """Text safe to show in a line: controls become U+FFFD, direction marks and the invisible spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in _BIDI_AND_INVISIBLE:
        return f"[U+{ord(character):04X}]"
    if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return " " if character in "\t\r\n" else "\ufffd"
    return character


def header_addresses(value: str) -> tuple[HeaderAddress, ...]:
    """The entries of an address field (RFC 5322 section 3.4), comments, groups and old forms included.

    Linear in its input, never raises. The structure is read before any encoded word is decoded, so that
    nothing hidden in one can become an address (RFC 2047 section 5).
    """
    plain = _PLAIN_ENTRY.match(value)
    if plain is not None:
        return (HeaderAddress((plain[1] or "").strip(), parse_mailbox(plain[2] or plain[3]), plain[0].strip()),)
    return tuple(entry.shown() for entry in _entries(value[:MAX_HEADER_TEXT]))


def strict_header_addresses(value: str) -> tuple[Address, ...]:
    """The addresses of a field that has to mean one thing to every reader: ``a@b`` or ``name <a@b>``.

    Raises ``BadAddressError`` at anything two mail programs could read differently: comments, groups, text
    behind an address, two addresses in one entry, open quotes, an address in a bare display name.
    """
    if len(value) > MAX_HEADER_TEXT or any(ord(character) < ord(" ") and character != "\t" for character in value):
        raise BadAddressError("the address field is too long or holds control characters")
    addresses: list[Address] = []
    for entry in _entries(value):
        found = entry.address()
        if found is None or entry.doubtful or "@" in entry.bare_name():
            raise BadAddressError("the address field can be read in more than one way")
        addresses.append(found)
    return tuple(addresses)


_PLAIN_ENTRY = re.compile(
    r"(?:([A-Za-z0-9][A-Za-z0-9'\-]{0,40}(?: [A-Za-z0-9][A-Za-z0-9'\-]{0,40}){0,5} )?"
    r"<([a-z0-9_+\-]{1,30}(?:\.[a-z0-9_+\-]{1,30})?@[a-z0-9]{1,60}(?:\.[a-z0-9]{1,60}){1,3})>"
    r"|([a-z0-9_+\-]{1,30}(?:\.[a-z0-9_+\-]{1,30})?@[a-z0-9]{1,60}(?:\.[a-z0-9]{1,60}){1,3}))\Z",
)
"""What nearly every From and To is: one entry with nothing to weigh. It reads the same by ``_entries``, only slower."""

_TOKEN = re.compile(
    r'(?P<space>[ \t\r\n]++)|(?P<quoted>"(?:[^"\\]|\\.)*+")|(?P<open>".*)|(?P<special>[<>,:;()])'
    r'|(?P<atom>[^ \t\r\n"<>,:;()]++)',
    re.DOTALL,
)
"""An open quote takes all that is left, so that reading stays linear."""


@dataclass
class _Entry:
    """One entry of an address field while it is read. ``doubtful``: two readers could differ about it."""

    words: list[str] = field(default_factory=list)
    angle: list[str] | None = None
    inside: bool = False
    comments: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    doubtful: bool = False

    def __bool__(self) -> bool:
        return self.angle is not None or any(word != " " for word in self.words)

    def address(self) -> Address | None:
        """The one address meant: what stands in angle brackets, or else the only word."""
        written = "".join(self.words).strip(" ") if self.angle is None else "".join(self.angle)
        try:
            return parse_mailbox(written)
        except BadAddressError:
            return None

    def bare_name(self) -> str:
        """The display name outside quotes, as written."""
        return "" if self.angle is None else "".join(word for word in self.words if word[0] != '"')

    def shown(self) -> HeaderAddress:
        """The entry as a reader is shown it."""
        address = self.address()
        if self.angle is None and address is not None:
            name = " ".join(self.comments)
        else:
            name = "".join(_unquoted(word) for word in self.words)
        raw = "".join(self.raw).strip()
        return HeaderAddress(decode_words(" ".join(name.split())), address, raw[:MAX_RAW_ENTRY])

    def take(self, kind: str, piece: str) -> None:
        """One piece of this entry that is not a separator."""
        if piece in {"<", ">"}:
            self._take_bracket(opens=piece == "<")
        elif self.inside and self.angle is not None:
            self.angle.append(piece)
        elif kind == "space":
            self.words.append(" ")
        else:
            self.doubtful |= kind == "open" or self.angle is not None
            self.words.append(piece)

    def _take_bracket(self, *, opens: bool) -> None:
        self.doubtful |= self.inside == opens or (opens and self.angle is not None)
        if opens and self.angle is None:
            self.angle = []
        elif opens and self.angle is not None:
            self.angle.append("<")
        self.inside = opens


def _entries(value: str) -> Iterator[_Entry]:
    """The entries of an address field, one pass, at most ``MAX_HEADER_ADDRESSES``."""
    entry, depth, count, in_group = _Entry(), 0, 0, False
    for match in _TOKEN.finditer(value):
        kind, piece = str(match.lastgroup), match[0]
        if piece in ",;" and not depth and not entry.inside:
            entry.doubtful |= in_group or piece == ";"
            in_group &= piece != ";"
            if entry:
                yield entry
                count += 1
            if count >= MAX_HEADER_ADDRESSES:
                return
            entry = _Entry()
            continue
        entry.raw.append(piece)
        if piece == "(" or depth:
            depth = _in_comment(entry, piece, depth)
        elif piece == ":" and not entry.inside:
            in_group, entry = True, _Entry(doubtful=True)
        else:
            entry.take(kind, piece)
    entry.doubtful |= bool(depth) or entry.inside or in_group
    if entry:
        yield entry


def _in_comment(entry: _Entry, piece: str, depth: int) -> int:
    """Take one piece of a comment (RFC 5322 section 3.2.2, which nest); answers the depth after it."""
    entry.doubtful = True
    depth += {"(": 1, ")": -1}.get(piece, 0)
    if depth and piece not in {"(", ")"}:
        entry.comments.append(piece)
    return depth


def _unquoted(word: str) -> str:
    if word[0] != '"':
        return word
    return _QUOTED_PAIR.sub(r"\1", word[1:].removesuffix('"'))
