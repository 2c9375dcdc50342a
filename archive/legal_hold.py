"""Core: a legal hold as a matter - whose mail, of what time, about what - and which messages it covers.

Where two readings are possible the wider one counts: a held message that need not be held costs a little space, a
destroyed one that was held cannot be mended (promise I3).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from archive import search_query
from archive.index_document import Field, IndexDocument
from archive.query_certainty import answer
from archive.query_conditions import Query
from archive.receipt_time import ReceiptTime, receipt_time
from mailstore.addresses import parse_mailbox
from mailstore.errors import RefusedError, TamperedError

NAME_CHARACTERS_MAX = 200
REASON_CHARACTERS_MAX = 2_000
CUSTODIANS_MAX = 1_000
FARTHEST_EAST, FARTHEST_WEST = timedelta(hours=14), timedelta(hours=12)
"""How far clocks on walls stand before and behind UTC (IANA time zones ``Etc/GMT-14`` and ``Etc/GMT+12``)."""


class BadHoldError(RefusedError):
    """What was asked for is no hold that could be kept."""

    code = "bad_hold"


class HoldState(StrEnum):
    """The life of a hold. Only ``released`` frees anything."""

    ACTIVE = "active"
    RELEASE_REQUESTED = "release_requested"
    RELEASED = "released"

    @property
    def holds(self) -> bool:
        """True while the matter keeps its messages."""
        return self is not HoldState.RELEASED


@dataclass(frozen=True)
class Matter:
    """What a hold is about. All of it may name people and is sealed wherever it is stored.

    ``custodians`` are canonical addresses; a message is theirs when any of them took part in it, in the open or in
    blind copy. ``since`` and ``until`` are whole days in UTC, both included. An empty condition asks for nothing.
    """

    name: str = field(repr=False)
    reason: str = field(repr=False)
    custodians: tuple[str, ...] = field(default=(), repr=False)
    since: date | None = None
    until: date | None = None
    query_text: str = field(default="", repr=False)
    query: Query | None = field(default=None, repr=False)

    def to_bytes(self) -> bytes:
        """The matter as it is sealed: JSON."""
        days = {"since": self.since and self.since.isoformat(), "until": self.until and self.until.isoformat()}
        told = {"name": self.name, "reason": self.reason, "custodians": self.custodians, "query": self.query_text}
        return json.dumps(told | days, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Matter:
        """What ``to_bytes`` gave. Raises ``TamperedError`` when it cannot be understood: nobody guesses a hold."""
        try:
            told = json.loads(data)
            return matter(
                name=told["name"],
                reason=told["reason"],
                custodians=told["custodians"],
                since=told["since"] and date.fromisoformat(told["since"]),
                until=told["until"] and date.fromisoformat(told["until"]),
                query_text=told["query"],
            )
        except (ValueError, KeyError, TypeError, RefusedError) as error:
            raise TamperedError("the details of a hold cannot be understood") from error


def matter(
    *,
    name: str,
    reason: str,
    custodians: Iterable[str] = (),
    since: date | None = None,
    until: date | None = None,
    query_text: str = "",
) -> Matter:
    """A matter from what a person wrote. Raises ``BadHoldError``, ``BadAddressError`` or ``QueryError``."""
    if not 0 < len(name.strip()) <= NAME_CHARACTERS_MAX:
        raise BadHoldError(
            f"a hold needs a name of at most {NAME_CHARACTERS_MAX} characters", fix="Give it the name of its matter."
        )
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise BadHoldError(
            f"a hold needs a reason of at most {REASON_CHARACTERS_MAX:,} characters",
            fix="Say in a few words why these messages must be kept.",
        )
    if since and until and until < since:
        raise BadHoldError("the hold ends before it begins", fix="Name a last day that is not before the first.")
    addresses = tuple(dict.fromkeys(parse_mailbox(custodian).canonical for custodian in custodians))
    if len(addresses) > CUSTODIANS_MAX:
        raise BadHoldError(
            f"a hold names at most {CUSTODIANS_MAX:,} custodians", fix="Place several holds, each with some of them."
        )
    query = search_query.parse(query_text) if query_text.strip() else None
    return Matter(name, reason, addresses, since, until, query_text.strip(), query)


@dataclass(frozen=True)
class Hold:
    """A living hold. ``mailboxes`` are the custodians' own here: all addresses of one of those are theirs."""

    id: str
    state: HoldState
    matter: Matter
    mailboxes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Evidence:
    """What could be learned of one message.

    ``document`` is None when the message could not be opened or taken apart. ``is_whole`` is False when a part that
    may hold text could not be read. ``mailboxes`` are the mailboxes here that its participants belong to.
    ``captured_at`` is by the trusted time, None while the archive has not captured it.
    """

    received_at: datetime
    document: IndexDocument | None
    is_whole: bool
    mailboxes: frozenset[str] = frozenset()
    captured_at: datetime | None = None

    @property
    def came(self) -> ReceiptTime:
        """When it came, as far as the clocks agree about it."""
        return receipt_time(self.received_at, self.captured_at)


