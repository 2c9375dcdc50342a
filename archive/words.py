"""Core: what a word is, the one definition that queries, holds, rules and the index share.

The rule is written for people in ``docs/formats/words.md``. Folding follows NFKC_Casefold (Unicode Standard
section 3.13, rule R5): case, compatibility forms and invisible characters make no difference, accents do.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

DEFINITION = f"1/{unicodedata.unidata_version}"
"""Version of this definition and of the Unicode tables under it. An index made under another is made anew."""

LONGEST_WORD_CHARACTERS = 64
"""A longer run (an encoded blob, most often) is cut here, in queries and in messages alike."""

# DerivedCoreProperties.txt, Default_Ignorable_Code_Point: soft hyphens, joiners, direction marks, variation
# selectors. They are invisible, so a word cannot be hidden by putting one into it.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+",
)

# Scripts written without spaces: Thai and Lao; Myanmar; Khmer; the ideographic iteration mark and zero;
# Hangzhou numerals; Hiragana and Katakana; Han with its extensions.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_LAST_MARK = 0x1FFFF  # the marks above it are variation selectors, which are invisible


def _combining_marks() -> str:
    """The characters of general category M, as the inside of a regular expression's set."""
    points = (p for p in range(_LAST_MARK + 1) if unicodedata.category(chr(p))[0] == "M")
    runs = [list(run) for _, run in groupby(enumerate(points), key=lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs)


_MARKS = f"[{_combining_marks()}]"
WORD = re.compile(
    r"[A-Za-z0-9]++(?![^\x00-\x7f])"
    rf"|[^\W_{_UNSPACED}]++(?:{_MARKS}++[^\W_{_UNSPACED}]*+)*+"
    rf"|(?=[^\W_])[{_UNSPACED}]{_MARKS}*+",
)
"""A run of letters, digits and the marks on them; in scripts without spaces each letter by itself.

The first alternative is the second one for plain ASCII, and faster."""

_ASCII_WORD = re.compile("[a-z0-9]+")


def visible(text: str) -> str:
    """The text without the characters that show nothing (UAX #44, Default_Ignorable_Code_Point)."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def fold(text: str) -> str:
    """The text as it is compared: two texts with equal folds are the same to a search."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", _INVISIBLE.sub("", text)).casefold()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", decomposed).casefold())


def words_of(text: str) -> list[str]:
    """The words of a text in their order, folded, each at most 64 characters long."""
    folded = fold(text)
    found: list[str] = (_ASCII_WORD if folded.isascii() else WORD).findall(folded)
    if max(map(len, found), default=0) <= LONGEST_WORD_CHARACTERS:
        return found
    return [word[:LONGEST_WORD_CHARACTERS] for word in found]
