"""Core: states, ways and events of a message in words that the front desk understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailstore.message import RecipientState, Route, StoredRecipient


class Access(StrEnum):
    """Whether the person behind an address can open the portal: NONE has no account, CODE holds a code unused."""

    NONE = "none"
    CODE = "code"
    OPEN = "open"
    CLOSED = "closed"
    UNTOLD = "untold"


@dataclass(frozen=True)
class Words:
    """A lamp: ``kind`` is good, warn, bad, or nothing for plain; then a few words and a sentence."""

    kind: str
    heading: str
    text: str = ""


ROUTES = {
    Route.MAILBOX: "a mailbox at this practice",
    Route.TLS: "verified encryption to their mail server",
    Route.PORTAL: "the portal",
    Route.UNDECIDED: "not decided yet",
}
_LAMPS = {
    Route.MAILBOX: Words("good", "Stays inside the practice"),
    Route.TLS: Words("good", "Encrypted all the way to their mail server"),
    Route.PORTAL: Words("warn", "Waits in the portal; they get a notice without content"),
    Route.UNDECIDED: Words("warn", "Decided when it goes out: verified encryption, or else the portal"),
}
_PORTAL_LAMPS = {
    Access.OPEN: Words("good", "In the portal, where they sign in to read it"),
    Access.CODE: Words("warn", "In the portal. They have a code but have not used it yet"),
    Access.NONE: Words("warn", "In the portal. They have no access yet: hand them a code"),
    Access.CLOSED: Words("warn", "In the portal, but their access was closed"),
}
_STATES = {
    RecipientState.QUEUED: Words("", "Queued", "It goes out in a moment."),
    RecipientState.DEFERRED: Words("warn", "Delayed", "Their side did not take it yet. It is tried again by itself."),
    RecipientState.DELIVERED: Words("good", "Delivered", "Their mail server took it over an encrypted connection."),
    RecipientState.NOTIFIED: Words("", "Waiting", "It waits in the portal. The notice was sent; nobody opened it yet."),
    RecipientState.OPENED: Words("good", "Opened", "They signed in and opened it."),
    RecipientState.FAILED: Words("bad", "Failed", "It could not be delivered, and is not tried again."),
}
_FILED = Words("good", "Delivered", "It lies in their mailbox here.")
_NOTICE_FAILED = Words(
    "bad", "Notice failed", "The notice could not be delivered. The message still waits in the portal."
)
_EVENTS = {
    "message.accepted": "Accepted, encrypted and stored",
    "message.route_decided": "Way decided",
    "message.relayed": "Handed to their mail server",
    "notice.sent": "Notice sent",
    "message.deferred": "Not taken yet; it is tried again",
    "message.failed": "Could not be delivered",
    "notice.failed": "The notice could not be delivered",
    "report.sent": "A report was sent to the author",
    "message.opened": "Opened",
    "message.attachment_opened": "Attachment opened",
    "message.captured": "Laid into the archive",
    "archive.message_opened": "Opened in the archive",
}


def lamp(route: Route, access: Access, *, is_possible: bool) -> Words:
    """What stands under a recipient before sending."""
    if not is_possible:
        return Words("bad", "Cannot be sent to this address")
    if route is Route.PORTAL:
        return _PORTAL_LAMPS.get(access, _LAMPS[route])
    return _LAMPS[route]


def state(recipient: StoredRecipient) -> Words:
    """Where one recipient's copy stands."""
    if recipient.route is Route.MAILBOX and recipient.state is RecipientState.DELIVERED:
        return _FILED
    if recipient.route is Route.PORTAL and recipient.state is RecipientState.FAILED:
        return _NOTICE_FAILED
    return _STATES[recipient.state]


def together(recipients: Sequence[StoredRecipient]) -> Words:
    """One lamp for all recipients of a message: the one that needs a person first. Without any: it cannot be told."""
    if not recipients:
        return Words("bad", "Cannot be told")
    counts = {each: sum(1 for one in recipients if one.state is each) for each in RecipientState}
    total = len(recipients)
    for worst in (RecipientState.FAILED, RecipientState.DEFERRED, RecipientState.NOTIFIED, RecipientState.QUEUED):
        if counts[worst]:
            words = _STATES[worst]
            return Words(words.kind, f"{words.heading}: {counts[worst]} of {total}" if total > 1 else words.heading)
    if counts[RecipientState.OPENED] == total:
        return _STATES[RecipientState.OPENED]
    return Words("good", "Delivered")


def event(name: str) -> str | None:
    """What an entry of the audit log says here, or None for one that is not for this page."""
    return _EVENTS.get(name)
