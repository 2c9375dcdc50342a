"""Core: what a fresh answer or a forwarded message holds before anybody has typed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from mailstore.addresses import Address, HeaderAddress, header_addresses
from mailstore.message import MessageSummary

LONGEST_QUOTE = 50_000
"""Characters of the older message that are quoted."""


@dataclass(frozen=True)
class Original:
    """The message that is answered or forwarded. ``written`` is its date in words."""

    summary: MessageSummary = field(repr=False)
    reply_to: tuple[HeaderAddress, ...] = field(repr=False)
    text: str = field(repr=False)
    written: str


def answer(original: Original, mine: Collection[str], *, to_all: bool) -> dict[str, str]:
    """The fields of an answer. ``mine`` are my own addresses in canonical form: nobody answers to themselves."""
    summary = original.summary
    senders = _addresses(original.reply_to) or _addresses(header_addresses(summary.from_))
    to_others, cc_others = (_addresses(header_addresses(field_)) for field_ in (summary.to, summary.cc))
    to = _without(senders, mine) or _without(to_others, mine) or senders
    known = {*mine, *(each.canonical for each in to)}
    cc = _without((*to_others, *cc_others), known) if to_all else ()
    return {
        "to": _joined(to),
        "cc": _joined(cc),
        "subject": _prefixed("Re:", summary.subject),
        "text": _quoted(original),
    }


def forward(original: Original) -> dict[str, str]:
    """The fields of a forwarded message; its files are chosen beside them."""
    summary = original.summary
    head = f"From: {summary.from_}\nDate: {original.written}\nTo: {summary.to}\nSubject: {summary.subject}"
    text = f"\n\n----- Forwarded message -----\n{head}\n\n{original.text[:LONGEST_QUOTE]}"
    return {"to": "", "cc": "", "subject": _prefixed("Fwd:", summary.subject), "text": text}


def _quoted(original: Original) -> str:
    named = header_addresses(original.summary.from_)
    who = (named[0].display_name or named[0].raw) if named else "they"
    lines = original.text[:LONGEST_QUOTE].rstrip().split("\n")
    return "\n".join(["", "", f"On {original.written}, {who} wrote:", *(f"> {line}".rstrip() for line in lines)])


def _prefixed(prefix: str, subject: str) -> str:
    return subject if subject.lower().startswith(prefix.lower()) else f"{prefix} {subject}".strip()


def _addresses(named: Iterable[HeaderAddress]) -> tuple[Address, ...]:
    return tuple(each.address for each in named if each.address is not None)


def _without(addresses: Iterable[Address], known: Collection[str]) -> tuple[Address, ...]:
    left = {each.canonical: each for each in addresses if each.canonical not in known}
    return tuple(left.values())


def _joined(addresses: Iterable[Address]) -> str:
    return ", ".join(each.text for each in addresses)
