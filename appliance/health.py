"""What ``doctor`` looks at. Each check answers one finding in plain words, with what to do about it.

A check that cannot be made is a finding too: nothing is passed over in silence.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path

from appliance import (
    archive_wiring,
    backup_health,
    check_wiring,
    database_health,
    drill_health,
    index_health,
    key_agent_health,
    object_store_wiring,
    process_file,
    sealed_health,
    store_wiring,
    tls_certificates,
)
from appliance.backup_health import BackupReport
from appliance.data_directory import DataDirectory
from appliance.database_health import PlaceReport
from appliance.key_agent_health import AgentReport
from appliance.outbox_worker import FAULT
from appliance.sealed_health import SealedReport
from appliance.settings import Settings
from appliance.wiring import Appliance
from mailstore import audit_trail, consistency_check, consistency_problem, outbox, scrub, ways_in
from mailstore.consistency_check import Depth
from mailstore.consistency_problem import Weight
from mailstore.errors import StrongroomError
from mailstore.outbox import Kind
from mailstore.slot_key_file import Credential
from mailstore.spool_gauge import SpoolGauge
from mailstore.store_state import StoreState
from mailstore.trusted_clock import ClockInDoubtError
from mailstore.trusted_time import Frozen

MEBIBYTE = 1024 * 1024
LEAST_FREE_MEBIBYTES = 512
LOW_FREE_MEBIBYTES = 5 * 1024
LATE_WORK = timedelta(minutes=15)
LATE_CHECKPOINT = timedelta(minutes=30)
MOST_OF_ONE_CHECK = 20
_ROW_OF_TABLE = re.compile(r"the row (\w+)\(")
CERTIFICATE_NOTICE = timedelta(days=30)
CLOCK_SLACK = timedelta(minutes=2)
PORT_SECONDS = 2.0


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_STATES = {Weight.FAIL: State.FAIL, Weight.WARN: State.WARN}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    state: State
    message: str
    fix: str = ""


def of_directory(data: DataDirectory, settings: Settings) -> Iterator[Finding]:
    """The checks that need no key."""
    yield _guarded("file modes", lambda: _modes(data))
    yield _guarded("disk space", lambda: _space(data))
    yield _guarded("spool", lambda: _spool(data, settings))
    yield _guarded("serve", lambda: _served(data))
    for name in settings.ports if process_file.holder(data) else ():
        yield _guarded(f"port {name}", partial(_port, settings, name))


def of_appliance(appliance: Appliance, *, reads_objects: bool = False) -> Iterator[Finding]:
    """The checks that look inside. ``reads_objects``: every sealed byte too, which takes long."""
    yield Finding("unlock", *_unlock(appliance.data))
    yield _guarded("clock", lambda: _clock(appliance))
    yield _guarded("certificate", lambda: _certificate(appliance))
    yield _guarded("row database", lambda: _place(database_health.of_rows(appliance)))
    yield _guarded("keystore", lambda: _place(database_health.of_keys(appliance)))
    yield from _stores(appliance, reads_objects=reads_objects)
    yield _guarded("scrub", lambda: _scrub(appliance))
    yield _guarded("disposal certificates", lambda: _disposal_certificates(appliance))
    yield _guarded("audit checkpoints", lambda: _checkpoints(appliance))
    yield _guarded("age of the rows", lambda: _age_of_rows(appliance))
    yield _guarded("object store", lambda: _object_store(appliance))
    yield _guarded("follow-up work", lambda: _queue(appliance))
    yield _guarded("search index", lambda: _index(appliance))
    yield from map(_sealed, sealed_health.reports(appliance))
    yield from map(_sealed, key_agent_health.reports(appliance))
    yield from map(_backup, backup_health.reports(appliance))
    yield from map(_backup, drill_health.reports(appliance))
    if appliance.settings.object_store.url:
        yield _guarded("object lock", lambda: _object_lock(appliance))


class WholeReport:
    """Every check of an open appliance, for the page of the administrator. One look at a time."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._one_at_a_time = threading.Lock()

    def checks(self) -> list[Finding]:
        """What ``doctor`` says, made now."""
        with self._one_at_a_time:
            found = list(of_directory(self._appliance.data, self._appliance.settings))
            try:
                found += of_appliance(self._appliance, reads_objects=False)
            except StrongroomError as error:
                found.append(Finding("open", State.FAIL, error.message, error.fix))
        return found


