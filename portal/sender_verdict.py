"""Core: what a reader is told about who a message is from, in words: proved, not proved, or an imitation.

Mail that came in by SMTP says about its sender whatever its sender wrote. Until domains prove themselves, nothing of
it counts as proved; names and addresses that pretend to be ours are marked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mailstore.actor import Role
from mailstore.addresses import HeaderAddress
from mailstore.message import Origin
from portal.lookalikes import domain_taken_for, name_taken_for


@dataclass(frozen=True)
class SenderFacts:
    """What is known of a sender. ``author`` is the role of the account that signed in to write, None for outsiders.

    ``staff_names`` are the names of those who work here; ``local_domains`` are ours.
    """

    named: HeaderAddress | None
    origin: Origin
    author: Role | None
    envelope_sender: str = field(repr=False)
    staff_names: Collection[str] = field(repr=False)
    local_domains: Collection[str]


@dataclass(frozen=True)
class Verdict:
    """``kind`` is good, warn, bad, or nothing for plain; ``text`` says why."""

    kind: str
    heading: str
    text: str


PATIENT = Verdict("good", "A patient of the practice", "Written in the portal after signing in with two factors.")
COLLEAGUE = Verdict("good", "A colleague", "Sent from an account of this practice after signing in.")
OURSELVES = Verdict("good", "This practice's mail system", "A report or notice that the system wrote by itself.")
OUTSIDE = Verdict("", "From outside", "It came by e-mail. Nothing proves that the name and the address are real.")
NAMELESS = Verdict("warn", "No readable sender", "The message does not say clearly who it is from.")
OUR_ADDRESS = Verdict(
    "bad", "Pretends to be from this practice", "It carries an address of ours but came from outside. Do not trust it."
)
LIKE_OURS = Verdict(
    "bad", "Imitates an address of this practice", "The address looks like one of ours and is not. Do not trust it."
)
ENDS_LIKE_OURS = Verdict(
    "warn", "From outside", "The address ends like ours, but it did not come from here. Nothing proves that it is real."
)
OUR_NAME = Verdict(
    "bad", "Has the name of a colleague", "The name is that of somebody who works here; the address is not."
)
TWO_ADDRESSES = Verdict("warn", "Shows two addresses", "The name contains an address that is not the sender's own.")


def verdict(facts: SenderFacts) -> Verdict:
    """What to say of this sender."""
    if facts.author is Role.PATIENT:
        return PATIENT
    if facts.origin is Origin.SYSTEM:
        return OURSELVES
    if facts.author is not None:
        return COLLEAGUE
    return _of_outsider(facts)


def _of_outsider(facts: SenderFacts) -> Verdict:
    named = facts.named
    if named is None or named.address is None:
        return NAMELESS
    domains = {_domain(named.address.canonical), _domain(facts.envelope_sender.lower())}
    if domains & {domain.lower() for domain in facts.local_domains}:
        return OUR_ADDRESS
    if resembling := _resembling(_domain(named.address.canonical), facts.local_domains):
        return resembling
    if named.display_name and name_taken_for(named.display_name) in map(name_taken_for, facts.staff_names):
        return OUR_NAME
    if "@" in named.display_name and named.address.canonical not in named.display_name.lower():
        return TWO_ADDRESSES
    return OUTSIDE


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _resembling(domain: str, local_domains: Collection[str]) -> Verdict | None:
    """What to say of a domain that reads like one of ours, begins as one, or ends in one."""
    read = domain_taken_for(domain)
    ours = {domain_taken_for(local) for local in local_domains}
    if any(read == own or read.startswith(f"{own}.") for own in ours):
        return LIKE_OURS
    return ENDS_LIKE_OURS if any(read.endswith(f".{own}") for own in ours) else None
