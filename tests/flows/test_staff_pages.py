"""Staff in a real browser: enrolling, writing under the lamps, following what was sent, reading the answer.

The outside world is real: one receiving server that proves itself, one that offers no encryption.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from appliance import outbound_wiring
from appliance.directory import Directory
from appliance.route_preview import PreviewRules, ServerRoutePreview
from mailstore import message_records
from mailstore.actor import Role
from mailstore.addresses import Address
from mailstore.errors import NotFoundError
from mailstore.mailboxes import Folder
from mailstore.message_composition import ComposedAttachment
from portal.account_records import AccountState
from portal.front_door import Accepted
from portal.parts import open_portal
from portal.writing import Draft
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
from tests.flows.outbound_practice import OutboundPractice, able_to_sign, route
from tests.flows.receiving_server import CertificateAuthority, ReceivingServer, receiving
from tests.portal_room import HTML_TEXT, NURSE, PATIENT_PASSWORD, RUIZ, PortalRoom, Somebody, portal_room
from tests.vault_room import RING

pytestmark = pytest.mark.browser

COLLEAGUE = "sorensen@hospital.example"
STRANGER = "newton@home.example"
RESULTS = ComposedAttachment("results.txt", "text/plain", b"all values in range\n" * 800)


@dataclass
class Outside:
    """The outside world and the worker that reaches it."""

    practice: OutboundPractice
    hospital: ReceivingServer
    home: ReceivingServer

    def deliver(self) -> None:
        """Everything that is due goes out now; in a thread, for the browser's own loop runs in this one."""
        with ThreadPoolExecutor(max_workers=1) as threads:
            threads.submit(self.practice.step).result(timeout=120)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("outside"))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@pytest.fixture
def outside(room: PortalRoom, authority: CertificateAuthority) -> Iterator[Outside]:
    directory = Directory(room.database, lookup_key=RING.lookup_key, domains=["clinic.example"], fresh_seconds=0)
    able_to_sign(room.database)
    practice = OutboundPractice(room.directory, room.database, room.door, directory, room.parts.retrieval, room.clock)
    with receiving(authority.server("mx.hospital.example")) as hospital, receiving() as home:
        practice.routes += [
            route("hospital.example", hospital.port, authority.ca_file),
            route("home.example", home.port, authority.ca_file),
        ]
        preview = ServerRoutePreview(
            directory,
            outbound_wiring.servers_of(practice.rules(), practice.policies(), practice.clock),
            rules=PreviewRules(),
            has_portal_account=lambda address: _has_account(room, address),
        )
        room.parts = replace(room.parts, route_preview=preview)
        room.portal = open_portal(room.parts)
        yield Outside(practice, hospital, home)


def _has_account(room: PortalRoom, address: Address) -> bool:
    try:
        return room.portal.people.by_email(address.text).state is AccountState.ACTIVE
    except NotFoundError:
        return False


@pytest.fixture
def ruiz(room: PortalRoom) -> Somebody:
    return room.staff()


def write(page: Page, to: str, subject: str, text: str) -> None:
    page.goto("/compose?new=yes")
    page.get_by_label("To", exact=True).fill(to)
    page.get_by_label("Subject").fill(subject)
    page.get_by_label("Message", exact=True).fill(text)


@pytest.mark.parametrize(("width", "script"), [(DESK, True), (PHONE, False)], ids=["desk, script", "phone, no script"])
def test_a_message_goes_each_recipients_way_and_the_answer_comes_back(
    room: PortalRoom, outside: Outside, ruiz: Somebody, browser: Browser, *, width: int, script: bool
) -> None:
    with served(room) as origin, window(browser, origin, width=width, script=script) as page:
        sign_in(page, room, ruiz)
        expect(page.get_by_role("heading", name="Your inbox is empty")).to_be_visible()
        write(page, f"{STRANGER}, {COLLEAGUE}, {RUIZ}", "Your results", "All is well.")
        if script:
            expect(page.get_by_text("They have no access yet: hand them a code")).to_be_visible()
        else:
            page.get_by_role("button", name="Send", exact=True).click()
            expect(page.get_by_text("Not sent yet: look how it will travel")).to_be_visible()
        expect(page.get_by_text("mx.home.example offers no encryption")).to_be_visible()
        expect(page.get_by_text("Encrypted all the way to their mail server")).to_be_visible()
        expect(page.get_by_text("Stays inside the practice")).to_be_visible()
        page.get_by_role("button", name="Send", exact=True).dblclick()
        page.wait_for_url(re.compile("/sent/"))
        outside.deliver()
        page.reload()
        expect(page.get_by_text("Handed to their mail server")).to_be_visible()
        expect(page.get_by_text("Notice sent", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name="Waiting for a code")).to_be_visible()
        page.get_by_role("link", name="Enrol this person").click()
        expect(page.get_by_label("E-mail address")).to_have_value(STRANGER)
        page.get_by_label("Full name").fill("Newton Person")
        page.get_by_role("button", name="Enrol and show the code").click()
        code = str(page.locator(".secret").text_content())
        page.goto("/patients")
        expect(page.get_by_role("heading", name="Waiting for a code")).to_have_count(0)
        expect(page.get_by_text("Code not used yet")).to_be_visible()
        answered(room, code)
        page.goto("/inbox")
        page.get_by_role("link", name=re.compile("Newton Person.*Patient", re.DOTALL)).click()
        expect(page.get_by_text("Thank you, doctor.")).to_be_visible()
        expect(page.get_by_text("A patient of the practice.")).to_be_visible()
        expect(page.get_by_role("heading", name="The whole conversation")).to_be_visible()
    assert len(outside.hospital.arrived) == 1
    assert outside.hospital.arrived[0].tls
    assert b"All is well" not in outside.home.arrived[0].content
    assert room.portal.conversations.folder(ruiz.actor, Folder.SENT).total == 1


