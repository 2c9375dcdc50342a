"""The lamps under the recipients of a message that is being written: how it would travel to each, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from mailstore.actor import Actor
from mailstore.addresses import Address, BadAddressError, display, strict_header_addresses
from mailstore.message import Route
from portal.delivery_words import Access, Words, lamp
from portal.front_door import PreviewedRoute, RoutePreview
from portal.people import People

RECIPIENTS_SHOWN = 100
LONGEST_FIELD = 32_000
"""Characters of a field that are looked at: more than a hundred of the longest addresses take."""
NO_ADDRESS = Words("bad", "Not an address yet. Write name@example.com, with commas between several")


@dataclass(frozen=True)
class Lamp:
    """What is shown under one recipient. ``seen`` goes back with the form: it says that this lamp was shown."""

    shown: str = field(repr=False)
    name: str = field(repr=False)
    words: Words
    reasons: tuple[str, ...] = field(repr=False)
    seen: str = field(default="", repr=False)


class Lamps:
    """Asks for the lamps of what somebody typed."""

    def __init__(self, people: People, preview: RoutePreview) -> None:
        self._people = people
        self._preview = preview

    def under(self, actor: Actor, fields: Mapping[str, str]) -> dict[str, tuple[Lamp, ...]]:
        """The lamps of each field, asked for together. ``fields`` is what was typed, by field name."""
        typed = {name: _pieces(text) for name, text in fields.items()}
        addresses = [each for pieces in typed.values() for each in pieces if isinstance(each, Address)]
        unique = list({each.canonical: each for each in addresses}.values())[:RECIPIENTS_SHOWN]
        routes = {each.address.canonical: each for each in self._preview.preview(unique)} if unique else {}
        return {name: tuple(self._lamps(actor, pieces, routes)) for name, pieces in typed.items()}

    def _lamps(
        self, actor: Actor, pieces: tuple[Address | str, ...], routes: Mapping[str, PreviewedRoute]
    ) -> Iterable[Lamp]:
        for piece in pieces:
            if isinstance(piece, str):
                yield Lamp(display(piece), "", NO_ADDRESS, ())
            elif piece.canonical in routes:
                yield self._lamp(actor, piece, routes[piece.canonical])

    def _lamp(self, actor: Actor, address: Address, route: PreviewedRoute) -> Lamp:
        in_portal = route.route is Route.PORTAL
        access = self._people.access_of(actor, address.text) if in_portal else Access.UNTOLD
        words = lamp(route.route, access, is_possible=route.is_possible)
        name = self._people.name_of(actor, address.text)
        return Lamp(display(address.text), name, words, route.reasons, f"{address.canonical} {route.route.value}")


def _pieces(text: str) -> tuple[Address | str, ...]:
    """What was typed, entry by entry: addresses, and what is none (yet). The first of more than fit at once."""
    return tuple(islice(_read(text[:LONGEST_FIELD]), RECIPIENTS_SHOWN + 1))


def _read(text: str) -> tuple[Address | str, ...]:
    plain = " ".join(text.replace(";", ",").split()).strip(", ")
    if not plain:
        return ()
    try:
        return strict_header_addresses(plain)
    except BadAddressError:
        return tuple(each for piece in plain.split(",") if piece.strip() for each in _piece(piece.strip()))


def _piece(piece: str) -> tuple[Address | str, ...]:
    try:
        return strict_header_addresses(piece)
    except BadAddressError:
        return (piece,)
