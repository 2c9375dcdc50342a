"""Core: a stranger's HTML made fit to be shown in a frame that can do nothing.

Two walls. The sanitiser keeps tags and attributes that only lay out text; what it does not know, falls. The frame
gets an origin of its own, no script, no network and no form (``security_headers.FRAME_POLICY`` and the ``sandbox``
attribute), so a mistake of the first wall hits nothing. Remote images are dropped: fetching one would tell the
sender who reads what, and when. Those that came with the message are shown (RFC 2392).
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import nh3

from mailstore.addresses import BadAddressError, canonical_domain

SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
"""Links may open in a new window. No scripts, no forms, no origin of ours."""
LONGEST_HTML = 2_000_000
"""Characters; the rest is in the original, which can be downloaded."""
MOST_TAGS = 20_000
DEEPEST = 100
"""Reading HTML takes time that grows with the square of what is left open: a hundred thousand tags take a minute."""
MOST_PIECES = 60_000
"""Words, and attributes of one tag if a sender puts them all there: reading them takes time by their square."""

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "center",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "div",
        "dl",
        "dt",
        "em",
        "font",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "li",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
    ]
)
_ATTRIBUTES = {
    "*": {"style", "align", "valign", "dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "width", "bgcolor"},
    "th": {"colspan", "rowspan", "width", "bgcolor", "scope"},
    "table": {"width", "border", "cellpadding", "cellspacing", "bgcolor"},
    "font": {"color", "size", "face"},
    "ol": {"start", "type"},
}
_STYLES = frozenset(
    [
        "background-color",
        "border",
        "border-bottom",
        "border-collapse",
        "border-color",
        "border-left",
        "border-right",
        "border-spacing",
        "border-style",
        "border-top",
        "border-width",
        "color",
        "direction",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "height",
        "letter-spacing",
        "line-height",
        "list-style-type",
        "margin",
        "margin-bottom",
        "margin-left",
        "margin-right",
        "margin-top",
        "max-width",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "text-align",
        "text-decoration",
        "text-indent",
        "vertical-align",
        "white-space",
        "width",
    ]
)
_FORMATTING = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
"""What a reader of HTML opens again in every block that follows while its end is missing: a few kilobytes can ask for
gigabytes so. They are read under names that mean nothing, ``x-b`` for ``b``, which only stand where they stand."""
_UNSPOKEN = frozenset({"script", "style", "template", "noscript", "svg", "math", "title", "head"})
_ANY_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]{0,19})")
_PIECE = re.compile(r"[\s/\"'][^\s/\"'>]")
_FORMATTING_TAG = re.compile(rf"(?i)<(/?)({'|'.join(sorted(_FORMATTING))})(?=[\s/>])")
_ORDINARY_TAG = re.compile(rf"<(/?)x-({'|'.join(sorted(_FORMATTING))})(?=[\s/>])")
_WHOLE_TAG = re.compile(r"<[^<>]*>")
_NEW_LINE = re.compile(r"(?i)<(?=/?(?:br|p|div|tr|li|h[1-6]|blockquote|table|ul|ol)\b)")
_SPACES = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n\s*\n")
_NEVER_OPEN = frozenset(
    {"br", "img", "hr", "meta", "link", "input", "col", "wbr", "p", "li", "td", "th", "tr", "dt", "dd"}
)
"""Tags without an end, and those whose end is commonly left out and which close one another."""
_INLINE_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]{1,2000000}")
_PICTURE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
MOST_PICTURE_CHARACTERS = 8_000_000
"""Of the pictures of a message in all, each as often as it is shown; the others are among its files."""
_REMOTE = re.compile(r"(?i)<img[^<>]{0,2000}?src\s*+=\s*+[\"']?+\s*+(?:https?:|//)|url\(\s*+[\"']?+\s*+(?:https?:|//)")
_ANCHOR = re.compile(r'<a((?: [a-z-]+="[^"]*+")*+)>(.*?)</a>', re.DOTALL)
_HREF = re.compile(r' href="([^"]*)"')
_ADDRESS = re.compile(
    r"(?i)\s*(?:https?://[^\x00-\x20\x7f/\\?#]+(?:[/?#].*)?|(?:mailto|tel):[^\x00-\x1f\x7f]*)\s*", re.DOTALL
)
"""What every reader of addresses reads alike. Where a slash is missing or turned round, browsers go elsewhere than RFC
3986 says (https://url.spec.whatwg.org/ section 4.4), and what we say of a link would be untrue."""
_STYLE_THAT_ACTS = re.compile(r"(?i)url|image|expression|[@\\!]|-[\d.]|(?<!rgb)(?<!rgba)(?<!hsl)(?<!hsla)\(")
"""Addresses; and whatever could move a thing over another: lengths below nothing, those that are calculated."""
_MAY_BE_ALIGNED = frozenset({"td", "th", "tr", "img"})
"""Words that are aligned for themselves can be set a thousand lines away from those before them."""
_FRAME_STYLE = (
    "body{margin:0;padding:16px;font:17px/1.5 system-ui,sans-serif;color:#16202a;background:#fff;"
    "overflow-wrap:anywhere}img,table{max-width:100%}pre{white-space:pre-wrap}"
    "blockquote{margin-left:0;padding-left:12px;border-left:3px solid #b6bfc7}"
    ".host{all:initial;position:relative;z-index:1;font:14px/1.4 system-ui,sans-serif;color:#49555f;background:#fff}"
)
"""What we say of a link takes nothing from the styles around it, and lies above whatever is there."""


@dataclass(frozen=True)
class SafeView:
    """A whole document for the frame, and whether anything from elsewhere was left out of it."""

    document: str = field(repr=False)
    left_out_remote: bool


PictureOf = Callable[[str], tuple[str, bytes] | None]
"""Media type and bytes of the file that has this Content-ID in the message."""


def safe_view(stranger: str, *, title: str, picture_of: PictureOf = lambda _name: None) -> SafeView:
    """The document that the message frame shows. HTML that would cost too much to read is shown as its bare words."""
    given = stranger[:LONGEST_HTML]
    fragment = _with_hosts(_clean(given, picture_of)) if _is_affordable(given) else _bare_words(given)
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_FRAME_STYLE}</style></head><body>{fragment}</body></html>"
    )
    return SafeView(document, bool(_REMOTE.search(stranger[:LONGEST_HTML])))


