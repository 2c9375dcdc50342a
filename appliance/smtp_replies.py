"""Core: what a stranger hears: every SMTP reply we give, with its enhanced status (RFC 5321 section 4.2, RFC 3463).

The words are ours and fixed. No exception's text, address or file name ever reaches the peer; our own fault is
always a 451 (452 for want of room), so that the sending server keeps the message and comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from portal.front_door import Refused

PERMANENT = 500


@dataclass(frozen=True)
class Reply:
    """One reply line. ``status`` is the enhanced status code, empty where RFC 2034 section 4 has none."""

    code: int
    status: str
    text: str

    @cached_property
    def line(self) -> bytes:
        """The reply as it goes over the wire."""
        status = f"{self.status} " if self.status else ""
        return f"{self.code} {status}{self.text}\r\n".encode("ascii")

    @property
    def is_refusal(self) -> bool:
        """True for a permanent refusal, which counts against the peer."""
        return self.code >= PERMANENT


OK = Reply(250, "2.0.0", "OK")
SENDER_OK = Reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient OK")
STORED = Reply(250, "2.6.0", "Message stored durably; it is ours now")
GOODBYE = Reply(221, "2.0.0", "Bye")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
START_TLS = Reply(220, "2.0.0", "Ready to start TLS")
AUTHENTICATED = Reply(235, "2.7.0", "Authentication succeeded")
CANNOT_VERIFY = Reply(252, "2.1.5", "Send some mail, and we will see")
HELP = Reply(214, "2.0.0", "See RFC 5321")

OUR_FAULT = Reply(451, "4.3.0", "We cannot take mail at the moment; please try again later")
CANNOT_TELL = Reply(451, "4.4.3", "We cannot look that address up at the moment; please try again later")
NOT_YET = Reply(451, "4.3.2", "We do not take mail yet; please try again later")
UNAVAILABLE = Reply(451, "4.3.2", "Sending is temporarily unavailable; please try again later")
SPOOL_FULL = Reply(452, "4.3.1", "We have no room for mail at the moment; please try again later")
NO_MEMORY = Reply(452, "4.3.1", "Too much mail is coming in at the moment; please try again later")
NOT_SCANNED = Reply(451, "4.7.1", "We cannot look at this message at the moment; please try again later")
AUTHENTICATION_DOWN = Reply(454, "4.7.0", "Temporary authentication failure; please try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients; send the rest in another transaction")
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections; please try again later")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors; goodbye")
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without a message; goodbye")
TOO_MANY_FAILURES = Reply(421, "4.7.0", "Too many failed sign-ins; please try again later")
TIMED_OUT = Reply(421, "4.4.2", "Timed out waiting for you; goodbye")
CLOSING = Reply(421, "4.3.2", "Shutting down; please try again later")
TLS_UNAVAILABLE = Reply(454, "4.7.0", "TLS is not available at the moment")

LINE_TOO_LONG = Reply(500, "5.5.6", "Command line too long")
BARE_LINE_FEED = Reply(500, "5.5.2", "Lines end with CR LF")
UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognised")
BAD_SYNTAX = Reply(501, "5.5.4", "Syntax error in the arguments")
BAD_SEQUENCE = Reply(503, "5.5.1", "Not now: bad sequence of commands")
NO_SUCH_PARAMETER = Reply(555, "5.5.4", "Parameter not recognised")
ALREADY_SECURE = Reply(503, "5.5.1", "TLS is active already")
UTF8_NOT_ANNOUNCED = Reply(553, "5.6.7", "A non-ASCII address needs the SMTPUTF8 parameter")
BAD_ADDRESS = Reply(553, "5.1.3", "That is no mail address")
UNKNOWN_MAILBOX = Reply(550, "5.1.1", "No such mailbox here")
RELAYING_DENIED = Reply(550, "5.7.1", "Relaying denied")
TOO_LARGE = Reply(552, "5.3.4", "Message is larger than we take")
BARE_LINE_ENDS = Reply(550, "5.6.11", "Message has bare CR or LF; lines must end with CR LF")
LONG_LINES = Reply(550, "5.6.0", "Message has a line longer than we take")
TOO_MANY_HOPS = Reply(554, "5.4.6", "Too many hops: this message is going in circles")
TLS_REQUIRED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
SIGN_IN_REQUIRED = Reply(530, "5.7.0", "Authentication required")
SIGN_IN_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid")
SIGN_IN_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
MECHANISM_UNKNOWN = Reply(504, "5.5.4", "Authentication mechanism not supported")
FALSE_SENDER = Reply(550, "5.7.1", "The envelope sender is not an address of your account")
FALSE_AUTHOR = Reply(550, "5.7.1", "The From field must hold your own address, once and plainly")
VIRUS = Reply(550, "5.7.1", "Message refused: it carries a virus")
JUNK = Reply(550, "5.7.1", "Message refused: it looks like junk")
REFUSED = Reply(550, "5.7.1", "Message refused by policy")

_OF_REFUSALS = {
    "no_such_mailbox": UNKNOWN_MAILBOX,
    "outside_recipient": RELAYING_DENIED,
    "no_recipients": Reply(554, "5.5.1", "No valid recipients"),
    "too_many_recipients": TOO_MANY_RECIPIENTS,
    "false_sender": FALSE_SENDER,
    "false_author": FALSE_AUTHOR,
    "bare_line_ends": BARE_LINE_ENDS,
    "long_lines": LONG_LINES,
    "too_many_hops": TOO_MANY_HOPS,
    "too_large": TOO_LARGE,
    "virus": VIRUS,
    "junk": JUNK,
}


def of_refusal(refused: Refused) -> Reply:
    """The reply for a message that the front door does not take. Its own words stay inside: they may name people."""
    return _OF_REFUSALS.get(refused.code, REFUSED)
