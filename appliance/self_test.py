"""One message through the whole path, from another server's SMTP to the archive, each step told as it is reached.

It is an ordinary message to the postmaster of the practice: it lies in that mailbox afterwards, and the schedule ends
it as any other. So whoever upgrades or restores knows that mail is taken, kept, opened and found, before others try.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TypeVar

from appliance.wiring import Appliance
from archive import archive_records
from mailstore import message_records
from mailstore.errors import StrongroomError
from mailstore.key_hierarchy import header_id_index
from mailstore.message import MessageId, StoredMessage

SMTP_SECONDS = 30.0
POLL_SECONDS = 0.2
_Answer = TypeVar("_Answer")

TEXT = "Strongroom sent this to itself. Nothing is to be done.\r\n"


@dataclass(frozen=True)
class Step:
    """How far the message came. ``message`` says what was seen, or what was not."""

    step: str
    is_passed: bool
    message: str


def run(appliance: Appliance, *, wait_seconds: float) -> Iterator[Step]:
    """Every step in its order, until one does not pass. Each may take ``wait_seconds``."""
    letter = _letter(appliance)
    name = str(letter["Message-ID"])
    try:
        _send(appliance, letter)
        yield Step("accepted", is_passed=True, message="taken over TLS and promised with 250")
        message = _until(lambda: _arrived(appliance, name), wait_seconds)
        if message is None:
            yield Step("stored", is_passed=False, message="no row names it")
            return
        yield Step("stored", is_passed=True, message=message)
        yield _opened(appliance, message)
        for step, is_reached in _following(appliance, message):
            has_come = _until(is_reached, wait_seconds) is not None
            yield Step(step, is_passed=has_come, message="done" if has_come else f"not within {wait_seconds:.0f} s")
    except (StrongroomError, OSError, smtplib.SMTPException) as error:
        told = error.message if isinstance(error, StrongroomError) else _said(error)
        yield Step("failed", is_passed=False, message=told)


def _letter(appliance: Appliance) -> EmailMessage:
    domain = appliance.settings.practice.domain
    letter = EmailMessage()
    letter["From"] = f"Strongroom <postmaster@{domain}>"
    letter["To"] = f"postmaster@{domain}"
    letter["Subject"] = "Self-test"
    letter["Date"] = format_datetime(appliance.clock.now())
    letter["Message-ID"] = f"<self-test.{time.monotonic_ns()}.{appliance.clock.now():%Y%m%d%H%M%S}@{domain}>"
    letter.set_content(TEXT)
    return letter


def _send(appliance: Appliance, letter: EmailMessage) -> None:
    """As another server does. Whether the certificate is a good one, doctor says."""
    settings = appliance.settings
    context = ssl.create_default_context(cafile=appliance.data.tls / "server.pem")
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    listening = settings.smtp.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening, listening)  # noqa: S104 - what we listen on, not bind
    with smtplib.SMTP(host, settings.smtp.port, timeout=SMTP_SECONDS) as client:
        client.starttls(context=context)
        client.sendmail("", [f"postmaster@{settings.practice.domain}"], letter.as_bytes().replace(b"\n", b"\r\n"))


def _arrived(appliance: Appliance, name: str) -> MessageId | None:
    index = header_id_index(appliance.ring.lookup_key, name)
    with appliance.database.read() as connection:
        conversation = message_records.conversation_of(connection, index)
        found = message_records.conversation_messages(connection, conversation) if conversation else []
    return found[0].id if found else None


def _opened(appliance: Appliance, message: MessageId) -> Step:
    is_whole = TEXT.encode() in appliance.retrieval.content(message)
    told = "opened again, the same text" if is_whole else "opened, but it is another text"
    return Step("opened", is_passed=is_whole, message=told)


def _following(appliance: Appliance, message: MessageId) -> Iterator[tuple[str, Callable[[], object | None]]]:
    """What the worker does later, and how it is seen that it did."""
    yield "in the archive", lambda: _entry(appliance, message) or None
    yield "in the index", lambda: _is_indexed(appliance, message) or None
    yield "in the object store", lambda: _stored(appliance, message).object_name


def _entry(appliance: Appliance, message: MessageId) -> object:
    with appliance.database.read() as connection:
        return archive_records.find(connection, message)


def _is_indexed(appliance: Appliance, message: MessageId) -> bool:
    with appliance.database.read() as connection:
        entry = archive_records.find(connection, message)
    return entry is not None and entry.indexed_at is not None


def _stored(appliance: Appliance, message: MessageId) -> StoredMessage:
    with appliance.database.read() as connection:
        return message_records.stored(connection, message)


def _until(ask: Callable[[], _Answer | None], seconds: float) -> _Answer | None:
    end = time.monotonic() + seconds
    while (answer := ask()) is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return answer


def _said(error: OSError) -> str:
    """What a server or the system answered, without addresses."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the SMTP port answered {error.smtp_code}"
    return f"the SMTP port did not take it: {type(error).__name__}"
