"""What waits to be sent in rows that came out of a backup: it may have been sent since, and nobody here knows.

Nothing is held back for that: mail that never arrives harms more than mail that arrives twice. But each copy that goes
to another server counts as one whose answer is unknown, so that it is marked when it is sent
(``relayed_message.POSSIBLE_DUPLICATE``) and whoever gets it twice can tell (promise I4). Notices and reports are sent
as they wait: they tell of mail and are not mail.
"""

from __future__ import annotations

from datetime import datetime

from appliance.delivery_progress import TO_DO
from appliance.recipient_outcome import ANSWER_UNKNOWN
from mailstore import message_records, outbox
from mailstore.database import Database
from mailstore.errors import StrongroomError
from mailstore.message import MessageId
from mailstore.outbox import Kind
from mailstore.retrieval import Retrieval
from mailstore.sealed_columns import RecipientDetail


def mark(database: Database, retrieval: Retrieval, *, now: datetime) -> int:
    """Mark every copy that waits; answers how many. Done twice is done once."""
    with database.read() as connection:
        waiting = outbox.recipients_waiting(connection, Kind.DELIVER)
    return sum(_is_marked(database, retrieval, message, position, now) for message, position in waiting)


def _is_marked(database: Database, retrieval: Retrieval, message: MessageId, position: int, now: datetime) -> bool:
    """False for one that is sent no more, or whose key is in no backup: that is told with the mail without keys."""
    try:
        recipient = retrieval.recipient(message, position)
    except StrongroomError:
        return False
    if recipient.state not in TO_DO:
        return False
    if recipient.last_reply != ANSWER_UNKNOWN:
        detail = RecipientDetail(recipient.address, recipient.reasons, ANSWER_UNKNOWN)
        sealed = retrieval.seal_detail(message, position, detail)
        with database.write() as connection:
            message_records.set_recipient(connection, message, position, sealed_detail=sealed, now=now)
    return True
