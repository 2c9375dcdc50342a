"""Ties a notice that came back to the copy it told of: the writer hears of it, and the message stays in the portal."""

from __future__ import annotations

from collections.abc import Sequence

from appliance import notice_return
from appliance.delivery_progress import DeliveryProgress, Work
from appliance.outgoing_mail import OutgoingMail
from mailstore.message import MessageId
from mailstore.outbox import OutboxItem
from mailstore.wall_clock import Clock


class NoticeBounces:
    """Works through outbox items of kind ``bounce``. What is no bounce of ours stays as it lies in the mailbox."""

    def __init__(self, mail: OutgoingMail, progress: DeliveryProgress, *, lookup_key: bytes, clock: Clock) -> None:
        self._mail = mail
        self._progress = progress
        self._lookup_key = lookup_key
        self._clock = clock

    def take(self, items: Sequence[OutboxItem]) -> None:
        """Look at one bounce. Raises only for our own faults."""
        outgoing = self._mail.opened(items, with_content=True)
        reply = notice_return.failure_told(outgoing.content)
        for work in outgoing.works:
            copy = self._copy(work)
            if reply is not None and copy is not None:
                self._progress.notice_returned(*copy, reply, now=self._clock.now())
        self._progress.drop(items)

    def _copy(self, work: Work) -> tuple[MessageId, int] | None:
        return notice_return.copy_named(work.address, lookup_key=self._lookup_key)
