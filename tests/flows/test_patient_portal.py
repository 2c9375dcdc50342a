"""A patient in a real browser: enrolling, reading, answering; with script and without, on a phone and at a desk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mailstore.mailboxes import Folder
from mailstore.message_composition import ComposedAttachment
from tests.browser_room import (
    DESK,
    ONE_CODE,
    PHONE,
    barriers,
    chromium,
    scrolls_sideways,
    scrolls_sideways_in_large_text,
    served,
    sign_in,
    window,
)
from tests.portal_room import HTML_TEXT, NURSE, OTHER_PATIENT_EMAIL, PortalRoom, Somebody, portal_room

pytestmark = pytest.mark.browser

LONG_NAME = ComposedAttachment("report_of_the_laboratory_" * 4 + ".txt", "text/plain", b"well")
RESULTS = ComposedAttachment("results.txt", "text/plain", b"all values in range\n" * 800)
PAGE_BYTES = 100_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@pytest.fixture
def ruiz(room: PortalRoom) -> Somebody:
    return room.staff()


@pytest.fixture
def origin(room: PortalRoom) -> Iterator[str]:
    with served(room) as address:
        yield address


def give_code(page: Page, somebody: Somebody) -> None:
    page.goto("/enrol")
    page.get_by_label("Your e-mail address").fill(somebody.email)
    page.get_by_label("Code", exact=True).fill(somebody.enrolment_code)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("New password", exact=True).fill(somebody.password)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Add a second lock")).to_be_visible()


def answer_with_a_file(page: Page, path: Path) -> None:
    page.get_by_label("Message", exact=True).fill("Thank you, I have a question.")
    page.get_by_label("Add files").set_input_files(path)
    page.get_by_role("button", name="Send answer").click()


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_from_the_code_to_an_answer_that_somebody_read(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str, *, tmp_path: Path, width: int, script: bool
) -> None:
    invited = room.invited()
    letter = room.letter(ruiz, invited, attachments=(RESULTS,))
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\xff" + bytes(2_000))
    with window(browser, origin, width=width, script=script) as page:
        give_code(page, invited)
        if script:
            page.get_by_text("I cannot scan the picture").click()
        secret = str(page.locator("details strong").text_content()).replace(" ", "")
        page.get_by_label("Six digits from the app").fill(room.code(secret))
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_text("One conversation has something new.")).to_be_visible()
        page.get_by_role("link", name=re.compile("Your results")).click()
        expect(page.get_by_text("All is well.")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("results.txt")).click()
        assert Path(download.value.path()).read_bytes() == RESULTS.content
        answer_with_a_file(page, photo)
        expect(page.get_by_text("Your answer was sent")).to_be_visible()
        expect(page.get_by_text("Nobody at the practice has opened it yet")).to_be_visible()
        (received,) = room.portal.conversations.folder(ruiz.actor, Folder.INBOX).items
        opened = room.portal.reading.open_message(ruiz.actor, received.stored.id)
        assert opened.parsed.attachments[0].content == photo.read_bytes()
        page.reload()
        expect(page.get_by_text("Opened at the practice by:")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text=re.compile("Dr. Elena Ruiz, "))).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        page.go_back()
        expect(page.get_by_text("All is well.")).to_have_count(0)
    assert room.portal.reading.readers_of(ruiz.actor, letter)[0].name == "Pat Doe"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_page_has_a_barrier_or_scrolls_sideways(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str, width: int
) -> None:
    pat, invited = room.patient(), room.invited(OTHER_PATIENT_EMAIL, "Olga Smith")
    room.letter(ruiz, pat, attachments=(RESULTS,), subject="A subject of one very-long-word" + "o" * 80)
    room.letter(ruiz, pat, text="", html_text=HTML_TEXT, subject="Next appointment")
    found: dict[str, list[str]] = {}

    def look(page: Page, name: str) -> None:
        page.wait_for_load_state()
        found[name] = barriers(page, in_the_dark=width == PHONE) + (
            ["scrolls sideways"] if scrolls_sideways(page) else []
        )

    with window(browser, origin, width=width) as page:
        page.goto("/sign-in")
        look(page, "sign in")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".error-summary")).to_be_focused()
        look(page, "sign in, wrong")
        page.goto("/enrol")
        look(page, "enrol 1")
        give_code(page, invited)
        look(page, "enrol 3")
        page.get_by_role("button", name="Stop and start again later").click()
        page.get_by_label("E-mail address").fill(pat.email)
        page.get_by_label("Password", exact=True).fill(pat.password)
        page.get_by_role("button", name="Continue").click()
        look(page, "code")
        sign_in_again(page, room, pat)
        look(page, "conversations")
        page.locator("a.item").first.click()
        look(page, "conversation with a frame")
        page.goto("/conversations")
        page.locator("a.item").last.click()
        look(page, "conversation with a file")
        page.get_by_role("button", name="Send answer").click()
        look(page, "answer, empty")
        page.goto("/write")
        look(page, "write")
        page.get_by_role("button", name="Send message").click()
        look(page, "write, empty")
        page.goto("/account")
        look(page, "account")
        page.goto("/nothing-here")
        look(page, "not found")
        page.goto("/conversations")
        page.get_by_role("button", name="Sign out").click()
        look(page, "signed out")
    assert {name: problems for name, problems in found.items() if problems} == {}


def sign_in_again(page: Page, room: PortalRoom, somebody: Somebody) -> None:
    page.get_by_label("One-time code").fill(room.code(somebody.totp_secret))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your messages")).to_be_visible()
    room.clock.advance(ONE_CODE)


def test_a_page_without_letters_says_so(room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str) -> None:
    del ruiz
    pat = room.patient()
    with window(browser, origin, width=PHONE) as page:
        sign_in(page, room, pat)
        expect(page.get_by_role("heading", name="No messages yet")).to_be_visible()
        assert barriers(page) == []


def test_text_at_twice_its_size_still_fits(room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str) -> None:
    del ruiz
    pat, doctor = room.patient(), room.staff(NURSE, name="Dr. Wolfeschlegelsteinhausenbergerdorff")
    letter = room.letter(doctor, pat, attachments=(LONG_NAME,))
    with window(browser, origin, width=PHONE) as page:
        page.goto("/enrol")
        assert not scrolls_sideways_in_large_text(page)
        sign_in(page, room, pat)
        page.goto(f"/m/{letter}")
        expect(page.get_by_role("heading", name=doctor.account.person.name)).to_be_visible()
        assert not scrolls_sideways_in_large_text(page)
        for path in ("/conversations", f"/conversations/{letter}", "/write", "/account"):
            page.goto(path)
            assert not scrolls_sideways_in_large_text(page), path


def test_every_target_is_large_enough(room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str) -> None:
    pat = room.patient()
    room.letter(ruiz, pat, attachments=(RESULTS,))
    small = """() => [...document.querySelectorAll("button, .button, .menu a, .item, .files a, input, summary")]
      .filter((each) => each.checkVisibility() && !each.matches("[type=radio], [type=checkbox], [type=hidden]"))
      .filter((each) => each.getBoundingClientRect().height < 43.5).map((each) => each.outerHTML.slice(0, 80))"""
    with window(browser, origin, width=PHONE) as page:
        page.goto("/sign-in")
        assert page.evaluate(small) == []
        sign_in(page, room, pat)
        for path in ("/conversations", "/write", "/account"):
            page.goto(path)
            assert page.evaluate(small) == [], path


def test_a_double_click_sends_once(room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str) -> None:
    pat = room.patient()
    with window(browser, origin) as page:
        sign_in(page, room, pat)
        page.goto("/write")
        page.get_by_label("What is it about?").fill("Tablets")
        page.get_by_label("Message", exact=True).fill("How many a day?")
        page.get_by_role("button", name="Send message").dblclick()
        expect(page.get_by_text("Your message was sent")).to_be_visible()
    assert room.portal.conversations.folder(ruiz.actor, Folder.INBOX).total == 1


def test_a_mistake_keeps_what_was_typed(room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str) -> None:
    del ruiz
    pat = room.patient()
    with window(browser, origin, script=False) as page:
        sign_in(page, room, pat)
        page.goto("/write")
        page.get_by_label("Message", exact=True).fill("A long story\nin two lines")
        page.get_by_role("button", name="Send message").click()
        page.get_by_role("link", name="Write what the message is about").click()
        expect(page.get_by_label("What is it about?")).to_be_focused()
        expect(page.get_by_label("Message", exact=True)).to_have_value("A long story\nin two lines")


def test_a_draft_is_kept_as_one_types_and_comes_back_after_signing_out(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str
) -> None:
    del ruiz
    pat = room.patient()
    with window(browser, origin) as page:
        sign_in(page, room, pat)
        page.goto("/write")
        page.get_by_label("Message", exact=True).fill("Half a sentence")
        expect(page.get_by_text("Draft kept.")).to_be_visible()
    with window(browser, origin) as page:
        sign_in(page, room, pat)
        page.goto("/write")
        expect(page.get_by_label("Message", exact=True)).to_have_value("Half a sentence")
        expect(page.get_by_text("Your unsent draft is back.")).to_be_visible()
        with room.database.write() as connection:
            room.portal.desk.sessions.end_all(connection, pat.account.id)
        page.get_by_label("Message", exact=True).fill("Half a sentence more")
        expect(page.get_by_text("The draft could not be kept just now.")).to_be_visible()


def test_hostile_html_stays_in_its_frame_and_fetches_nothing(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str
) -> None:
    pat = room.patient()
    evil = (
        "<p>Dear Pat</p><script>parent.document.title='owned'</script><img src=x onerror=\"top.location='/account'\">"
        "<img src='https://tracker.example/p.gif'><div hx-get='/account' hx-trigger='load'>x</div>"
        "<form action='/account/sign-out-everywhere' method=post><button>Click me</button></form>"
    )
    letter = room.letter(ruiz, pat, text="", html_text=evil)
    asked: list[str] = []
    with window(browser, origin) as page:
        page.on("request", lambda request: asked.append(request.url))
        sign_in(page, room, pat)
        page.goto(f"/m/{letter}")
        frame = page.frame_locator("iframe")
        expect(frame.get_by_text("Dear Pat")).to_be_visible()
        expect(frame.get_by_role("button")).to_have_count(0)
        expect(page).to_have_title(re.compile("Your results"))
        assert page.evaluate("document.querySelector('iframe').contentDocument") is None
    assert [each for each in asked if not each.startswith(origin)] == []


def test_a_passkey_is_made_while_enrolling_and_signs_in_alone(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str
) -> None:
    invited = room.invited()
    room.letter(ruiz, invited)
    with window(browser, origin) as page:
        with_authenticator(page)
        give_code(page, invited)
        page.get_by_role("button", name="Create a passkey").click()
        expect(page.get_by_role("heading", name="Your messages")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.goto("/sign-in")
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page.get_by_role("heading", name="Your messages")).to_be_visible()
        page.goto("/account")
        expect(page.get_by_text("Passkey: My device")).to_be_visible()
    assert "sign_in" in room.events()


def test_a_passkey_of_a_device_that_did_not_check_the_person_is_refused(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str
) -> None:
    del ruiz
    invited = room.invited()
    with window(browser, origin) as page:
        with_authenticator(page, verifies=False)
        give_code(page, invited)
        page.get_by_role("button", name="Create a passkey").click()
        expect(page.get_by_text("The passkey was not used")).to_be_visible()
        page.goto("/conversations")
        expect(page.get_by_role("heading", name="Add a second lock")).to_be_visible()


def with_authenticator(page: Page, *, verifies: bool = True) -> None:
    """A virtual device that holds passkeys, as Chromium offers for tests."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verifies,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_the_keyboard_alone_signs_in(room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str) -> None:
    del ruiz
    pat = room.patient()
    with window(browser, origin) as page:
        page.goto("/sign-in")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.get_by_label("E-mail address").focus()
        page.keyboard.type(pat.email)
        page.keyboard.press("Tab")
        page.keyboard.type(pat.password)
        page.keyboard.press("Enter")
        page.get_by_label("One-time code").focus()
        page.keyboard.type(room.code(pat.totp_secret))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Your messages")).to_be_visible()


def test_a_page_weighs_at_most_a_hundred_kilobytes(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str
) -> None:
    pat = room.patient()
    room.letter(ruiz, pat)
    weights: list[int] = []
    with window(browser, origin) as page:
        sign_in(page, room, pat)
        page.on("response", lambda response: weights.append(len(response.body())))
        page.goto("/conversations")
        page.wait_for_load_state("networkidle")
    assert 0 < sum(weights) <= PAGE_BYTES


def test_the_end_of_the_session_is_said_and_put_off_in_place(
    room: PortalRoom, ruiz: Somebody, browser: Browser, origin: str
) -> None:
    del ruiz
    pat = room.patient()
    with window(browser, origin) as page:
        sign_in(page, room, pat)
        page.goto("/write")
        page.get_by_label("Message", exact=True).fill("Still writing")
        page.evaluate(
            "() => { const t = document.querySelector('[data-session-ends]');"
            " const s = Date.now; const start = s(); Date.now = () => s() + 29 * 60000; }"
        )
        expect(page.get_by_role("button", name="Stay signed in")).to_be_visible()
        expect(page.get_by_label("Message", exact=True)).to_have_value("Still writing")