def _guarded(check: str, look: Callable[[], tuple[State, str, str]]) -> Finding:
    """A finding whatever happens: what could not be looked at has failed."""
    try:
        return Finding(check, *look())
    except StrongroomError as error:
        return Finding(check, State.FAIL, error.message, error.fix)
    except OSError as error:
        return Finding(
            check, State.FAIL, f"could not be looked at: {error.strerror}", "check owner and mode of the files"
        )


def _unlock(data: DataDirectory) -> tuple[State, str, str]:
    if data.unlock_key.exists():
        return (
            State.WARN,
            "the data directory opens by itself: whoever takes the disk can read the mail",
            "add another way in (strongroom key slot add), then remove this one: docs/operations/sealed-start.md",
        )
    if any(slot.kind == Credential.kind for slot in ways_in.listed(data.keys)):
        return State.OK, "a credential of this machine opens it: whoever takes all of it and starts it is in", ""
    return State.OK, "a secret outside the data directory opens it", ""


def _modes(data: DataDirectory) -> tuple[State, str, str]:
    open_to_others = [path for path in [data.path, *data.path.rglob("*")] if _is_open_to_others(path)]
    if open_to_others:
        first = open_to_others[0]
        return State.FAIL, f"{first} is open to other users", f"run: chmod -R go-rwx {data.path}"
    return State.OK, "every file is for its owner alone", ""


def _is_open_to_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.lstat().st_mode) & 0o077) and not path.is_symlink()
    except FileNotFoundError:
        return False


def _space(data: DataDirectory) -> tuple[State, str, str]:
    found = os.statvfs(data.path)
    free = found.f_bavail * found.f_frsize // MEBIBYTE
    told = f"{free} MiB are free"
    if free < LEAST_FREE_MEBIBYTES:
        return State.FAIL, told, "make room now: mail is refused for the time being when the disk is full"
    if free < LOW_FREE_MEBIBYTES:
        return State.WARN, told, "make room or add a disk"
    return State.OK, told, ""


def _spool(data: DataDirectory, settings: Settings) -> tuple[State, str, str]:
    gauge = SpoolGauge(data.spool, cap_bytes=settings.spool.cap_bytes)
    told = f"{gauge.used_bytes() // MEBIBYTE} of {gauge.cap_bytes // MEBIBYTE} MiB"
    fix = "see what stands at object store below; or raise spool.cap_bytes if the disk has room"
    if not gauge.has_room():
        return State.FAIL, f"{told}: no mail is taken until the object store has taken some", fix
    if gauge.is_pressed():
        return State.WARN, f"{told}: when it is full, mail is put off", fix
    return State.OK, told, ""


def _served(data: DataDirectory) -> tuple[State, str, str]:
    process = process_file.holder(data)
    if process is None:
        return State.WARN, "no serve runs here: no mail is taken or sent", "run: strongroom serve"
    return State.OK, f"process {process} serves", ""


def _port(settings: Settings, name: str) -> tuple[State, str, str]:
    port = settings.ports[name]
    listen = {"smtp": settings.smtp.listen, "portal": settings.portal.listen}.get(name, settings.submission.listen)
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)  # noqa: S104 - asked on the loopback instead
    try:
        socket.create_connection((address, port), PORT_SECONDS).close()
    except OSError as error:
        return State.FAIL, f"{port} on {address} does not answer: {error.strerror}", "look into log/supervisor.log"
    return State.OK, f"{port} on {address} answers", ""


def _clock(appliance: Appliance) -> tuple[State, str, str]:
    """A clock that jumped lets nothing expire until it is right again or confirmed; one set back makes entries lie."""
    with appliance.database.read() as connection:
        newest = audit_trail.tail(connection, 1)
        found = appliance.trusted_clock.view(connection)
    now, judgement = found.reading.wall, found.judgement
    if isinstance(judgement, Frozen):
        told = f"{now:%Y-%m-%d %H:%MZ}: {judgement.doubt.words} ({judgement.now:%Y-%m-%d %H:%MZ})"
        return State.FAIL, f"{told}; no disposal and no release until it is confirmed", ClockInDoubtError.FIX
    if newest and newest[0].at - now > CLOCK_SLACK:
        behind = newest[0].at - now
        return State.FAIL, f"the clock is behind the audit trail by {behind}", "set the clock; use a time server"
    kept = "kept by a time server" if found.reading.witnesses else "no time server is seen to keep it"
    return State.OK, f"{now:%Y-%m-%d %H:%M:%SZ}, not behind anything recorded; {kept}", ""


