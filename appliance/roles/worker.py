"""The worker role: everything that follows a message after it was promised, and the clock's own duties."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from appliance import (
    account_wiring,
    alert_wiring,
    archive_wiring,
    backup_wiring,
    check_wiring,
    delivery_wiring,
    drain_wiring,
    object_store_wiring,
    opening_follow_up,
    process_memory,
    restore_duty,
    store_wiring,
    wiring,
    workplace_wiring,
)
from appliance.backup_schedule import BackupSchedule
from appliance.drill_schedule import DrillSchedule
from appliance.duty_turn import Duty, in_turn, when_our_turn
from appliance.front_door_wiring import FrontDoorParts
from appliance.key_agent_client import AgentOpener, KeyAgentClient
from appliance.key_use_duty import KeyUseDuty
from appliance.outbox_worker import BatchWork, ErrandWork, Worker
from appliance.role_charge import RoleName, place_name
from appliance.role_life import Station
from appliance.settings import Settings
from appliance.wiring import Appliance
from appliance.workplace import Claim
from archive.index_care import IndexCare
from archive.intake import Intake
from archive.object_guarding import ObjectGuarding
from archive.records_desk import RecordsDesk
from mailstore import audit_trail, message_records
from mailstore.dictionary_training import DictionaryTraining
from mailstore.errors import StrongroomError
from mailstore.high_water import HighWaterMark
from mailstore.orphan_sweep import OrphanSweep
from mailstore.outbox import Kind
from mailstore.promotion import Promotion
from mailstore.scrub import Scrub
from mailstore.spool_release import SpoolRelease
from mailstore.trusted_time import Frozen

logger = logging.getLogger(__name__)

CHECKPOINT_LOOK = timedelta(seconds=30)
CHECKPOINT_AFTER = timedelta(minutes=10)
"""How old an audit entry gets before a signed checkpoint covers it, unless many others came sooner."""

INDEX_BATCH = 100
"""Messages that share one commit of the index, which costs more than a message."""

PROMOTE_EVERY_SECONDS = 2.0
CAPTURE_EVERY_SECONDS = 0.5
INDEX_EVERY_SECONDS = 1.0
"""How long messages gather for one batch under a light load. A message is searchable within seconds all the same."""

NICENESS = 10
"""Taking mail in and showing pages come first: those are waited for (setpriority(2)). As a batch (sched(7)) we do not
push them off the processor when we wake up either. Nicer still would let others' work hold up a transaction of ours,
for which taking mail in waits."""

INDEX_CHECK_EVERY = timedelta(minutes=1)
"""How soon a damaged index is noticed. Files that have not changed since they were found whole are not read again."""

PLACE_LOOK = timedelta(minutes=1)
"""How long two twins can work beside each other before one of them notices and ends."""

MARK_EVERY = timedelta(minutes=1)
"""How much mail a restore of older rows may lose without our knowing that it was lost."""

RELEASE_EVERY = timedelta(minutes=5)
SWEEP_EVERY = timedelta(hours=1)
SWEPT_AT_ONCE = 100_000
"""Messages of a local store that one sweep looks at. Beyond, and in a store elsewhere, each hour has its part."""

SCRUB_EVERY = timedelta(minutes=1)
"""Each step of the scrub reads what the minute's share of its round is."""

TIME_KEPT_EVERY = timedelta(minutes=5)
"""How much counted time a crash may lose. After a restart the trusted time goes on from what was kept last."""

PROBE_EVERY = timedelta(days=1)
"""How often the object store is asked what it enforces: at every start, and should somebody change it meanwhile."""

DICTIONARY_LOOK_EVERY = timedelta(minutes=10)
"""How soon a dictionary is made of mail that has doubled. Looking whether it has costs two queries."""

DOOR_LIST_EVERY = timedelta(minutes=1)
"""How soon a door list that was lost or changed is there again. Looking costs one query."""

UNSEAL_REPORT_EVERY = timedelta(minutes=1)
"""How soon tries at unsealing an open appliance are told of; those at a sealed one are at its opening."""

BACKUP_LOOK_EVERY = timedelta(seconds=30)
"""How soon a backup that is due is begun; how often one is due, the settings say."""

DRILL_LOOK_EVERY = timedelta(minutes=10)
"""How soon a restore drill that is due is begun; how often one is due, the settings say."""

SAVED_SEARCH_LOOK_EVERY = timedelta(minutes=10)
"""How soon a saved search that is due is run; each is due once a day."""

