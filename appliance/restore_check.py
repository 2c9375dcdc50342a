"""Everything held against each other after a restore: at once, or by the worker when the restore put it off.

``restore --objects-later`` owes this look to whoever serves. It is made once all sealed mail is there, in the
background, begun anew when it was cut off, and what it found is remembered for the doctor.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final

from appliance import check_wiring
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from archive import archive_check
from mailstore import consistency_check, durable_file
from mailstore.consistency_check import Depth
from mailstore.consistency_problem import Finding, Kind
from mailstore.consistency_repair import Repair
from mailstore.errors import TamperedError
from mailstore.failpoint import reached

logger = logging.getLogger(__name__)

PROMOTION_SECONDS: Final = 10.0
"""Longer than a message takes from its object to its row."""

BREATH_SECONDS: Final = 0.02
"""A pause after each piece of the look: taking mail in comes first."""

_INDEX: Final = "index"

Tell = Callable[[str, int], None]


@dataclass(frozen=True)
class Look:
    """``at`` is empty while it is owed, RFC 3339 once it was made; ``problems`` that were found and not mended."""

    at: str = ""
    problems: int = 0


class _EndsError(Exception):
    """The process ends in the middle of the look."""


def problems(appliance: Appliance, tell: Tell, *, is_alone: bool) -> tuple[Finding, ...]:
    """What a look finds and cannot mend. The worker makes the index anew, and holds holds against all mail.

    Keys are not unwrapped one by one: they came out of sealed pieces, proved whole. A scrub does so later.
    """
    settle = 0.0 if is_alone else PROMOTION_SECONDS
    depth = Depth(check_wiring.ACCEPTED_EVENTS, reads_objects=False, settle_seconds=settle)
    stores = replace(check_wiring.stores(appliance), prove_key=lambda _message: None)
    archive = check_wiring.archive_stores(appliance)
    found = list(consistency_check.check(stores, depth, now=appliance.clock.now(), progress=tell))
    found += archive_check.check(archive, opens_messages=False, progress=tell)
    mend = Repair(stores, appliance.clock, is_alone=is_alone).mended
    left = tuple(each for each in found if not _is_the_workers(each) and not mend(each))
    if is_alone:
        reached("restore.after_check")
    return left


def owe(data: DataDirectory) -> None:
    """Put it down for the worker."""
    durable_file.replace(data.restore_check, _written(Look()))


def look(data: DataDirectory) -> Look | None:
    """What was owed and what became of it; None where no restore put it off."""
    try:
        told = json.loads(data.restore_check.read_bytes())
        return Look(str(told["at"]), int(told["problems"]))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        raise TamperedError(
            f"{data.restore_check.name} is not what was written", fix="remove it, and run a check"
        ) from None


def is_owed(data: DataDirectory) -> bool:
    """True until it was made to the end."""
    found = look(data)
    return found is not None and not found.at


def make(appliance: Appliance, *, should_stop: Callable[[], bool]) -> None:
    """Make the look that is owed, unhurriedly; nothing where none is. Each problem left is one line of the log."""
    if not is_owed(appliance.data):
        return

    def tell(_what: str, _count: int) -> None:
        if should_stop():
            raise _EndsError
        time.sleep(BREATH_SECONDS)

    try:
        left = problems(appliance, tell, is_alone=False)
    except _EndsError:
        return
    for each in left:
        logger.error("restored and not whole", extra={"kind": str(each.kind), "object": each.object})
    done = Look(appliance.clock.now().isoformat().replace("+00:00", "Z"), len(left))
    durable_file.replace(appliance.data.restore_check, _written(done))
    logger.info("restored mail was checked", extra={"problems": len(left)})


def _written(told: Look) -> bytes:
    return json.dumps(asdict(told)).encode() + b"\n"


def _is_the_workers(finding: Finding) -> bool:
    return finding.kind is Kind.HOLD_NOT_EVALUATED or finding.kind.value.startswith(_INDEX)