def answered(room: PortalRoom, code: str) -> None:
    """The patient enrols with the code from the page, reads and answers."""
    enrolment, session = room.portal.enrolment, room.portal.desk.sessions.anonymous()
    coded = enrolment.code(session, STRANGER, code, "192.0.2.9")
    chosen = enrolment.password(room.found(coded), PATIENT_PASSWORD)
    assert not isinstance(chosen, str)
    secret = enrolment.offered_secret(room.found(chosen))
    enrolment.authenticator(room.found(chosen), room.code(secret), "192.0.2.9")
    room.clock.advance(ONE_CODE)
    patient = Somebody(room.portal.people.by_email(STRANGER), PATIENT_PASSWORD, secret)
    (conversation,) = room.portal.conversations.conversations(patient.actor)
    letter = room.portal.reading.open_conversation(patient.actor, conversation.id)[0].stored.id
    draft = Draft(room.portal.writing.drafts.new_id(), "Thank you, doctor.", answers=letter)
    assert isinstance(room.portal.writing.send(patient.actor, draft), Accepted)


@dataclass
class Inspection:
    """Looks at pages one by one at the width of a desk and of a phone, and keeps what is wrong with each."""

    page: Page
    found: dict[str, list[str]] = field(default_factory=dict)

    def go(self, path: str, button: str = "", *, also_by_axe_on_a_phone: bool = False) -> None:
        self.page.goto(path)
        if button:
            self.page.get_by_role("button", name=button, exact=True).click()
        self.look(path + button, also_by_axe_on_a_phone=also_by_axe_on_a_phone)

    def look(self, name: str, *, also_by_axe_on_a_phone: bool = False) -> None:
        self.page.wait_for_load_state()
        wrong = barriers(self.page) + ["sideways at a desk"] * scrolls_sideways(self.page)
        self.page.set_viewport_size({"width": PHONE, "height": 800})
        wrong += ["sideways on a phone"] * scrolls_sideways(self.page)
        if also_by_axe_on_a_phone:
            wrong += barriers(self.page)
        self.page.set_viewport_size({"width": DESK, "height": 900})
        if wrong:
            self.found[name] = wrong


@pytest.fixture
def letter(room: PortalRoom, ruiz: Somebody) -> str:
    """A patient with mail of every kind; the message that was sent to her."""
    pat = room.patient()
    room.letter(ruiz, pat, attachments=(RESULTS,), subject="A subject of one very-long-word" + "o" * 80)
    sent = room.letter(ruiz, pat, text="", html_text=HTML_TEXT, subject="Next appointment")
    draft = room.portal.writing.drafts.new_id()
    asked = Draft(draft, "Where?", subject="Where is it?", contact="pool-0", files=(RESULTS,))
    assert isinstance(room.portal.writing.send(pat.actor, asked), Accepted)
    return sent


def test_no_page_of_mail_has_a_barrier_or_scrolls_sideways(
    room: PortalRoom, ruiz: Somebody, letter: str, browser: Browser
) -> None:
    with served(room) as origin, window(browser, origin) as page:
        sign_in(page, room, ruiz)
        walk = Inspection(page)
        walk.go("/inbox", also_by_axe_on_a_phone=True)
        page.locator("a.item").first.click()
        page.wait_for_url(re.compile("/messages/"))
        walk.look("a message beside the list", also_by_axe_on_a_phone=True)
        walk.go(page.url.replace("/messages/", "/compose?forward="))
        walk.go("/compose?new=yes", "Send")
        write(page, f"{NURSE}, nobody at all, x@mail.example", "Hello", "Hello")
        page.get_by_role("button", name="Check how it will travel").click()
        walk.look("compose with lamps", also_by_axe_on_a_phone=True)
        page.get_by_role("button", name="Keep as draft").click()
        walk.go("/compose/drafts")
        walk.go("/sent")
        walk.go(f"/sent/{letter}", also_by_axe_on_a_phone=True)
    assert walk.found == {}


