"""Unlock slots that some of several people open together: recovery shares by SLIP-0039, words with a checksum.

(https://github.com/satoshilabs/slips/blob/master/slip-0039.md.) A share alone tells nothing of the secret; as many as
are needed tell all of it. They are given in one file: the words of a share, a blank line, the words of the next.
Numbers and signs between the words are passed over, so that a page can be typed as it is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics
from shamir_mnemonic.wordlist import WORD_INDEX_MAP

from mailstore import key_files
from mailstore.errors import RefusedError, WrongKeyError
from mailstore.sealed_format import KEY_BYTES, Randomness, derive
from mailstore.slot_secret import Noted

INFO: Final = "strongroom/slot/v2/shares"
WORDS: Final = 33
"""Of a share for 32 bytes: 10 bits each, for 70 bits of head and checksum and 256 of the share itself."""

FEWEST_NEEDED: Final = 2
MOST_SHARES: Final = 16
_WORD: Final = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class SharesFile:
    """A file with the words of as many shares as are needed, of one set; or a directory of such files."""

    path: Path
    kind: ClassVar[str] = "shares"

    def noted(self, randomness: Randomness) -> Noted:
        """Which set they are of and how many it takes: what stands on every share, too."""
        del randomness
        shares = self._shares()
        combined(shares)
        first = Share.from_mnemonic(shares[0])
        return {"set": first.identifier, "need": first.member_threshold}

    def slot_key(self, noted: Noted) -> bytes:
        """What the shares come to together. ``WrongKeyError`` says what is wrong with them."""
        secret = combined(self._shares())
        return derive(secret, info=INFO.encode() + b"/" + str(noted.get("set")).encode())

    def _shares(self) -> list[str]:
        try:
            paths = sorted(self.path.glob("*.txt")) if self.path.is_dir() else [self.path]
            return [share for path in paths for share in shares_in(key_files.read(path).decode("utf-8"))]
        except UnicodeDecodeError:
            raise RefusedError("the file of shares is not UTF-8 text") from None


def split(secret: bytes, *, need: int, of: int) -> list[str]:
    """The words of ``of`` shares, ``need`` of which give the secret back. ``RefusedError`` for other than 2 to 16."""
    if not FEWEST_NEEDED <= need <= of <= MOST_SHARES:
        raise RefusedError(f"it takes 2 shares or more of at most {MOST_SHARES}", fix="say for example --need 3 --of 5")
    shares: list[str] = generate_mnemonics(1, [(need, of)], secret)[0]
    return shares


def combined(shares: Sequence[str]) -> bytes:
    """The secret that shares come to. ``WrongKeyError`` for too few, for a wrong word, for shares of several sets."""
    told = [_share(words, number) for number, words in enumerate(shares, start=1)]
    if not told:
        raise WrongKeyError("there are no shares in the file")
    need = told[0].member_threshold
    if any(share.group_parameters() != told[0].group_parameters() for share in told):
        raise WrongKeyError("these are shares of different sets", fix="use shares that were printed together")
    distinct = {share.index: words for share, words in zip(told, shares, strict=True)}
    if len(distinct) < need:
        raise WrongKeyError(f"it takes {need} different shares, and these are {len(distinct)}")
    try:
        secret: bytes = combine_mnemonics(list(distinct.values())[:need])
    except MnemonicError:
        raise WrongKeyError("these shares do not belong together") from None
    if len(secret) != KEY_BYTES:
        raise WrongKeyError("these are not shares that were made here")
    return secret


def shares_in(text: str) -> list[str]:
    """The shares in a text, words separated by one space. ``WrongKeyError`` names one with words too few or many."""
    paragraphs = [words_in(each) for each in re.split(r"\n[^\S\n]*\n", _without_comments(text))]
    shares: list[str] = []
    for words in paragraphs:
        if len(words) % WORDS:
            raise WrongKeyError(f"share {len(shares) + 1} has {len(words)} words, not {WORDS}")
        shares += [" ".join(words[start : start + WORDS]) for start in range(0, len(words), WORDS)]
    return shares


def words_in(text: str) -> list[str]:
    """The words of a text, without what stands between them."""
    return _WORD.findall(text.lower())


def joined(shares: Sequence[str]) -> bytes:
    """Shares as the file that they are given in."""
    return "\n\n".join(shares).encode()


def proved(words: str, *, number: int) -> str:
    """One share by itself, when it is one. ``WrongKeyError`` names the share by its number, and the wrong word."""
    _share(words, number)
    return words


def set_of(share: str) -> int:
    """The number of the set that a share is of, up to 32767: it stands on its page, and in its slot."""
    return int(Share.from_mnemonic(share).identifier)


def _share(words: str, number: int) -> Share:
    for place, word in enumerate(words.split(), start=1):
        if word not in WORD_INDEX_MAP:
            raise WrongKeyError(f"share {number}, word {place}: there is no such word", fix="look at the printed page")
    try:
        return Share.from_mnemonic(words)
    except MnemonicError:
        raise WrongKeyError(
            f"share {number}: a word is wrong, its checksum does not come out", fix="look at the printed page"
        ) from None


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
