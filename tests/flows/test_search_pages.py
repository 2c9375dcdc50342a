"""The search page in a real browser: narrowed, ordered, previewed by keyboard, saved, exported; also without script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import Error as PlaywrightError

from mailstore.actor import SYSTEM
from tests.browser_room import DESK, barriers, chromium, scrolls_sideways, served, sign_in, window
from tests.records_life import RecordsLife, records_life

pytestmark = pytest.mark.browser
SMALL_PHONE = 375


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordsLife]:
    with records_life(tmp_path_factory.mktemp("search") / "vault") as lived:
        yield lived


@pytest.fixture(scope="module")
def origin(life: RecordsLife) -> Iterator[str]:
    with served(life.room) as address:
        yield address


@contextmanager
def at_work(
    life: RecordsLife, browser: Browser, origin: str, *, width: int = DESK, script: bool = True
) -> Iterator[Page]:
    with window(browser, origin, width=width, script=script) as page:
        sign_in(page, life.room, life.officer)
        yield page


def titles(page: Page) -> list[str]:
    return page.locator(".results .about").all_inner_texts()


def go_back(page: Page) -> None:
    """The back button. The page may ask for itself once more then, which is not waited for."""
    with suppress(PlaywrightError):
        page.go_back(wait_until="commit")


@pytest.mark.parametrize(("width", "script"), [(SMALL_PHONE, False), (DESK, True)], ids=["phone, no script", "desk"])
def test_results_are_narrowed_ordered_and_gone_back_from(
    life: RecordsLife, browser: Browser, origin: str, *, width: int, script: bool
) -> None:
    with at_work(life, browser, origin, width=width, script=script) as page:
        page.get_by_label("Search the archive").fill("knee OR newsletter")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("6 messages match")).to_be_visible()
        page.get_by_role("link", name="passing 4").click()
        expect(page.get_by_text("4 messages match")).to_be_visible()
        page.get_by_role("link", name="most relevant first").click()
        assert titles(page)[0] == "Newsletter of the river walk"
        shared = page.url
        page.get_by_role("link", name="Newsletter 2 of the gym").click()
        expect(page.get_by_role("heading", name="Newsletter 2 of the gym")).to_be_visible()
        page.get_by_role("link", name="Next result").click()
        expect(page.get_by_role("heading", name="Newsletter 1 of the gym")).to_be_visible()
        go_back(page)
        expect(page.get_by_role("heading", name="Newsletter 2 of the gym")).to_be_visible()
        go_back(page)
        expect(page.get_by_text("4 messages match")).to_be_visible()
        assert page.url == shared
        page.get_by_role("link", name="Category: passing").click()
        expect(page.get_by_text("6 messages match")).to_be_visible()
        assert "order=relevance" in page.url
    with at_work(life, browser, origin, width=width, script=script) as page:
        page.goto(shared)
        expect(page.get_by_text("4 messages match")).to_be_visible()
        assert titles(page)[0] == "Newsletter of the river walk"


def opened_by(life: RecordsLife) -> int:
    return len([each for each in life.room.events(50) if each == "archive.message_opened"])


def test_results_are_walked_through_and_opened_by_keyboard(life: RecordsLife, browser: Browser, origin: str) -> None:
    with at_work(life, browser, origin) as page:
        page.goto("/archive?q=newsletter")
        before = opened_by(life)
        page.locator(".results a").first.focus()
        for key in ("j", "ArrowDown", "j", "k"):
            page.keyboard.press(key)
        assert "Newsletter 2" in page.evaluate("document.activeElement.textContent")
        assert opened_by(life) == before
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Newsletter 2 of the gym")).to_be_focused()
        assert opened_by(life) == before + 1
        page.keyboard.press("j")
        expect(page.get_by_role("heading", name="Newsletter 1 of the gym")).to_be_focused()
        assert opened_by(life) == before + 2
        expect(page.locator(".aside [aria-current=page]")).to_contain_text("Newsletter 1 of the gym")
        page.keyboard.press("k")
        expect(page.get_by_role("heading", name="Newsletter 2 of the gym")).to_be_focused()
        assert re.search(r"/archive/[a-z2-7]{26}\?q=newsletter$", page.url)
        page.get_by_label("Search the archive").focus()
        page.keyboard.type("jk")
        assert page.get_by_label("Search the archive").input_value() == "jknewsletter"


def test_the_next_result_opens_in_place_however_soon_its_key_is_pressed(
    life: RecordsLife, browser: Browser, origin: str
) -> None:
    with at_work(life, browser, origin) as page:
        page.goto("/archive?q=newsletter")
        page.evaluate("window.isTheSamePage = true; htmx.config.defaultSettleDelay = 1500")
        page.get_by_role("link", name="Newsletter 2 of the gym").press("Enter")
        expect(page.get_by_role("heading", name="Newsletter 2 of the gym")).to_be_focused()
        for key, name in (("j", "Newsletter 1 of the gym"), ("k", "Newsletter 2 of the gym")):
            page.keyboard.press(key)
            expect(page.get_by_role("heading", name=name)).to_be_focused()
        assert page.evaluate("window.isTheSamePage") is True


def test_list_of_results_is_taken_away_as_a_file(
    life: RecordsLife, browser: Browser, origin: str, *, tmp_path: Path
) -> None:
    with at_work(life, browser, origin) as page:
        page.goto("/archive?q=newsletter&order=relevance")
        with page.expect_download() as downloading:
            page.get_by_role("link", name="Export as CSV").click()
        saved = tmp_path / downloading.value.suggested_filename
        downloading.value.save_as(saved)
    assert saved.suffix == ".csv"
    assert saved.read_bytes().count(b"\r\n") == 5
    assert life.room.events(1) == ["archive.results_exported"]


def test_search_is_saved_looked_for_daily_opened_and_removed(life: RecordsLife, browser: Browser, origin: str) -> None:
    saved = life.room.archive.room.saved
    with at_work(life, browser, origin, width=SMALL_PHONE, script=False) as page:
        page.goto("/archive?q=surgery")
        page.get_by_text("Save this search").click()
        page.get_by_label("Name").fill("Surgeries")
        page.get_by_label("Look for new messages every day").check()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Surgeries")).to_be_visible()
        life.room.clock.advance(timedelta(minutes=5))
        life.receive("Surgery of the right ankle")
        life.room.clock.advance(timedelta(minutes=5))
        saved.run_due(lambda owner: life.officer.actor if owner == life.officer.account.id else SYSTEM, lambda *_: None)
        page.goto("/archive/saved")
        expect(page.get_by_role("heading", name="Surgeries 1 new")).to_be_visible()
        assert not scrolls_sideways(page)
        page.get_by_role("button", name="Open Surgeries").click()
        expect(page.get_by_text("2 messages match")).to_be_visible()
        assert page.locator(".results li").filter(has_text="New").all_inner_texts()[0].count("right ankle") == 1
        page.goto("/archive/saved")
        page.get_by_text("Change or remove").click()
        page.get_by_label("Name").fill("All surgeries")
        page.get_by_role("button", name="Keep these changes").click()
        expect(page.get_by_role("heading", name="All surgeries")).to_be_visible()
        page.get_by_text("Change or remove").click()
        page.get_by_role("button", name="Remove this search").click()
        expect(page.get_by_role("heading", name="Nothing is saved yet")).to_be_visible()


def test_what_cannot_be_found_is_listed_with_its_reason(life: RecordsLife, browser: Browser, origin: str) -> None:
    with at_work(life, browser, origin, width=SMALL_PHONE) as page:
        page.goto("/archive?q=knee")
        page.get_by_role("link", name="Which ones, and why").click()
        expect(page.get_by_text("one part is damaged, or not what it says it is")).to_be_visible()
        assert barriers(page) == []
        page.get_by_role("link", name="Scan").click()
        expect(page.get_by_role("heading", name="Scan")).to_be_visible()