def covers(hold: Hold, evidence: Evidence) -> bool | None:
    """True when the hold covers the message, False when it surely does not, None when nobody can tell.

    None counts as held wherever it matters.
    """
    in_time = _in_time(hold.matter, evidence.came)
    if not hold.state.holds or in_time is False:
        return False
    if evidence.document is None:
        return None
    if not _is_theirs(hold, evidence, evidence.document):
        return False
    query = hold.matter.query
    found = query is None or answer(query, evidence.document, is_whole=evidence.is_whole, came=evidence.came)
    return in_time if found else found


def mailbox_key(address: str) -> str:
    """What two spellings of one person's mailbox share: compatibility forms folded, the sub-address left out.

    ``address`` is canonical. Sub-addresses are RFC 5233: ``anna+bills`` is delivered to ``anna``.
    """
    local, _, domain = address.rpartition("@")
    folded = _folded(local)
    return f"{folded.split('+', 1)[0] or folded}@{domain}"


def _in_time(told: Matter, came: ReceiptTime) -> bool | None:
    """Whether it came on one of the days: surely by days in UTC, perhaps by the days of a practice anywhere on Earth.

    Whoever names a day means that of the clock on their wall, and a hold that misses an evening misses it for good.
    """
    surely = _is_between(told, came)
    if surely is not False:
        return surely
    perhaps = _is_between(told, ReceiptTime(came.earliest - FARTHEST_WEST, came.latest + FARTHEST_EAST))
    return False if perhaps is False else None


def _is_between(told: Matter, came: ReceiptTime) -> bool | None:
    begins = told.since is None or came.is_from(datetime.combine(told.since, time(), UTC))
    ends = told.until is None or came.is_before(_day_after(told.until))
    if begins is False or ends is False:
        return False
    return None if begins is None or ends is None else True


def _day_after(day: date) -> datetime:
    last = datetime.combine(day, time(), UTC)
    return last + timedelta(days=1) if day < date.max else datetime.max.replace(tzinfo=UTC)


def _is_theirs(hold: Hold, evidence: Evidence, document: IndexDocument) -> bool:
    custodians = hold.matter.custodians
    if not custodians or hold.mailboxes & evidence.mailboxes:
        return True
    keys = {mailbox_key(custodian) for custodian in custodians}
    if any(mailbox_key(address) in keys for found in document.addresses.values() for address in found):
        return True
    written = _folded("\n".join(document.texts.get(Field.PARTICIPANT, ())))
    return any(_names(written, spelling) for spelling in keys.union(custodians))


def _names(written: str, address: str) -> bool:
    """True when the address stands in a text by itself, for entries that no strict reader understands."""
    return re.search(rf"(?<![\w.+-]){re.escape(address)}(?![\w-]|\.\w)", written) is not None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
