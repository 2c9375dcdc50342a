"""Core: what a hurried reader takes names and domains for, so that imitations of ours are found.

Letters of other alphabets that look like Latin ones count as those, and so do signs and pairs that are read as another
letter (Unicode Technical Standard 39 section 4, cut down to what is seen in mail). Nothing here proves anything.
"""

from __future__ import annotations

import unicodedata

import idna

_LATIN_FOR = str.maketrans(
    "\u0430\u0441\u0435\u0501\u04bb\u0456\u0458\u043a\u04cf\u043c\u043d\u043e\u0440\u0455\u0442\u0443\u0432\u0445\u0491"
    "\u03b1\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131\u0251\u0261"
    "01",
    "acedhijklmhopstybxraikvoptuxiagol",
)
"""Cyrillic, then Greek and Latin of other languages, then figures."""
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_ACCENT = "Mn"


def taken_for(text: str) -> str:
    """How it is read: no case, accents, spaces or signs; two texts that come to the same look alike."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    read = "".join(sign for sign in folded if unicodedata.category(sign) != _ACCENT).translate(_LATIN_FOR)
    for pair, letter in _PAIRS:
        read = read.replace(pair, letter)
    return "".join(sign for sign in read if sign.isalnum())


def name_taken_for(name: str) -> frozenset[str]:
    """The same of a person's name, in whatever order its words stand."""
    signs = "".join(sign if sign.isalnum() or unicodedata.category(sign) in {"Cf", _ACCENT} else " " for sign in name)
    return frozenset(filter(None, map(taken_for, signs.split())))


def domain_taken_for(domain: str) -> str:
    """The same of a domain, its A-labels shown as people see them (RFC 5891); dots stay."""
    return ".".join(taken_for(_shown(label)) for label in domain.split("."))


def _shown(label: str) -> str:
    try:
        return idna.decode(label)
    except (idna.IDNAError, UnicodeError):
        return label