LEDGER_LOOK_EVERY = timedelta(minutes=5)
"""How soon the ledger of disposals and holds says what a crash kept it from saying."""

FREED_RETURNED_EVERY = timedelta(minutes=1)
"""The peak of a batch, of making a dictionary above all, is not kept until the next. Takes some milliseconds."""

ALARMS_FROM = timedelta(minutes=2)
"""What is just starting is not wrong yet: ports open one after the other, an index is made anew."""

THOROUGH_LOOK_FROM = timedelta(minutes=10)
THOROUGH_LOOK_EVERY = timedelta(days=1)
"""How often every row is held against the others. The more mail there is, the longer that takes."""

KEY_USE_EVERY = timedelta(minutes=1)
"""How soon an alarm of the key agent is in the audit log."""

RECLASSIFY_EVERY = timedelta(seconds=20)
"""How soon what is here follows a new schedule. Looking whether there is one costs one query."""


def work(station: Station) -> None:
    """Work until SIGTERM; what is under way ends or is taken up again at the next start."""
    step_back()
    with wiring.in_role(station) as appliance, appliance.front_door() as front:
        asyncio.run(_run(appliance, front, station))


def step_back() -> None:
    """Have the processor after those who are waited for."""
    os.nice(NICENESS)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def names(settings: Settings) -> frozenset[str]:
    """What the workers of this appliance are called, in their leases too."""
    return frozenset(place_name(RoleName.WORKER, number) for number in range(1, 1 + settings.worker.processes))


async def _run(appliance: Appliance, front: FrontDoorParts, station: Station) -> None:
    promotion = store_wiring.promotion(appliance)
    intake = archive_wiring.intake(appliance)
    guarding = archive_wiring.desk(appliance).guarding
    kinds = {**kinds_of(promotion, intake, guarding), **delivery_wiring.outbound(appliance, front).work()}
    others = names(appliance.settings) - {place_name(RoleName.WORKER, 1)}
    worker = Worker(appliance.database, kinds, clock=appliance.clock, others=others)
    stopping = threading.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(_stop, worker, stopping))
    care = archive_wiring.index_care(appliance, intake)
    training = store_wiring.dictionary_training(appliance)
    schedule = BackupSchedule(appliance, should_stop=stopping.is_set)
    drills = DrillSchedule(appliance, should_stop=stopping.is_set)
    await asyncio.to_thread(_mend, appliance)
    await asyncio.to_thread(in_turn, appliance.data, Duty.BACKUP_DATA, schedule.clear)
    duties = _duties_of_every_moment(appliance, front)
    station.when_ready()
    drain = drain_wiring.drain(appliance, front, should_stop=stopping.is_set)
    if unfinished := await opening_follow_up.drained_first(drain, stopping=stopping):
        duties.append(unfinished)
    when_whole = partial(restore_duty.when_whole, appliance)
    our_turn = partial(when_our_turn, appliance.data)
    scrub = our_turn(Duty.SCRUB, partial(_scrub, check_wiring.scrub(appliance)))
    duties += [
        asyncio.create_task(
            restore_duty.until_whole(appliance, partial(_made_whole, appliance, care), stopping=stopping)
        ),
        asyncio.create_task(_every(SCRUB_EVERY, when_whole(scrub))),
        asyncio.create_task(_every(INDEX_CHECK_EVERY, when_whole(partial(_tend, care)))),
        asyncio.create_task(_every(MARK_EVERY, partial(_mark, store_wiring.high_water_mark(appliance)))),
        asyncio.create_task(_every(RELEASE_EVERY, when_whole(partial(_release, store_wiring.release(appliance))))),
        asyncio.create_task(_every(SWEEP_EVERY, partial(_sweep, appliance, store_wiring.orphan_sweep(appliance)))),
        asyncio.create_task(_every(RECLASSIFY_EVERY, when_whole(partial(_reclassify, archive_wiring.desk(appliance))))),
        asyncio.create_task(_every(PROBE_EVERY, partial(_probe, appliance))),
        asyncio.create_task(_every(SAVED_SEARCH_LOOK_EVERY, when_whole(partial(_run_saved, appliance, front)))),
        asyncio.create_task(_every(DICTIONARY_LOOK_EVERY, when_whole(partial(_train, training)))),
        asyncio.create_task(_every(BACKUP_LOOK_EVERY, our_turn(Duty.BACKUP_KEYS, schedule.keys))),
        asyncio.create_task(_every(BACKUP_LOOK_EVERY, when_whole(our_turn(Duty.BACKUP_DATA, schedule.data)))),
        asyncio.create_task(_every(DRILL_LOOK_EVERY, our_turn(Duty.DRILL, drills.run))),
        asyncio.create_task(_every(LEDGER_LOOK_EVERY, partial(backup_wiring.keep_ledger, appliance))),
        asyncio.create_task(_every(FREED_RETURNED_EVERY, process_memory.return_freed)),
    ]
    duties += _watches(appliance, station.agent)
    await worker.run()
    care.stop()
    for duty in duties:
        duty.cancel()
    await asyncio.gather(*duties, return_exceptions=True)
    appliance.trusted_clock.keep()
    _checkpoint(appliance, after=timedelta(0))


