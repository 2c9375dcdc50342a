"""``strongroom message``: the messages in one's own mailbox, and which way a message went."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance import archive_wiring, command_access, portal_wiring
from appliance.command_call import Call, Outcome, facts, listed, shown, table
from appliance.message_trace import UNKNOWN_ID, MessageTrace, Trace
from appliance.wiring import Appliance
from archive.two_persons import KEEPERS
from mailstore import audit_trail, durable_file, read_sealed_message
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.mailboxes import Folder
from mailstore.message import MessageId
from mailstore.message_parts import parse
from mailstore.sealed_export import SealedExports
from portal.account_records import canonical_login
from portal.conversations import Conversations, ListedMessage
from portal.reading import OpenedMessage

PAGE = 200
COLUMNS = ("id", "received_at", "from", "subject", "size_bytes")


def listing(call: Call) -> Outcome:
    """What lies in the mailbox of the person who asks, sent mail included, newest first."""
    email, limit = call.arguments.email, call.arguments.limit
    if limit < 1:
        raise RefusedError("--limit must be at least 1", fix="say how many messages to list")
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        if canonical_login(email) != canonical_login(call.as_email or ""):
            raise RefusedError("a mailbox is open to its own person alone", fix=f"sign in as {email}, say --as {email}")
        conversations = portal_wiring.conversations(appliance)
        items = [
            {**_item(message), "folder": folder.value}
            for folder in Folder
            for message in _folder(conversations, actor, folder)
        ]
    items.sort(key=lambda item: item["received_at"], reverse=True)
    outcome = listed(items[:limit], COLUMNS, empty="No messages.")
    return Outcome({**outcome.fields, "total": len(items)}, outcome.text)


def show(call: Call) -> Outcome:
    """One message, after its entry in the audit trail. ``--raw`` gives the very bytes that came after DATA."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        opened = _opened(appliance, actor, MessageId(call.arguments.id))
    if call.arguments.raw:
        raw = base64.b64encode(opened.content).decode("ascii")
        return Outcome({**_fields(opened), "raw_base64": raw}, raw=opened.content)
    return Outcome(_fields(opened), _text(opened))


def export(call: Call) -> Outcome:
    """Write one message as it lies sealed, and its keys beside it, after two entries in the audit trail."""
    directory, message = Path(call.arguments.into).absolute(), MessageId(call.arguments.id)
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        content = _opened(appliance, actor, message).content
        fact = AuditFact("message.exported", actor.account, message, {"role": actor.role.value})
        with appliance.database.write() as connection:
            audit_trail.append(connection, [fact], now=appliance.clock.now())
        keys, objects = appliance.message_keys, appliance.objects
        exported = SealedExports(appliance.database, keys, appliance.data.spool, objects).of(message)
    if exported.content() != content:
        raise TamperedError(f"the export of message {message} gives something else than the message")
    files = {directory / f"{message}.sealed": exported.sealed, directory / f"{message}.key": exported.keys}
    _write(files)
    sealed, key = files
    fields = {"id": message, "sealed": str(sealed), "key": str(key), "reader": read_sealed_message.__file__}
    return Outcome(
        fields,
        facts(fields) + "\n\nWhoever has both files reads the message. python3 -I READER SEALED KEY > message.eml",
    )


def _write(files: Mapping[Path, bytes]) -> None:
    try:
        for directory in {path.parent for path in files}:
            durable_file.make_directory(directory)
        durable_file.write_all_new(files)
    except FileExistsError as error:
        raise RefusedError("this message was exported to there before", fix="name another directory") from error
    except OSError as error:
        raise StorageUnavailableError(f"the export cannot be written: {error.strerror}") from error


def _opened(appliance: Appliance, actor: Actor, message: MessageId) -> OpenedMessage:
    """A message of one's own; for those who keep records any other through the archive's own door."""
    try:
        return _found(appliance, actor, message)
    except NotFoundError as error:
        raise NotFoundError(error.message, fix=error.fix or UNKNOWN_ID) from error


def _found(appliance: Appliance, actor: Actor, message: MessageId) -> OpenedMessage:
    try:
        return portal_wiring.reading(appliance).open_message(actor, message)
    except NotFoundError:
        if actor.role not in KEEPERS:
            raise
    found = archive_wiring.reading(appliance).open(actor, message)
    return OpenedMessage(found.stored, found.summary, found.content, parse(found.content))


def trace(call: Call) -> Outcome:
    """Each recipient's way with its reasons, and what happened to the message."""
    message = MessageId(call.arguments.id)
    with command_access.opened(call) as appliance:
        found = MessageTrace(appliance.database, appliance.retrieval).trace(message)
    recipients = [
        {
            "address": each.address,
            "route": each.route.value,
            "reasons": list(each.reasons),
            "state": each.state.value,
            "attempts": each.attempts,
            "last_reply": each.last_reply,
        }
        for each in found.recipients
    ]
    events = [{"at": each.at, "event": each.event, "position": each.position} for each in found.events]
    return Outcome({"id": message, "recipients": recipients, "events": events}, _traced(found, events))


def _folder(conversations: Conversations, actor: Actor, folder: Folder) -> Iterator[ListedMessage]:
    before: int | None = None
    while True:
        page = conversations.folder(actor, folder, limit=PAGE, before=before)
        yield from page.items
        before = page.before
        if before is None:
            return


def _item(message: ListedMessage) -> dict[str, Any]:
    summary = message.summary
    return {
        "id": message.stored.id,
        "received_at": message.stored.received_at,
        "from": summary.shown_sender,
        "to": summary.to,
        "subject": summary.subject,
        "size_bytes": message.stored.size_bytes,
        "is_new": message.is_new,
        "is_damaged": message.is_damaged,
    }


def _fields(opened: OpenedMessage) -> dict[str, Any]:
    stored, summary = opened.stored, opened.summary
    return {
        "id": stored.id,
        "received_at": stored.received_at,
        "from": summary.shown_sender,
        "to": summary.to,
        "cc": summary.cc,
        "subject": summary.subject,
        "date": summary.date,
        "size_bytes": stored.size_bytes,
        "origin": stored.origin.value,
        "trace_fields": summary.trace_fields,
        "text": opened.text,
        "html": opened.html,
        "attachments": [
            {"file_name": each.file_name, "content_type": each.content_type, "size_bytes": each.size_bytes}
            for each in opened.parsed.attachments
        ],
    }


def _text(opened: OpenedMessage) -> str:
    fields = _fields(opened)
    head = {name: fields[name] for name in ("id", "received_at", "from", "to", "cc", "subject") if fields[name]}
    names = ", ".join(shown(each.file_name) for each in opened.parsed.attachments)
    body = "\n".join(shown(line) for line in (opened.text or "(no plain text)").splitlines())
    return facts({**head, **({"attachments": names} if names else {})}) + "\n\n" + body


def _traced(found: Trace, events: Sequence[Mapping[str, Any]]) -> str:
    recipients = [
        {"address": each.address, "route": each.route.value, "state": each.state.value, "reasons": each.reasons}
        for each in found.recipients
    ]
    return (
        table(recipients, ("address", "route", "state", "reasons"), empty="No recipients.")
        + "\n\n"
        + table(events, ("at", "event"), empty="No events.")
    )
