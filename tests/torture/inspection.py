"""What is really there after a cycle, gathered by a child that nothing disturbs and judged by the oracle outside."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

from appliance import archive_wiring, health
from appliance.health_finding import State
from appliance.wiring import Appliance
from archive import archive_records
from archive.disposal_records import ItemState
from archive.query_conditions import IdIs
from mailstore import audit_trail, mailboxes, message_records
from mailstore.errors import StrongroomError
from mailstore.mailboxes import Folder
from mailstore.message import MessageId
from tests.torture.letter import ANN, NAME
from tests.torture.scenes import RUTH, House, actor

EVERYTHING = 100_000


def inspect(house: House) -> None:
    """Tell everything that the oracle asks about. ``known`` is the size of the audit log that it saw last."""
    with house.opened() as appliance:
        house.say("messages", items=list(_messages(appliance)))
        house.say("mailbox", **_mailbox(appliance))
        house.say("index", **_index(appliance))
        house.say("objects", names=sorted(appliance.objects.names()))
        house.say("destroyed", items=list(_destroyed(appliance)))
        house.say("audit", **_audit(appliance, int(house.told.get("known", 0))))
        house.say("doctor", problems=list(_problems(appliance)))


def _messages(appliance: Appliance) -> Iterator[dict[str, Any]]:
    with appliance.database.read() as connection:
        ids = message_records.all_ids(connection)
    for message in ids:
        try:
            content = appliance.retrieval.content(message)
            states = [recipient.state.value for recipient in appliance.retrieval.recipients(message)]
        except StrongroomError as error:
            yield {"id": message, "problem": f"{error.code}: {error.message}"}
            continue
        found = NAME.search(content)
        name = found[0].decode() if found else ""
        yield {"id": message, "name": name, "digest": hashlib.sha256(content).hexdigest(), "states": states}


def _mailbox(appliance: Appliance) -> dict[str, list[MessageId]]:
    with appliance.database.read() as connection:
        mailbox = mailboxes.of_account(connection, actor(appliance, ANN).account)
        assert mailbox is not None
        listed = {
            folder: [each.message for each in mailboxes.entries(connection, mailbox.id, folder, limit=EVERYTHING)]
            for folder in (Folder.INBOX, Folder.SENT)
        }
    return {"inbox": listed[Folder.INBOX], "sent": listed[Folder.SENT]}


def _index(appliance: Appliance) -> dict[str, Any]:
    index = archive_wiring.index(appliance)
    with appliance.database.read() as connection:
        ids = message_records.all_ids(connection)
        archived = [each.message for each in archive_records.entries(connection, ids)]
    hits = {message: index.search(IdIs(message), limit=2).total for message in ids}
    return {"archived": archived, "hits": hits, "documents": index.document_count()}


def _destroyed(appliance: Appliance) -> Iterator[dict[str, Any]]:
    """Every record that a disposal says is dead, with what is still there of it."""
    disposals = archive_wiring.desk(appliance).disposals
    ruth, index = actor(appliance, RUTH), archive_wiring.index(appliance)
    for record in disposals.all(ruth):
        for item in disposals.show(ruth, record.id).items:
            if item.state is ItemState.DESTROYED:
                yield {"id": item.message, "disposal": record.id, "left": list(_left(appliance, item.message, index))}


def _left(appliance: Appliance, message: MessageId, index: Any) -> Iterator[str]:
    with appliance.database.read() as connection:
        found = {
            "its row": bool(message_records.stored_many(connection, [message])),
            "its recipients": bool(message_records.recipient_rows(connection, message)),
            "its archive row": bool(archive_records.entries(connection, [message])),
            "no tombstone": not message_records.is_disposed(connection, message),
        }
    found["its key"] = appliance.keystore.has_key(message)
    found["no mark of its key's destruction"] = not appliance.keystore.is_destroyed(message)
    found["an index entry"] = bool(index.search(IdIs(message), limit=1).total)
    with contextlib.suppress(StrongroomError):
        appliance.retrieval.content(message)
        found["its content"] = True
    return (what for what, is_so in found.items() if is_so)


def _audit(appliance: Appliance, known: int) -> dict[str, Any]:
    """The log as verified, and the root that it had when the oracle looked last."""
    key = appliance.signer.audit_public
    report = audit_trail.verify(appliance.database, public_key=key, checkpoints_path=appliance.data.checkpoints)
    with appliance.database.read() as connection:
        then = audit_trail.prove_inclusion(connection, 0, known).root.hex() if 0 < known <= report.entries else ""
        accepted = [entry.object for entry in audit_trail.of_events(connection, ["message.accepted"])]
    fault = report.first_bad.problem if report.first_bad else ""
    return {"size": report.entries, "root": report.tree_root, "then": then, "fault": fault, "accepted": accepted}


def _problems(appliance: Appliance) -> Iterator[str]:
    """What the product's own doctor finds: nothing may have failed, and nothing may be left over."""
    found = [
        *health.of_directory(appliance.data, appliance.settings, now=appliance.clock.now()),
        *health.of_appliance(appliance, reads_objects=True),
    ]
    for each in found:
        if each.state is State.FAIL or (each.state is State.WARN and each.check in {"objects", "keys", "messages"}):
            yield f"{each.check}: {each.message}"