def _duties_of_every_moment(appliance: Appliance, front: FrontDoorParts) -> list[asyncio.Task[None]]:
    """What goes on while mail that came sealed is taken in. All other duties wait until then."""
    return [
        asyncio.create_task(_every(CHECKPOINT_LOOK, partial(_checkpoint, appliance))),
        asyncio.create_task(_every(TIME_KEPT_EVERY, partial(_keep_time, appliance))),
        asyncio.create_task(_every(DOOR_LIST_EVERY, partial(list_the_door, appliance))),
        asyncio.create_task(_every(UNSEAL_REPORT_EVERY, drain_wiring.report(appliance, front).tell)),
        *_account_of_keys(appliance),
        *_alarms(appliance, front),
    ]


def _account_of_keys(appliance: Appliance) -> list[asyncio.Task[None]]:
    """What the key agent says of the use of keys goes into the audit log."""
    if not isinstance(appliance.opener, AgentOpener):
        return []
    duty = KeyUseDuty(appliance.database, appliance.opener.status, clock=appliance.clock)
    return [asyncio.create_task(_every(KEY_USE_EVERY, duty.run))]


def _alarms(appliance: Appliance, front: FrontDoorParts) -> list[asyncio.Task[None]]:
    """Somebody is written to when what the doctor looks at turns red."""
    watch = alert_wiring.watch(appliance, front)
    every = timedelta(minutes=appliance.settings.alerts.look_minutes)
    return [
        asyncio.create_task(_every(every, watch.look, first=ALARMS_FROM)),
        asyncio.create_task(_every(THOROUGH_LOOK_EVERY, watch.look_thoroughly, first=THOROUGH_LOOK_FROM)),
    ]


def _stop(worker: Worker, stopping: threading.Event) -> None:
    stopping.set()
    worker.stop()


def list_the_door(appliance: Appliance) -> None:
    """Keep the list of addresses that mail is taken for while nothing can be opened."""
    file = account_wiring.door_list_file(appliance)
    with appliance.database.read() as connection:
        is_current = file.is_current(connection)
    if not is_current:
        with appliance.database.write() as connection:
            file.bring_up_to_date(connection)


def kinds_of(promotion: Promotion, intake: Intake, guarding: ObjectGuarding) -> Mapping[Kind, BatchWork | ErrandWork]:
    """Which work is done by whom."""
    return {
        Kind.PROMOTE: BatchWork(promotion.promote_all, size=64, gather_seconds=PROMOTE_EVERY_SECONDS),
        Kind.CAPTURE: BatchWork(intake.capture_all, size=64, gather_seconds=CAPTURE_EVERY_SECONDS),
        Kind.INDEX: BatchWork(intake.index, size=INDEX_BATCH, gather_seconds=INDEX_EVERY_SECONDS),
        Kind.GUARD: BatchWork(guarding.tell, size=64, gather_seconds=PROMOTE_EVERY_SECONDS),
    }


async def _every(pause: timedelta, duty: Callable[[], None], *, first: timedelta = timedelta(0)) -> None:
    """A duty at the start or ``first`` after it, and then again and again. Whatever one dies of, it is tried anew."""
    await asyncio.sleep(first.total_seconds())
    while True:
        try:
            await asyncio.to_thread(duty)
        except Exception:
            logger.exception("duty failed")
        await asyncio.sleep(pause.total_seconds())


def _mend(appliance: Appliance) -> None:
    """Take up what an interruption left half done: holds not yet held against all mail."""
    try:
        if unfinished := archive_wiring.desk(appliance).holds.evaluate_unfinished():
            logger.info("holds evaluated", extra={"holds": unfinished})
    except StrongroomError:
        logger.exception("mending failed")


