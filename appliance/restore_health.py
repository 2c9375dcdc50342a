"""What the doctor says about a restore: how much sealed mail is still to come while the appliance works already."""

from __future__ import annotations

from collections.abc import Iterator

from appliance import restore_check, restore_rest
from appliance.health_finding import Finding, State
from appliance.long_work import size_words
from appliance.restore_check import Look
from appliance.restore_rest import ToCome
from appliance.wiring import Appliance


def reports(appliance: Appliance) -> Iterator[Finding]:
    """One finding, and a second where a restore put off its look at everything."""
    yield _of_mail(restore_rest.to_come(appliance.data))
    if (look := restore_check.look(appliance.data)) is not None:
        yield _of_look(look)


def _of_mail(left: ToCome | None) -> Finding:
    if left is None:
        return Finding("restore", State.OK, "all mail that was restored is here")
    told = f"{left.objects:,} objects ({size_words(left.bytes)}) of the mail that was restored are still to come"
    fix = (
        "wait; if the number stays, run the same strongroom restore again. sudo strongroom check names what is to come"
    )
    return Finding("restore", State.WARN, told, fix)


def _of_look(look: Look) -> Finding:
    if not look.at:
        told = "rows, keys, mail and log were not held against each other yet: that follows once all mail is here"
        return Finding("restore check", State.WARN, told, "wait, or look at once: sudo strongroom check")
    if look.problems:
        told = f"{look.problems:,} problems were left in what was restored, on {look.at[:10]}"
        return Finding("restore check", State.FAIL, told, "run: sudo strongroom check, which names each and what to do")
    return Finding("restore check", State.OK, f"what was restored was held against each other on {look.at[:10]}")