def plain_words(stranger: str) -> str:
    """The words of a stranger's HTML, line by line, for quoting them in an answer."""
    given = _NEW_LINE.sub("\n<", stranger[:LONGEST_HTML])
    if _is_affordable(given):
        given = nh3.clean(_as_ordinary(given), tags=set(), clean_content_tags=set(_UNSPOKEN))
    lines = (_SPACES.sub(" ", line).strip() for line in html.unescape(_WHOLE_TAG.sub(" ", given)).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _is_affordable(stranger: str) -> bool:
    """True when few tags stand, and few of them open at the same time, and when it is not too long."""
    if sum(1 for _ in _PIECE.finditer(stranger)) > MOST_PIECES:
        return False
    deep = 0
    for tags, match in enumerate(_ANY_TAG.finditer(stranger)):
        if match["name"].lower() not in _NEVER_OPEN:
            deep = max(0, deep + (-1 if match["end"] else 1))
        if tags == MOST_TAGS or deep > DEEPEST:
            return False
    return True


def _bare_words(stranger: str) -> str:
    words = html.unescape(_WHOLE_TAG.sub(" ", stranger))
    return f"<p><em>The design of this message is too large to be shown.</em></p><pre>{html.escape(words)}</pre>"


def _clean(stranger: str, picture_of: PictureOf) -> str:
    pictures = _Pictures(picture_of)
    cleaned = nh3.clean(
        _as_ordinary(stranger),
        tags={_ordinary(tag) for tag in _TAGS},
        clean_content_tags=set(_UNSPOKEN),
        attributes={_ordinary(tag): set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=lambda tag, name, value: _kept_attribute(tag, name, value, pictures),
        filter_style_properties=set(_STYLES),
        generic_attribute_prefixes=set(),
        set_tag_attribute_values={_ordinary("a"): {"target": "_blank", "rel": "noopener noreferrer nofollow"}},
        link_rel=None,
        url_schemes={"http", "https", "mailto", "tel", "data", "cid"},
        url_relative="deny",
        strip_comments=True,
    )
    return _ORDINARY_TAG.sub(r"<\1\2", cleaned)


def _ordinary(tag: str) -> str:
    return f"x-{tag}" if tag in _FORMATTING else tag


def _as_ordinary(stranger: str) -> str:
    return _FORMATTING_TAG.sub(r"<\1x-\2", stranger)


class _Pictures:
    """The pictures that came with a message, as far as there is room for them. Each is asked for once."""

    def __init__(self, picture_of: PictureOf) -> None:
        self._picture_of = picture_of
        self._known: dict[str, str | None] = {}
        self._left = MOST_PICTURE_CHARACTERS

    def address(self, name: str) -> str | None:
        """A picture as an address that holds it (RFC 2397); None for what is none, or too much."""
        if name not in self._known:
            self._known[name] = self._read(name)
        found = self._known[name]
        if found is None or len(found) > self._left:
            return None
        self._left -= len(found)
        return found

    def _read(self, name: str) -> str | None:
        media_type, content = self._picture_of(name) or ("", b"")
        if media_type not in _PICTURE_TYPES or len(content) > self._left:
            return None
        return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _kept_attribute(tag: str, name: str, value: str, pictures: _Pictures) -> str | None:
    """What is left of an attribute: images only of the message, links never ``data:``, styles without addresses."""
    if name == "src" and tag == "img" and value.strip().lower().startswith("cid:"):
        return pictures.address(unquote(value.strip()[len("cid:") :]))
    if name == "src":
        return value if tag == "img" and _INLINE_IMAGE.fullmatch(value.strip()) else None
    if name == "href":
        return value if _ADDRESS.fullmatch(value) else None
    if name == "style":
        return ";".join(each for each in value.split(";") if not _moves_or_asks(tag, each))
    return value


def _moves_or_asks(tag: str, declaration: str) -> bool:
    """True for a piece of a style that names an address, or could part a thing from what stands beside it."""
    parts_lines = "vertical-align" in declaration.lower() and tag not in _MAY_BE_ALIGNED
    return parts_lines or _STYLE_THAT_ACTS.search(declaration) is not None


def _with_hosts(fragment: str) -> str:
    """Each link says in brackets where it leads, so that its words cannot lie about it.

    It is said before the link: whatever stands inside the link could push what comes after it out of sight.
    """
    return _ANCHOR.sub(_with_host, fragment)


def _with_host(match: re.Match[str]) -> str:
    found = _HREF.search(match.group(1))
    target = _leads_to(html.unescape(found.group(1)).strip()) if found else ""
    if not target or ("@" in target and target in html.unescape(match.group(2))):
        return match.group(0)
    return f'<span class="host">[{html.escape(target)}]</span> {match.group(0)}'


def _leads_to(address: str) -> str:
    """The host of an address on the web, as the DNS is asked for it; of a mail address all of it; else nothing."""
    try:
        parts = urlsplit(address)
        if parts.scheme == "mailto":
            return unquote(parts.path)
        return canonical_domain(unquote(parts.hostname or ""))
    except (ValueError, BadAddressError):
        return "unreadable address"