def test_no_page_of_patients_has_a_barrier_or_scrolls_sideways(
    room: PortalRoom, ruiz: Somebody, letter: str, browser: Browser
) -> None:
    assert letter
    (pat,) = room.portal.people.patients(ruiz.actor)
    long_named = room.invited(f"maximiliana.{'long' * 12}@{'of-a-hospital-group.' * 5}example", "W" + "o" * 40 + " Doe")
    with served(room) as origin, window(browser, origin) as page:
        sign_in(page, room, ruiz)
        walk = Inspection(page)
        walk.go("/patients", also_by_axe_on_a_phone=True)
        expect(page.get_by_role("columnheader", name="Enrolled")).to_be_in_viewport(ratio=1)
        walk.go(f"/patients/{long_named.account.id}/code")
        walk.go("/patients?find=nobody")
        walk.go("/patients/new", "Enrol and show the code")
        page.get_by_label("Full name").fill("Olga Smith")
        page.get_by_label("E-mail address").fill("olga@mail.example")
        page.get_by_role("button", name="Enrol and show the code").click()
        walk.look("code", also_by_axe_on_a_phone=True)
        walk.go(f"/patients/{pat.id}")
        walk.go(f"/patients/{pat.id}/code", "End the old access and show a new code")
        walk.go("/account/app-password", "Make a new app password")
    assert walk.found == {}


def test_an_older_message_opens_beside_the_list_and_its_address_brings_it_back(
    room: PortalRoom, ruiz: Somebody, browser: Browser
) -> None:
    nurse = room.staff(NURSE, Role.CLINICIAN, "Nurse Kim")
    for number in range(43):
        draft = Draft(room.portal.writing.drafts.new_id(), "Text", subject=f"Number {number}", to=RUIZ)
        assert isinstance(room.portal.writing.send(nurse.actor, draft), Accepted)
    with served(room) as origin, window(browser, origin) as page:
        sign_in(page, room, ruiz)
        expect(page.get_by_text("43 new of 43 messages.")).to_be_visible()
        page.get_by_role("link", name="Older").click()
        page.get_by_role("link", name=re.compile("Number 1")).press("Enter")
        expect(page.get_by_role("heading", name="Number 1", level=1)).to_be_focused()
        expect(page.get_by_role("complementary").get_by_role("link", name=re.compile("Number 0"))).to_be_visible()
        expect(page.get_by_text("A colleague.")).to_be_visible()
        again = page.url
        page.get_by_role("button", name="Mark as new").click()
        expect(page.get_by_text("43 new of 43 messages.")).to_be_visible()
        page.goto(again)
        expect(page.get_by_role("complementary").get_by_role("link", name=re.compile("Number 0"))).to_be_visible()
        page.set_viewport_size({"width": PHONE, "height": 800})
        expect(page.get_by_role("complementary")).to_have_count(0)
        page.get_by_role("link", name="Inbox").last.click()
        expect(page.get_by_role("link", name=re.compile("Number 0"))).to_be_visible()


def test_a_message_that_is_gone_meanwhile_says_so(
    room: PortalRoom, ruiz: Somebody, letter: str, browser: Browser
) -> None:
    assert letter
    with served(room) as origin, window(browser, origin) as page:
        sign_in(page, room, ruiz)
        (listed,) = room.portal.conversations.folder(ruiz.actor, Folder.INBOX).items
        with room.database.write() as connection:
            message_records.remove(connection, [listed.stored.id])
        page.locator("a.item").first.click()
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


def test_what_was_typed_comes_back_after_signing_out_and_by_keyboard_alone_is_sent(
    room: PortalRoom, ruiz: Somebody, browser: Browser
) -> None:
    room.staff(NURSE, Role.CLINICIAN, "Nurse Kim")
    with served(room) as origin, window(browser, origin) as page:
        sign_in(page, room, ruiz)
        page.get_by_role("link", name="Write", exact=True).press("Enter")
        page.get_by_label("To", exact=True).focus()
        page.keyboard.type(NURSE)
        page.keyboard.press("Tab")
        expect(page.get_by_text("Stays inside the practice")).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.type("Tea")
        page.keyboard.press("Tab")
        page.keyboard.type("At four?")
        expect(page.get_by_text("Draft kept.")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(re.compile("/signed-out"))
        sign_in(page, room, ruiz)
        page.get_by_role("link", name="1 unsent draft").press("Enter")
        page.get_by_role("link", name=re.compile("Tea")).press("Enter")
        expect(page.get_by_text("Your unsent draft is back.")).to_be_visible()
        expect(page.get_by_label("Message", exact=True)).to_have_value("At four?")
        expect(page.get_by_text("Stays inside the practice")).to_be_visible()
        page.get_by_role("button", name="Send", exact=True).press("Enter")
        expect(page.get_by_text("Your message is on its way")).to_be_visible()
        page.goto("/inbox")
        expect(page.get_by_role("link", name=re.compile("unsent"))).to_have_count(0)


def test_at_twice_the_text_size_and_in_the_dark_the_pages_still_stand(
    room: PortalRoom, ruiz: Somebody, browser: Browser
) -> None:
    pat = room.patient()
    letter = room.letter(ruiz, pat, attachments=(RESULTS,))
    with served(room) as origin, window(browser, origin, width=PHONE) as page:
        sign_in(page, room, ruiz)
        page.emulate_media(color_scheme="dark")
        for path in ("/inbox", "/compose?new=yes", f"/messages/{letter}", f"/sent/{letter}", "/patients"):
            page.goto(path)
            assert not scrolls_sideways_in_large_text(page), path
