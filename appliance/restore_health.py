"""What the doctor says about a restore: how much sealed mail is still to come while the appliance works already."""

from __future__ import annotations

from collections.abc import Iterator

from appliance import restore_rest
from appliance.health_finding import Finding, State
from appliance.long_work import size_words
from appliance.wiring import Appliance


def reports(appliance: Appliance) -> Iterator[Finding]:
    """One finding."""
    left = restore_rest.to_come(appliance.data)
    if left is None:
        yield Finding("restore", State.OK, "all mail that was restored is here")
        return
    told = f"{left.objects:,} objects ({size_words(left.bytes)}) of the mail that was restored are still to come"
    yield Finding("restore", State.WARN, told, "wait; if the number stays, run the same strongroom restore again")
