"""The words of an HTML document, as a reader would take them in and also where a sender has hidden them.

Hostile HTML is given only to the limited child process (``text_extraction``).
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser

from mailstore.encoded_words import text_of

# Elements that end a word: HTML Living Standard section 15.3 (display: block, list-item and table parts) and br.
# Inline elements do not, so that a word with one bold letter stays one word.
_BREAKS = re.compile(
    r"<(?=/?(?:address|article|aside|blockquote|body|br|button|caption|center|dd|details|dialog|dir|div|dl|dt|fieldset"
    r"|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|legend|li|main|menu|nav|ol|optgroup"
    r"|option|p|pre|section|select|summary|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul)\b)",
    re.IGNORECASE,
)
_SPOKEN = ("alt", "title", "placeholder", "aria-label", "label")
_SILENT = ["script", "style"]
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_:.\-]{1,40})", re.IGNORECASE)
_SNIFFED_BYTES = 1_024
"""HTML Living Standard section 13.2.3.2: where a meta element with the charset has to stand."""


def html_text(html: str) -> str:
    """The text of the document, one line a block, with the alternative texts of its pictures at the end."""
    tree = LexborHTMLParser(_BREAKS.sub("\n<", html))
    tree.strip_tags(_SILENT)
    root = tree.root
    if root is None:
        return ""
    spoken = [value for name in _SPOKEN for node in tree.css(f"[{name}]") if (value := node.attributes.get(name))]
    return "\n".join([root.text(separator=""), *spoken])


def decoded_html(content: bytes, charset: str) -> str:
    """The document as text: by the charset it was sent with, else the one it names, else as any text."""
    named = _META_CHARSET.search(content[:_SNIFFED_BYTES])
    return text_of(content, charset or (named[1].decode("ascii") if named else ""))