def _certificate(appliance: Appliance) -> tuple[State, str, str]:
    end = tls_certificates.expires_at(appliance.data.tls)
    left = end - appliance.clock.now()
    told = f"valid until {end:%Y-%m-%d}"
    fix = "put a new server.pem and server.key into tls/ and start serve again"
    if left <= timedelta(0):
        return State.FAIL, f"expired on {end:%Y-%m-%d}", fix
    return (State.WARN, told, fix) if left < CERTIFICATE_NOTICE else (State.OK, told, "")


def _place(found: PlaceReport) -> tuple[State, str, str]:
    """Where rows or keys are kept, and what is wrong with that."""
    fix = "see docs/decisions/postgresql.md"
    if found.failings:
        return State.FAIL, f"{found.place}: {'; '.join(found.failings)}", fix
    if found.cautions:
        return State.WARN, f"{found.place}; {'; '.join(found.cautions)}", fix
    return State.OK, found.place, ""


def _sealed(found: SealedReport | AgentReport) -> Finding:
    return Finding(found.check, State.WARN if found.is_alarming else State.OK, found.message, found.fix)


def _backup(found: BackupReport) -> Finding:
    state = State.FAIL if found.failings else State.WARN if found.cautions else State.OK
    return Finding(found.name, state, "; ".join([found.told, *found.failings, *found.cautions]), found.fix)


def _stores(appliance: Appliance, *, reads_objects: bool) -> Iterator[Finding]:
    """Rows, keys, objects and the audit trail, held against each other."""
    depth = Depth(check_wiring.ACCEPTED_EVENTS, reads_objects=reads_objects)
    found = list(consistency_check.check(check_wiring.stores(appliance), depth, now=appliance.clock.now()))
    found.sort(key=lambda finding: finding.weight is not Weight.FAIL)
    for check in ("database", "rows", "keys", "audit", "messages", "objects", "checks"):
        mine = [finding for finding in found if finding.check == check]
        if not mine and check != "checks":
            yield Finding(check, State.OK, "all is as it was written")
        for finding in mine[:MOST_OF_ONE_CHECK]:
            yield Finding(check, _STATES[finding.weight], finding.problem, _fix(finding))
        if left_out := mine[MOST_OF_ONE_CHECK:]:
            worst = left_out[0]
            told = f"and {len(left_out)} more{_tables_of(left_out)}"
            yield Finding(check, _STATES[worst.weight], told, _fix(worst))


def _scrub(appliance: Appliance) -> tuple[State, str, str]:
    """When every sealed byte was read last, and by when it will be again."""
    with appliance.database.read() as connection:
        found = scrub.state(connection)
    if found is None:
        return State.OK, "no round has begun: serve begins it", ""
    by = found.next_by(check_wiring.scrub_period(appliance))
    last = f"last full round finished on {found.finished_at:%Y-%m-%d}" if found.finished_at else "no full round yet"
    told = f"{last}, next by {by:%Y-%m-%d}"
    if bad := found.bad + found.finished_bad:
        return State.FAIL, f"{told}; {bad} sealed objects were found damaged", "run: strongroom check --repair"
    if appliance.clock.now() > by:
        return State.FAIL, f"{told}, which is past", "let serve run; look into log/worker.log"
    return State.OK, told, ""


def _fix(finding: consistency_problem.Finding) -> str:
    return finding.meaning.person or "run: strongroom check --repair"


def _tables_of(found: Sequence[consistency_problem.Finding]) -> str:
    """Which tables the rows belong to that are not listed one by one."""
    rows = (_ROW_OF_TABLE.match(finding.problem) for finding in found)
    tables = sorted({row[1] for row in rows if row})
    return f", of the tables {', '.join(tables)}" if tables else " of this kind"


