"""What becomes of a message by what the scanners said of it."""

from __future__ import annotations

import itertools

import pytest

from appliance.scan_verdict import Junk, PutOff, ScanPolicy, Virus, WhenDown, decided, of_action
from mailstore.message import Scan
from portal.front_door import Refused

CAREFUL = ScanPolicy(WhenDown.DEFER, WhenDown.DEFER)
EASY = ScanPolicy(WhenDown.ACCEPT, WhenDown.ACCEPT, rejects_junk=False)


@pytest.mark.parametrize(("junk", "policy"), itertools.product(Junk, (ScanPolicy(), CAREFUL, EASY)))
def test_virus_is_refused_whatever_else_was_said(junk: Junk, policy: ScanPolicy) -> None:
    found = decided(junk, Virus.FOUND, policy)
    assert isinstance(found, Refused)
    assert found.code == "virus"


def test_what_rspamd_would_reject_is_refused_or_filed_as_junk() -> None:
    refused = decided(Junk.REJECT, Virus.CLEAN, ScanPolicy())
    assert isinstance(refused, Refused)
    assert refused.code == "junk"
    assert decided(Junk.REJECT, Virus.CLEAN, EASY) is Scan.JUNK


def test_silent_scanners_let_in_or_put_off_as_the_settings_say() -> None:
    assert decided(Junk.SILENT, Virus.CLEAN, ScanPolicy()) is Scan.UNSCANNED
    assert decided(Junk.CLEAN, Virus.SILENT, ScanPolicy()) == PutOff()
    assert decided(Junk.SILENT, Virus.OFF, CAREFUL) == PutOff()
    assert decided(Junk.SILENT, Virus.SILENT, EASY) is Scan.UNSCANNED


def test_junk_is_not_let_in_because_the_other_scanner_is_silent() -> None:
    assert decided(Junk.MARK, Virus.SILENT, EASY) is Scan.JUNK
    assert decided(Junk.MARK, Virus.SILENT, ScanPolicy()) == PutOff()
    assert isinstance(decided(Junk.REJECT, Virus.SILENT, ScanPolicy()), Refused)


def test_every_answer_comes_to_something() -> None:
    for junk, virus, policy in itertools.product(Junk, Virus, (ScanPolicy(), CAREFUL, EASY)):
        assert isinstance(decided(junk, virus, policy), Scan | Refused | PutOff)
    assert decided(Junk.WAIT, Virus.CLEAN, EASY) == PutOff()
    assert decided(Junk.CLEAN, Virus.OFF, CAREFUL) is Scan.CLEAN


def test_greylisting_is_not_ours_and_unknown_words_are_no_answer() -> None:
    assert of_action("greylist") is Junk.CLEAN
    assert of_action("add header") is Junk.MARK
    for unknown in ("custom", "", None, 7, ["reject"]):
        assert of_action(unknown) is Junk.SILENT
