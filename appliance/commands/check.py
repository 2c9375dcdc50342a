"""``strongroom check``: rows, keys, bytes, index and log held against each other, and mended where that is safe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from appliance import check_wiring, command_access, given_file, process_file, restore_check, restore_rest
from appliance.command_call import Call, Outcome, table
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from archive import archive_check
from mailstore import consistency_check
from mailstore.consistency_check import Depth
from mailstore.consistency_problem import Finding
from mailstore.errors import RefusedError, StrongroomError

TELL_EVERY_SECONDS = 2.0
MESSAGES = "messages"
NAMED = 100
"""How many objects that are still to come are named."""


def run(call: Call) -> Outcome:
    """Look at everything; with ``--repair`` mend what can be mended. Exit 1 while a problem is left."""
    telling = _Telling()
    depth = Depth(
        check_wiring.ACCEPTED_EVENTS,
        reads_objects=not call.arguments.quick,
        kept_elsewhere=_kept_elsewhere(call.arguments.checkpoint),
        settle_seconds=restore_check.PROMOTION_SECONDS if process_file.holder(call.data) else 0.0,
    )
    repairs = call.arguments.repair
    with command_access.opened(call) as appliance, _alone(call.data, is_wanted=repairs) as is_alone:
        found = _found(appliance, depth, telling)
        told = list(_mended(appliance, found, is_alone=is_alone)) if repairs else [(each, False) for each in found]
    return _with_what_is_to_come(call.data, _outcome(told, checked=telling.count(MESSAGES)))


def _with_what_is_to_come(data: DataDirectory, outcome: Outcome) -> Outcome:
    """Mail that a restore still brings back is not lost, and not here either: it is named."""
    left = restore_rest.to_come(data)
    names = restore_rest.names_to_come(data, most=NAMED)
    fields = {**outcome.fields, "to_come": left.objects if left else 0, "to_come_first": names}
    if left is None:
        return replace(outcome, fields=fields)
    told = f"{left.objects:,} objects of restored mail are still to come and were not looked at; the next of them:"
    return replace(outcome, fields=fields, text="\n".join([outcome.text, "", told, *(f"  {name}" for name in names)]))


def _found(appliance: Appliance, depth: Depth, telling: _Telling) -> list[Finding]:
    stores, archive = check_wiring.stores(appliance), check_wiring.archive_stores(appliance)
    found = list(consistency_check.check(stores, depth, now=appliance.clock.now(), progress=telling.told))
    found += archive_check.check(archive, opens_messages=depth.reads_objects, progress=telling.told)
    return found


def _mended(appliance: Appliance, found: list[Finding], *, is_alone: bool) -> Iterator[tuple[Finding, bool]]:
    """Each finding, and whether it is mended; one that resists is left, with a line on stderr that says why."""
    mends = check_wiring.repairs(appliance, is_alone=is_alone)
    for finding in found:
        yield finding, any(_is_mended(mend, finding) for mend in mends)


def _is_mended(mend: Callable[[Finding], bool], finding: Finding) -> bool:
    try:
        return mend(finding)
    except StrongroomError as error:
        sys.stderr.write(f"{finding.kind} {finding.object}: {error.message}\n")
        return False


@contextmanager
def _alone(data: DataDirectory, *, is_wanted: bool) -> Iterator[bool]:
    """True, and no ``serve`` can begin meanwhile, when that is wanted and none runs now."""
    with ExitStack() as held:
        try:
            is_alone = is_wanted
            if is_wanted:
                held.enter_context(process_file.held(data))
        except RefusedError:
            is_alone = False
        yield is_alone


def _kept_elsewhere(path: str | None) -> tuple[str, ...]:
    """The checkpoints in a file that a person kept, one a line."""
    if path is None:
        return ()
    lines = tuple(line for line in given_file.document_in(path).splitlines() if line.strip())
    if not lines:
        raise RefusedError(f"{path} holds no checkpoint", fix="name a copy of audit/checkpoints.jsonl, or of its lines")
    return lines


class _Telling:
    """Says on stderr how far a long look is, and remembers how much was looked at."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._next = time.monotonic() + TELL_EVERY_SECONDS

    def told(self, what: str, count: int) -> None:
        self._counts[what] = count
        if time.monotonic() > self._next:
            self._next = time.monotonic() + TELL_EVERY_SECONDS
            sys.stderr.write(f"{what}: {count:,} looked at\n")
            sys.stderr.flush()

    def count(self, what: str) -> int:
        return self._counts.get(what, 0)


def _outcome(told: list[tuple[Finding, bool]], *, checked: int) -> Outcome:
    problems = [
        {
            "kind": each.kind.value,
            "object": each.object,
            "repaired": is_repaired,
            "message": each.message or None,
            "problem": each.problem,
            "fix": "" if is_repaired else _fix(each),
        }
        for each, is_repaired in told
    ]
    left = [each for each, is_repaired in told if not is_repaired]
    rows = [{**problem, "state": "repaired" if problem["repaired"] else "left"} for problem in problems]
    text = table(rows, ("state", "kind", "object", "problem"), empty="All is as it was written.")
    fixes = sorted({f"  {each.kind}: {_fix(each)}" for each in left})
    ends = [f"{checked:,} messages checked.", text, *(["", "To mend:", *fixes] if fixes else [])]
    return Outcome({"checked": checked, "problems": problems}, "\n".join(ends), exit_code=1 if left else 0)


def _fix(finding: Finding) -> str:
    return finding.meaning.person or "run: strongroom check --repair"
