"""The life of records in a real browser: found, held, proposed, approved by a second person, destroyed, certified."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from archive import verify_certificate
from archive.saved_search import AskedSearch
from tests.browser_room import (
    DESK,
    PHONE,
    barriers,
    chromium,
    scrolls_sideways,
    scrolls_sideways_in_large_text,
    served,
    sign_in,
    window,
)
from tests.portal_room import RUIZ, Somebody
from tests.records_life import RecordsLife, records_life

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def life(tmp_path: Path) -> Iterator[RecordsLife]:
    with records_life(tmp_path / "vault") as lived:
        yield lived


@pytest.fixture
def origin(life: RecordsLife) -> Iterator[str]:
    with served(life.room) as address:
        yield address


@contextmanager
def at_work(
    life: RecordsLife, browser: Browser, origin: str, who: Somebody, *, width: int = DESK, script: bool = True
) -> Iterator[Page]:
    with window(browser, origin, width=width, script=script) as page:
        sign_in(page, life.room, who)
        yield page


def give_code(page: Page, life: RecordsLife, who: Somebody) -> None:
    page.get_by_label("One-time code").fill(life.room.code(who.totp_secret))


@pytest.mark.parametrize(("width", "script"), [(PHONE, False), (DESK, True)], ids=["phone, no script", "desk"])
def test_from_a_search_to_a_certificate(
    life: RecordsLife, browser: Browser, origin: str, *, tmp_path: Path, width: int, script: bool
) -> None:
    with at_work(life, browser, origin, life.officer, width=width, script=script) as page:
        find_and_read(page)
        place_a_hold(page)
        disposal = propose(page)
    with at_work(life, browser, origin, life.approver, width=width, script=script) as page:
        approve(page, life, disposal)
    with at_work(life, browser, origin, life.officer, width=width, script=script) as page:
        run_and_certify(page, life, disposal, tmp_path)
    keystore = life.room.vault.keystore
    assert [keystore.has_key(message) for message in life.newsletters] == [False, False, False]
    assert keystore.has_key(life.river)


def find_and_read(page: Page) -> None:
    page.get_by_label("Search the archive").fill("knee -invoice")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("2 messages match")).to_be_visible()
    expect(page.locator("mark").first).to_have_text("knee")
    page.get_by_role("link", name="Newsletter of the river walk").click()
    expect(page.get_by_role("heading", name="Newsletter of the river walk")).to_be_visible()
    expect(page.get_by_text("Its period has ended and no hold covers it")).to_be_visible()
    expect(page.get_by_text("Practice policy 4.2")).to_be_visible()


def place_a_hold(page: Page) -> None:
    page.goto("/holds/new")
    page.get_by_label("Name of the matter").fill("Smith")
    page.get_by_role("button", name="See what it catches").click()
    expect(page.get_by_role("link", name="Say why these messages must be kept.")).to_be_visible()
    page.get_by_label("Why these messages must be kept").fill("A claim")
    page.get_by_label("Only messages that match").fill("river OR surgery")
    page.get_by_role("button", name="See what it catches").click()
    expect(page.get_by_role("heading", name="What this hold catches")).to_be_visible()
    assert page.locator(".tally p").all_inner_texts()[:2] == ["2\nsurely match", "1\nkept to be safe"]
    page.get_by_role("button", name="Place the hold").click()
    expect(page.get_by_role("heading", name="The hold is in force")).to_be_visible()
    expect(page.get_by_text("Kept to be safe", exact=True)).to_be_visible()


def propose(page: Page) -> str:
    page.goto("/disposals")
    page.get_by_role("button", name="Propose a disposal").click()
    expect(page.get_by_role("heading", name="Disposal of 3 messages")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    return page.url.split("?")[0]


def approve(page: Page, life: RecordsLife, disposal: str) -> None:
    page.goto(disposal)
    for number in (1, 2, 3):
        expect(page.get_by_role("link", name=f"Newsletter {number} of the gym")).to_be_visible()
    page.get_by_label("One-time code").fill("000000")
    page.get_by_role("button", name="Approve the disposal of 3 messages").click()
    expect(page.get_by_role("alert")).to_be_visible()
    give_code(page, life, life.approver)
    page.get_by_role("button", name="Approve the disposal of 3 messages").click()
    expect(page.get_by_role("heading", name="Approved", exact=True)).to_be_visible()


def run_and_certify(page: Page, life: RecordsLife, disposal: str, folder: Path) -> None:
    page.goto(disposal)
    give_code(page, life, life.officer)
    page.get_by_role("button", name="Destroy them now").click()
    expect(page.get_by_role("heading", name="Carried out")).to_be_visible()
    assert page.locator(".tally p").all_inner_texts() == ["3\ndestroyed", "0\nkept"]
    saved = {}
    for name, kind in (("Download JSON", "json"), ("Download PDF", "pdf"), ("Key to check it", "pem")):
        with page.expect_download() as downloading:
            page.get_by_role("link", name=name).click()
        saved[kind] = folder / f"certificate.{kind}"
        downloading.value.save_as(saved[kind])
    assert saved["pdf"].read_bytes().startswith(b"%PDF-")
    verifier: list[str | Path] = [
        sys.executable,
        "-I",
        Path(verify_certificate.__file__),
        saved["json"],
        "--public-key",
        saved["pem"],
    ]
    verdict = subprocess.run(verifier, capture_output=True, text=True, check=False)
    assert verdict.stdout.strip() == "valid"
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_role("heading", name="The certificate is valid")).to_be_visible()


def test_a_hold_ends_when_a_second_person_has_seen_what_would_be_due(
    life: RecordsLife, browser: Browser, origin: str
) -> None:
    holds = life.room.archive.desk.holds
    hold = holds.place(life.officer.actor, name="Smith", reason="A claim", query="river").id
    with at_work(life, browser, origin, life.officer) as page:
        page.goto(f"/holds/{hold}")
        page.get_by_text("Ask for the end of this hold").click()
        page.get_by_label("Why may the matter end?").fill("Settled")
        page.get_by_role("button", name="Ask for the end").click()
        expect(page.get_by_text("You asked for the end, so another person must approve it")).to_be_visible()
    with at_work(life, browser, origin, life.approver) as page:
        page.goto(f"/holds/{hold}")
        page.get_by_role("link", name="See what would be due").click()
        expect(page.get_by_role("link", name="Newsletter of the river walk")).to_be_visible()
        life.receive("Newsletter of the river bank", "by the river")
        give_code(page, life, life.approver)
        page.get_by_role("button", name="End this hold").click()
        expect(page.get_by_role("heading", name="The hold has ended")).to_be_visible()
    assert holds.show(life.officer.actor, hold).released_by == life.approver.account.id


def test_a_schedule_is_tried_out_proposed_and_put_in_force_by_another(
    life: RecordsLife, browser: Browser, origin: str
) -> None:
    with at_work(life, browser, origin, life.officer, script=False) as page:
        page.goto("/schedule/new")
        box = page.get_by_label("Schedule (TOML)")
        box.fill(box.input_value().replace('"10 years"', '"ten years"'))
        page.get_by_role("button", name="See what it would do").click()
        expect(page.get_by_role("alert")).to_contain_text("retain must be like")
        box.fill(box.input_value().replace('"ten years"', '"20 days"'))
        page.get_by_role("button", name="See what it would do").click()
        expect(page.get_by_text("1 message would be due at once that is not today")).to_be_visible()
        page.get_by_role("button", name="Propose it").click()
        expect(page.get_by_text("You proposed it, so another person must approve it")).to_be_visible()
        proposed = page.url.split("?")[0]
    with at_work(life, browser, origin, life.approver) as page:
        page.goto(proposed)
        expect(page.get_by_text("billing: 10 years, now 20 days")).to_be_visible()
        page.get_by_role("link", name="See what it would do to the archive").click()
        expect(page.get_by_role("row", name="billing 1 1 1")).to_be_visible()
        give_code(page, life, life.approver)
        page.get_by_role("button", name="Put it in force").click()
        expect(page.get_by_role("heading", name="In force now")).to_be_visible()


def every_page(life: RecordsLife) -> dict[Somebody, list[str]]:
    desk, officer = life.room.archive.desk, life.officer
    people, matter = [RUIZ, f"{'long.' * 8}name@{'hospital.' * 12}example"], "Matter of " + "Wo" * 25
    hold = desk.holds.place(officer.actor, name=matter, reason="A claim", custodians=people, query="river").id
    desk.holds.request_release(officer.actor, hold, reason="Settled")
    disposal = desk.disposals.propose(officer.actor).id
    version = desk.schedules.propose(officer.actor, desk.schedules.active().text.replace("10 years", "20 days"))
    life.room.archive.room.saved.add(officer.actor, "Knees", AskedSearch("knee"), is_daily=True)
    approvers = ["/archive?q=knee", f"/archive/{life.designed}", f"/holds/{hold}/release", f"/disposals/{disposal}"]
    return {
        officer: [
            "/archive",
            "/archive?q=knee+color:red",
            "/archive?q=knee&category=billing&order=relevance",
            "/archive/saved",
            "/archive/unread",
            f"/archive/{life.river}?q=knee",
            f"/archive/{life.scan}",
            "/holds",
            "/holds/new",
            f"/holds/{hold}",
            "/disposals",
            "/schedule",
            "/schedule/new",
            "/audit",
        ],
        life.approver: [*approvers, f"/schedule/{version}?simulate=yes"],
        life.administrator: ["/health"],
    }


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_page_is_open_to_everybody_at_every_width(
    life: RecordsLife, browser: Browser, origin: str, *, width: int
) -> None:
    found = []
    for who, paths in every_page(life).items():
        with at_work(life, browser, origin, who, width=width) as page:
            for path in paths:
                page.goto(path)
                found += [f"{path}: {each}" for each in barriers(page)]
                found += [f"{path} scrolls sideways"] if scrolls_sideways(page) else []
                found += [f"{path} scrolls sideways in large text"] if scrolls_sideways_in_large_text(page) else []
    assert found == []


def test_the_list_of_results_stands_beside_the_record_at_a_desk_and_alone_on_a_phone(
    life: RecordsLife, browser: Browser, origin: str
) -> None:
    for width, beside in ((DESK, True), (PHONE, False)):
        with at_work(life, browser, origin, life.officer, width=width) as page:
            page.goto(f"/archive/{life.river}?q=knee")
            expect(page.get_by_role("complementary", name="What the search found")).to_be_visible(visible=beside)
            frame_less = page.get_by_role("link", name="Back to what was found")
            expect(frame_less).to_be_visible(visible=not beside)
