"""What a child does: one job of the appliance, with the appliance's own code, telling every event that is a promise."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from appliance import archive_wiring, check_wiring, cli, delivery_wiring, drain_wiring, portal_wiring, store_wiring
from appliance.data_directory import DataDirectory
from appliance.outbox_worker import BatchWork, Worker, WorkerRules
from appliance.roles import worker as worker_role
from appliance.wiring import Appliance
from archive.disposal_records import DisposalState
from archive.due_records import DueRecords
from mailstore import message_records, outbox, sealed_copies
from mailstore.actor import Actor
from mailstore.addresses import parse_mailbox
from mailstore.errors import StrongroomError
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage, StoredMessage
from mailstore.outbox import Kind
from mailstore.wall_clock import SetClock
from portal.front_door import Refused
from tests.torture.letter import ANN, DOOMED, LITIGATED, Letter

RUTH, PAUL = "ruth@clinic.example", "paul@clinic.example"
SCHEDULE = """
[category.{category}]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"

[category.monthly]
retain = "30 days"
clock = "receipt"
citation = "Practice policy"

[[rule]]
category = "{category}"
match = "subject:{word}"

[[rule]]
category = "monthly"
match = "subject:report"
"""
TOGETHER = 4
"""Letters that arrive together, to be stored in one group."""

PATIENCE_SECONDS = 60.0
PROBE_BYTES = 24
"""Bytes out of the middle of something sealed: enough to be found again wherever they lie."""


@dataclass(frozen=True)
class House:
    """Where a scene is played, what it was told, and whom it tells."""

    data: DataDirectory
    told: Mapping[str, Any]
    say: Callable[..., None]

    @contextmanager
    def opened(self) -> Iterator[Appliance]:
        """The appliance, unlocked, with its real clock."""
        with Appliance.opened(self.data) as appliance:
            yield appliance


def actor(appliance: Appliance, email: str) -> Actor:
    """A person of the practice."""
    account = portal_wiring.people(appliance).by_email(email)
    return Actor(account.id, account.role)


def command(data: DataDirectory, *words: str) -> Any:
    """The JSON of a command of the product, run in this process."""
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(text):
        cli.main(["--data", str(data.path), "--json", *words])
    return json.loads(raw.getvalue())


def done(answer: dict[str, Any]) -> dict[str, Any]:
    """What a command answered. Raises ``OSError`` when that is an error: what comes next would make no sense."""
    if "error" in answer:
        raise OSError(str(answer["error"]))
    return answer


def accept(house: House) -> None:
    """Take letters in."""
    with house.opened() as appliance:
        take_in(house, appliance)


def take_in(house: House, appliance: Appliance) -> None:
    """Take letters in, some together, and tell each the moment it was promised."""
    letters = [Letter(**each) for each in house.told["letters"]]
    with appliance.front_door() as front:
        writer = actor(appliance, ANN)
        for start in range(0, len(letters), TOGETHER):
            some = letters[start : start + TOGETHER]
            begun = [(each, front.acceptance.submit(_received(each, appliance), writer)) for each in some]
            for letter, future in begun:
                _answered(house, letter, future)


def _received(letter: Letter, appliance: Appliance) -> ReceivedMessage:
    envelope = Envelope(parse_mailbox(letter.sender), (parse_mailbox(letter.recipient),))
    origin = Origin.SUBMISSION if letter.is_outbound else Origin.SMTP
    return ReceivedMessage(envelope, letter.content, appliance.clock.now(), origin)


def _answered(house: House, letter: Letter, begun: Future[MessageId] | Refused) -> None:
    assert not isinstance(begun, Refused), f"the front door refused {letter.name}: {begun}"
    try:
        house.say("accepted", name=letter.name, id=begun.result())
    except StrongroomError as error:
        house.say("put_off", name=letter.name, code=error.code)


def work(house: House) -> None:
    """What the worker does from its start until nothing is due; ``kinds`` when only some of it is wanted."""
    with house.opened() as appliance:
        _worked(appliance, house.told.get("kinds"), house.told.get("workers", ("first",)))


def duties(house: House) -> None:
    """What the worker does by the clock."""
    with house.opened() as appliance:
        _duties(appliance)


def _worked(appliance: Appliance, only: Sequence[str] | None = None, workers: Sequence[str] = ("first",)) -> None:
    """``workers``: the name of this one, and of those that may be at work at the same time."""
    with appliance.front_door() as front:
        promotion, intake = store_wiring.promotion(appliance), archive_wiring.intake(appliance)
        guarding = archive_wiring.desk(appliance).guarding
        kinds = {
            **worker_role.kinds_of(promotion, intake, guarding),
            **delivery_wiring.outbound(appliance, front).work(),
        }
        wanted = {kind: _at_once(work) for kind, work in kinds.items() if only is None or kind in only}
        rules = WorkerRules(poll_seconds=0.02, first_pause=timedelta(milliseconds=50))
        worker = Worker(
            appliance.database, wanted, clock=appliance.clock, rules=rules, name=workers[0], others=workers[1:]
        )
        asyncio.run(_until_done(worker, lambda: _is_done(appliance, wanted)))


def _at_once(work: Any) -> Any:
    return replace(work, gather_seconds=0.0) if isinstance(work, BatchWork) else work


async def _until_done(worker: Worker, is_done: Callable[[], bool]) -> None:
    """Let the worker run until nothing is left to do. What is left when the time is over, the oracle will miss."""
    running = asyncio.create_task(worker.run())
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends and not (worker.is_idle and await asyncio.to_thread(is_done)):  # noqa: ASYNC110
        # what ends the wait is in the rows, which cannot set an event
        await asyncio.sleep(0.01)
    worker.stop()
    await running


def _is_done(appliance: Appliance, kinds: Collection[Kind]) -> bool:
    with appliance.database.read() as connection:
        waiting = outbox.waiting(connection)
    return not any(waiting[kind] for kind in kinds)


def _duties(appliance: Appliance) -> None:
    """What the worker does by the clock. Between the two sweeps lie two hours: left-overs are old enough then."""
    worker_role._tend(archive_wiring.index_care(appliance, archive_wiring.intake(appliance)))
    worker_role._reclassify(archive_wiring.desk(appliance))
    worker_role._keep_time(appliance)
    worker_role._train(store_wiring.dictionary_training(appliance))
    worker_role._scrub(check_wiring.scrub(appliance))
    worker_role._mark(store_wiring.high_water_mark(appliance))
    worker_role._release(store_wiring.release(appliance))
    clock = SetClock(appliance.clock.now())
    sweep = store_wiring.orphan_sweep(replace(appliance, clock=clock))
    sweep.run()
    clock.advance(timedelta(hours=2))
    sweep.run()
    worker_role._checkpoint(appliance, timedelta(0))


def lose(house: House) -> None:
    """The object store loses an object that it had acknowledged."""
    with house.opened() as appliance:
        with appliance.database.read() as connection:
            stored = next(iter(message_records.all_messages(connection)))
        assert stored.object_name is not None, "nothing was promoted"
        appliance.objects.delete(stored.object_name)


def rebuild(house: House) -> None:
    """Make the index anew."""
    with house.opened() as appliance:
        archive_wiring.index_care(appliance, archive_wiring.intake(appliance)).rebuild()


def change_engine(house: House) -> None:
    """Change the search engine; said again, a change that was cut off is gone on with."""
    house.say("engine", answer=command(house.data, "archive", "engine", "set", house.told["engine"]))


def hold(house: House) -> None:
    """Place a hold on the litigated letters."""
    with house.opened() as appliance:
        placed = archive_wiring.desk(appliance).holds.place(
            actor(appliance, RUTH), name="Adams v. Clinic", reason="letter of counsel", query=LITIGATED
        )
        with appliance.database.read() as connection:
            ids = message_records.all_ids(connection)
        alive = [message for message in ids if appliance.keystore.has_key(message)]
        house.say("held", id=placed.id, matched=placed.matched, alive=alive)


def release(house: House) -> None:
    """End every hold that stands, by two persons."""
    with house.opened() as appliance:
        holds, ruth, paul = archive_wiring.desk(appliance).holds, actor(appliance, RUTH), actor(appliance, PAUL)
        for each in holds.all(ruth):
            if each.state == "active":
                holds.request_release(ruth, each.id, reason="the matter is settled")
            if holds.show(ruth, each.id).state == "release_requested":
                house.say("releasing", id=each.id)
                holds.approve_release(paul, each.id, set_hash=holds.preview_release(paul, each.id).set_hash)
                house.say("released", id=each.id)


def reschedule(house: House) -> None:
    """Put another schedule in force, by two persons, and give everything the categories of it."""
    with house.opened() as appliance:
        schedules = archive_wiring.desk(appliance).schedules
        proposed = schedules.propose(actor(appliance, RUTH), schedule("fleeting"))
        schedules.approve(actor(appliance, PAUL), proposed)
        worker_role._reclassify(archive_wiring.desk(appliance))


def schedule(category: str) -> str:
    """A schedule by which newsletters are due at once, and everything else in a month."""
    return SCHEDULE.format(category=category, word=DOOMED)


def dispose(house: House) -> None:
    """Propose, approve and run a disposal of all that is due, having told first what to look for afterwards."""
    with house.opened() as appliance:
        desk, ruth, paul = archive_wiring.desk(appliance), actor(appliance, RUTH), actor(appliance, PAUL)
        _tell_probes(house, appliance, desk.due_records)
        proposed = desk.disposals.propose(ruth)
        if not proposed.messages:
            house.say("nothing_due")
            return
        desk.disposals.approve(paul, proposed.id, set_hash=proposed.set_hash)
        house.say("ordered", disposal=proposed.id)
        _run(house, appliance, proposed.id)


def recover(house: House) -> None:
    """What happens after a crash: ``serve`` is started, and an officer runs again what was approved."""
    with house.opened() as appliance:
        worker_role._mend(appliance)
        with appliance.front_door() as front:
            drain_wiring.drain(appliance, front, should_stop=bool).run()
        _worked(appliance)
        for record in archive_wiring.desk(appliance).disposals.all(actor(appliance, RUTH)):
            if record.state not in {DisposalState.PROPOSED, DisposalState.WITHDRAWN}:
                _run(house, appliance, record.id)
        _duties(appliance)
    house.say("recovered")


def _run(house: House, appliance: Appliance, disposal: str) -> None:
    desk, ruth = archive_wiring.desk(appliance), actor(appliance, RUTH)
    outcome = desk.disposal_run.run(ruth, disposal)
    certificate = outcome.certificate.stem if outcome.certificate else ""
    house.say("disposed", disposal=disposal, destroyed=outcome.destroyed, certificate=certificate)


def _tell_probes(house: House, appliance: Appliance, due_records: DueRecords) -> None:
    with appliance.database.read() as connection:
        doomed = message_records.stored_many(connection, [each.message for each in due_records.survey().due])
    for stored in doomed:
        house.say(
            "doomed", id=stored.id, probes=[base64.b64encode(each).decode() for each in _probes(appliance, stored)]
        )


def _probes(appliance: Appliance, stored: StoredMessage) -> Iterator[bytes]:
    for copy in sealed_copies.copies_of(stored):
        yield _middle(sealed_copies.read_copy(copy, spool_directory=appliance.data.spool, objects=appliance.objects))
    yield _middle(stored.sealed_summary)
    yield appliance.keystore.wrapped_key(stored.id).wrapped_message_key


def _middle(data: bytes) -> bytes:
    start = len(data) // 2
    return data[start : start + PROBE_BYTES]
