"""What the doctor says about what must stay true: rows, keys, objects and log against each other, and the time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

from appliance import archive_wiring, check_wiring, mending_words, store_wiring
from appliance.health_finding import Finding, Seen, State
from appliance.wiring import Appliance
from mailstore import audit_trail, consistency_check, consistency_problem, scrub
from mailstore.consistency_check import Depth
from mailstore.consistency_problem import Weight
from mailstore.trusted_clock import ClockInDoubtError
from mailstore.trusted_time import Frozen

LATE_CHECKPOINT = timedelta(minutes=30)
MOST_OF_ONE_CHECK = 20
SET_CLOCK = "run: sudo systemctl enable --now systemd-timesyncd, and wait until the time is right"
CLOCK_SLACK = timedelta(minutes=2)
_ROW_OF_TABLE = re.compile(r"the row (\w+)\(")
_STATES = {Weight.FAIL: State.FAIL, Weight.WARN: State.WARN}


def clock(appliance: Appliance) -> Seen:
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
        return (
            State.FAIL,
            f"the clock is behind the audit trail by {behind}",
            f"{SET_CLOCK}; entries of the time ahead stay as they are",
        )
    kept = "kept by a time server" if found.reading.witnesses else "no time server is seen to keep it"
    return State.OK, f"{now:%Y-%m-%d %H:%M:%SZ}, not behind anything recorded; {kept}", ""


def stores(appliance: Appliance, *, reads_objects: bool) -> Iterator[Finding]:
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


def last_scrub(appliance: Appliance) -> Seen:
    """When every sealed byte was read last, and by when it will be again."""
    with appliance.database.read() as connection:
        found = scrub.state(connection)
    if found is None:
        return State.OK, "no round has begun: serve begins it", ""
    by = found.next_by(check_wiring.scrub_period(appliance))
    last = f"last full round finished on {found.finished_at:%Y-%m-%d}" if found.finished_at else "no full round yet"
    told = f"{last}, next by {by:%Y-%m-%d}"
    if bad := found.bad + found.finished_bad:
        return State.FAIL, f"{told}; {bad} sealed objects were found damaged", "run: sudo strongroom check --repair"
    if appliance.clock.now() > by:
        return State.FAIL, f"{told}, which is past", mending_words.worker_log(appliance.data)
    return State.OK, told, ""


def checkpoints(appliance: Appliance) -> Seen:
    """Entries that no signed checkpoint covers could be cut off with the whole directory put back."""
    newest = audit_trail.newest_checkpoint(appliance.data.checkpoints)
    with appliance.database.read() as connection:
        count, since = audit_trail.entries_after(connection, newest.size if newest else 0)
    told = f"the newest is of {newest.at:%Y-%m-%d %H:%M:%SZ}" if newest else "none was written yet"
    if since is not None and appliance.clock.now() - since > LATE_CHECKPOINT:
        return (
            State.WARN,
            f"{told}; {count} entries wait for one since {since:%Y-%m-%d %H:%MZ}",
            mending_words.worker_log(appliance.data),
        )
    return State.OK, told, ""


def disposal_certificates(appliance: Appliance) -> Seen:
    """Every certificate that was issued, as it lies on the disk, against the row and against our key."""
    issued, problems = archive_wiring.certificates(appliance).problems_in(appliance.data.certificates)
    if problems:
        fix = "run: strongroom disposal run ID of that disposal again; it writes the same certificate anew"
        return State.FAIL, problems[0], fix
    return State.OK, f"{issued} issued, all as they were signed", ""


def age_of_rows(appliance: Appliance) -> Seen:
    """Rows from an older backup do not know the mail that came since; its keys and objects are still here."""
    if store_wiring.high_water_mark(appliance).keep():
        return State.OK, "the rows hold all that the keystore saw of them", ""
    return (
        State.FAIL,
        "the row database was put back to an older state than the keystore saw: mail that came since has no rows",
        (
            "restore the newest backup of the rows (docs/operations/restore.md); if there is none: sudo strongroom"
            " database accept --as EMAIL. Until then no key and no object without a row is cleared away"
        ),
    )


def _fix(finding: consistency_problem.Finding) -> str:
    return finding.meaning.person or "run: sudo strongroom check --repair"


def _tables_of(found: Sequence[consistency_problem.Finding]) -> str:
    """Which tables the rows belong to that are not listed one by one."""
    rows = (_ROW_OF_TABLE.match(finding.problem) for finding in found)
    tables = sorted({row[1] for row in rows if row})
    return f", of the tables {', '.join(tables)}" if tables else " of this kind"