def _checkpoints(appliance: Appliance) -> tuple[State, str, str]:
    """Entries that no signed checkpoint covers could be cut off with the whole directory put back."""
    newest = audit_trail.newest_checkpoint(appliance.data.checkpoints)
    with appliance.database.read() as connection:
        count, since = audit_trail.entries_after(connection, newest.size if newest else 0)
    told = f"the newest is of {newest.at:%Y-%m-%d %H:%M:%SZ}" if newest else "none was written yet"
    if since is not None and appliance.clock.now() - since > LATE_CHECKPOINT:
        return (
            State.WARN,
            f"{told}; {count} entries wait for one since {since:%Y-%m-%d %H:%MZ}",
            "is serve running? look into log/worker.log",
        )
    return State.OK, told, ""


def _disposal_certificates(appliance: Appliance) -> tuple[State, str, str]:
    """Every certificate that was issued, as it lies on the disk, against the row and against our key."""
    issued, problems = archive_wiring.certificates(appliance).problems_in(appliance.data.certificates)
    if problems:
        fix = "run: strongroom disposal run ID of that disposal again; it writes the same certificate anew"
        return State.FAIL, problems[0], fix
    return State.OK, f"{issued} issued, all as they were signed", ""


def _object_lock(appliance: Appliance) -> tuple[State, str, str]:
    """The second guard of what must be kept, held against the schedule."""
    words = object_store_wiring.enforced(appliance.data, appliance.settings, now=appliance.clock.now())
    if not appliance.guard.is_enforced:
        told = (
            f"the object store was seen to enforce {', '.join(words) or 'nothing'}: the rows alone keep what must stay"
        )
        return (
            State.WARN,
            told,
            "use a store with versions, retention and legal hold, in a bucket made with object lock",
        )
    long = archive_wiring.desk(appliance).guarding.longer_than_scheduled()
    if not long:
        return State.OK, f"the object store enforces {', '.join(words)}", ""
    first = long[0]
    told = f"{len(long)} locks outlast the schedule, of {first.object_name} until {first.locked_until:%Y-%m-%d}"
    return (
        State.WARN,
        told,
        f"its record is due on {first.due_at:%Y-%m-%d}: let whoever runs the object store end the lock",
    )


def _age_of_rows(appliance: Appliance) -> tuple[State, str, str]:
    """Rows from an older backup do not know the mail that came since; its keys and objects are still here."""
    if store_wiring.high_water_mark(appliance).keep():
        return State.OK, "the rows hold all that the keystore saw of them", ""
    return (
        State.FAIL,
        "the row database was put back to an older state than the keystore saw: mail that came since has no rows",
        "restore the newest backup of the rows; until then no key and no object without a row is cleared away",
    )


def _object_store(appliance: Appliance) -> tuple[State, str, str]:
    """A store that is down harms nobody for as long as the spool has room: a warning, and what to do."""
    found = store_wiring.report(appliance)
    waits = f"{found.spooled} messages wait for it" if found.spooled else "no message waits for it"
    if found.oldest is not None:
        waits += f", the oldest since {found.oldest:%Y-%m-%d %H:%MZ}"
    if found.state is StoreState.OK:
        return State.OK, f"it answers, and {waits}", ""
    told = "it is down; mail is taken in all the same" if found.state is StoreState.DOWN else "it works, but"
    return State.WARN, f"{told}: {found.problem}; {waits}", found.fix


def _queue(appliance: Appliance) -> tuple[State, str, str]:
    now = appliance.clock.now()
    with appliance.database.read() as connection:
        waiting = outbox.waiting(connection)
        due = outbox.next_due(connection, tuple(Kind))
        postponed = outbox.postponed(connection)
    told = f"{waiting.total()} items wait"
    faults = sorted({f"{kind} ({why})" for kind, why in postponed if why.startswith(FAULT)})
    if faults:
        told_faults = f"{told}, put off by a fault of ours: {', '.join(faults)}"
        return State.WARN, told_faults, "look into log/worker.log; the work is tried again by itself"
    if due is not None and now - due > LATE_WORK:
        return (
            State.WARN,
            f"{told}, the oldest since {due:%Y-%m-%d %H:%MZ}",
            "is serve running? look into log/worker.log",
        )
    return State.OK, told, ""


def _index(appliance: Appliance) -> tuple[State, str, str]:
    report = index_health.of_index(appliance)
    return (State.WARN if report.fix else State.OK), report.told, report.fix
