"""A machine that was rebooted without a secret, from the first mail to the last: sealed, unsealed, sealed again.

Real processes and sockets; unsealed once by command and once by a person at a browser.
"""

from __future__ import annotations

import smtplib
import threading
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from tests import browser_room
from tests.sealed_practice import ADMIN, ALICE, PASSPHRASE, SealedPractice


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedPractice]:
    made = SealedPractice(tmp_path_factory.mktemp("sealed-start"))
    process = made.running.start()
    try:
        assert made.running.ready_line(process)["sealed"] is True
        yield made
    finally:
        made.running.stop(process)


PACE_SECONDS = 0.05
"""Some twenty messages a second: the machine has other work too."""


class Sender(threading.Thread):
    """Another server: one message after the other, each again until it is answered 250."""

    def __init__(self, practice: SealedPractice, name: str) -> None:
        super().__init__(daemon=True)
        self._practice, self._name = practice, name
        self._ends = threading.Event()
        self.taken: list[str] = []
        self.tries: dict[str, int] = {}

    def run(self) -> None:
        number = 0
        while not self._ends.is_set():
            subject = f"{self._name}-{number}"
            self.tries[subject] = self.tries.get(subject, 0) + 1
            try:
                self._practice.deliver(subject)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)
                continue
            self.taken.append(subject)
            number += 1
            time.sleep(PACE_SECONDS)

    def end(self) -> None:
        self._ends.set()
        self.join(30)


def held_once(subjects: list[str], sender: Sender, *, while_sealed: list[str]) -> None:
    """Nothing lost, nothing doubled that was sent once, and what came while sealed in the order in which it came."""
    ours = [each for each in subjects if each in sender.tries]
    assert set(sender.taken) <= set(ours)
    assert all(ours.count(each) <= tries for each, tries in sender.tries.items())
    assert [each for each in dict.fromkeys(ours) if each in while_sealed] == while_sealed


@pytest.mark.timeout(600)
def test_story(practice: SealedPractice) -> None:
    for number in range(3):
        practice.deliver(f"before-{number}")
    told = practice.unseal()
    assert (told["was_sealed"], told["sealed"], told["taken_in"], told["is_drained"]) == (True, False, 3, True)
    practice.until_open()
    assert practice.subjects() == ["before-0", "before-1", "before-2"]
    sender = Sender(practice, "load")
    sender.start()
    practice.running.until(lambda: len(sender.taken) >= 3, seconds=60)
    assert practice.running.told("seal") == {"sealed": True, "was_open": True}
    seen = len(sender.taken)
    practice.running.until(lambda: len(sender.taken) >= seen + 3, seconds=60)
    practice.running.until(practice.is_sealed, seconds=60)
    assert practice.running.run("message", "list", ALICE, "--as", ALICE).json["error"]["code"] == "sealed"
    begun = len(sender.taken)
    while_sealed = unsealed_by_a_person(practice, sender)[begun:]
    practice.until_open()
    sender.end()
    practice.until_drained()
    held_once(practice.subjects(), sender, while_sealed=while_sealed)
    told_of_the_wrong_try(practice)


def unsealed_by_a_person(practice: SealedPractice, sender: Sender) -> list[str]:
    """In a real browser, once with scripts to look for barriers and once without to do it. What was taken before."""
    origin = f"https://localhost:{practice.running.base + 443}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_room.CHROMIUM, args=["--no-sandbox"])
        with_script = browser.new_context(base_url=origin, ignore_https_errors=True, reduced_motion="reduce")
        page = with_script.new_page()
        for path in ("/", "/unseal"):
            for width in (browser_room.PHONE, browser_room.DESK):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(path)
                assert not browser_room.scrolls_sideways(page)
                assert browser_room.barriers(page) == []
        without = browser.new_context(base_url=origin, ignore_https_errors=True, java_script_enabled=False)
        page = without.new_page()
        page.goto("/unseal")
        page.get_by_label("Passphrase").fill("four loud herons wade")
        page.get_by_role("button", name="Unseal").click()
        page.get_by_text("This opens nothing.").wait_for()
        taken = list(sender.taken)
        page.get_by_label("Passphrase").fill(PASSPHRASE)
        page.get_by_role("button", name="Unseal").click()
        page.get_by_role("heading", name="Unsealed").wait_for()
        practice.until_open()
        page.get_by_role("link", name="Look again").click()
        page.get_by_role("heading", name="Unsealed").wait_for()
        browser.close()
        return taken


def told_of_the_wrong_try(practice: SealedPractice) -> None:
    """In the audit log, and in the administrator's mailbox."""
    practice.running.until(lambda: not (practice.data / "run" / "unseal-tries.json").exists(), seconds=90)
    details = practice.audited()
    assert details["appliance.unseal_refused"]["tries"] == 1
    assert details["appliance.unseal_refused"]["by"] == "page"
    assert {"appliance.sealed", "appliance.unsealed"} <= details.keys()
    assert "Wrong secrets were tried at unsealing" in practice.subjects(ADMIN)