def _made_whole(appliance: Appliance, care: IndexCare) -> None:
    """All restored mail is there: what waited for it is done at once."""
    _mend(appliance)
    try:
        _tend(care)
    except StrongroomError:
        logger.exception("the index is completed later")


def _train(training: DictionaryTraining) -> None:
    """Keep a dictionary that fits the mail, and destroy those that nothing needs any more."""
    trained = training.run()
    if trained.is_new or trained.destroyed:
        logger.info("dictionaries", extra={"is_new": trained.is_new, "destroyed": trained.destroyed})


def _tend(care: IndexCare) -> None:
    """Look whether the index is whole; searches say meanwhile that it is being made anew."""
    if problem := care.tend():
        logger.warning("index rebuilt", extra={"problem": problem})


def _checkpoint(appliance: Appliance, after: timedelta = CHECKPOINT_AFTER) -> None:
    """Have signed what came since the newest checkpoint, once it is enough or old enough."""
    audit_trail.write_checkpoint_when_due(
        appliance.database,
        appliance.data.checkpoints,
        signer=appliance.signer,
        now=appliance.clock.now(),
        after=after,
    )


def _scrub(scrub: Scrub) -> None:
    """Read on in the sealed bytes; what is found wrong is in the audit log."""
    if bad := scrub.step().bad:
        logger.error("scrub found damage", extra={"bad": bad})


def _keep_time(appliance: Appliance) -> None:
    """Keep what is known of the time; while it is in doubt nothing expires (``mailstore.trusted_clock``)."""
    judgement = appliance.trusted_clock.keep(object_store_wiring.time_witness(appliance.data, appliance.settings))
    if isinstance(judgement, Frozen):
        logger.warning("time in doubt", extra={"doubt": judgement.doubt.value, "since": judgement.since.isoformat()})


def _reclassify(desk: RecordsDesk) -> None:
    """Give messages the categories of a schedule that was put in force since they were last looked at."""
    if count := desk.reclassification.run():
        logger.info("reclassified", extra={"messages": count})


def _probe(appliance: Appliance) -> None:
    """Try out what the object store enforces. One that has just learned to lock is told about everything."""
    if not appliance.settings.object_store.url:
        return
    if object_store_wiring.look_anew(appliance.data, appliance.settings, now=appliance.clock.now()):
        work = object_store_wiring.guard_work(appliance.settings)
        told = archive_wiring.desk(appliance).guarding.tell_of_all(work)
        logger.info("object store locks", extra={"messages": told})


def _run_saved(appliance: Appliance, front: FrontDoorParts) -> None:
    """Tell owners of saved searches how much is new."""
    if ran := archive_wiring.saved_search_duty(appliance, front).run():
        logger.info("saved searches ran", extra={"searches": ran})


def _release(release: SpoolRelease) -> None:
    """Let go of what has lain in the object store long enough."""
    released = release.run()
    if released.lost_objects:
        logger.error("objects lost", extra={"objects": released.lost_objects})
    if released.segments:
        logger.info("spool released", extra={"segments": released.segments})


def _watches(appliance: Appliance, agent: KeyAgentClient) -> list[asyncio.Task[None]]:
    """Where something is shared, the look whether the appliance still works here."""
    claim = workplace_wiring.claim(appliance.data, appliance.settings, appliance.database, appliance.ring.row_key)
    if claim is None:
        return []
    return [asyncio.create_task(_every(PLACE_LOOK, partial(_stay_or_end, claim, claim.token(), agent)))]


def _stay_or_end(claim: Claim, token: str, agent: KeyAgentClient) -> None:
    """Another place took over, or a twin of this machine was started: the whole appliance ends here, in good order."""
    if not claim.is_ours(token):
        logger.critical("works elsewhere now")
        agent.end_all()


def _mark(mark: HighWaterMark) -> None:
    """Have the keystore note how far the rows are."""
    if not mark.keep():
        logger.error("rows are older than the keys", extra={})


def _sweep(appliance: Appliance, sweep: OrphanSweep) -> None:
    """Clear away what a crash left behind: objects and keys without a message. A large or a far store in parts."""
    with appliance.database.read() as connection:
        is_large = message_records.count(connection) > SWEPT_AT_ONCE
    if is_large or appliance.settings.object_store.url:
        swept = sweep.run(part=appliance.clock.now().hour, of=24)
    else:
        swept = sweep.run()
    logger.info(
        "swept",
        extra={
            "objects": swept.objects,
            "keys": swept.keys,
            "unexplained_keys": swept.unexplained_keys,
            "rows_are_older": swept.rows_are_older,
        },
    )
