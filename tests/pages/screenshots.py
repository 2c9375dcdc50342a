"""Takes a picture of every page: at a desk and on a phone, into ``docs/pages``, so that a change of look shows.

Run it with ``make screenshots``. It starts a demonstration of its own, walks through it in a real browser as a
patient, a clinician, a records officer and the administrator, and ends what it started. What takes weeks is pictured
from a practice whose clock can be moved (``tests.pages.long_story``).
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pyotp
from playwright.sync_api import Browser, Page, sync_playwright

from appliance.commands.demo import free_base
from appliance.demo import tour
from appliance.demo.cast import ADMIN, CLINICIAN, COLLEAGUE, FRONT_DESK, RECORDS, ROSA
from appliance.demo.world import World, create, until
from tests.pages import long_story
from tests.pages.album import FOLDER, Album, button, small, window

CHROMIUM = "/usr/bin/chromium-headless-shell"
UNKNOWN = "newton@home.example"


def sign_in(page: Page, world: World, email: str) -> None:
    """Password and the code of the moment. Each person signs in once, so that no code is used twice."""
    person = world.cast[email]
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(person.password)
    button(page, "Continue").click()
    page.get_by_label("One-time code").fill(pyotp.TOTP(person.totp_secret).now())
    button(page, "Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def staff(album: Album, page: Page, world: World) -> None:
    """What a clinician sees; a message goes out to everybody on the way."""
    chapter = "Staff"
    sign_in(page, world, CLINICIAN.email)
    page.goto("/compose?new=yes")
    page.get_by_label("To", exact=True).fill(f"{ROSA.email}, {COLLEAGUE.email}, {FRONT_DESK.email}, {UNKNOWN}")
    page.get_by_label("Subject").fill("Your blood pressure")
    page.get_by_label("Message", exact=True).fill("Dear Rosa,\n\nplease measure it twice a day and write it down.")
    page.get_by_text("They have no access yet").wait_for()
    album.take(page, chapter, "compose", "Writing: under each recipient the way it will travel, and why")
    page.set_viewport_size({"width": 1000, "height": 900})
    (FOLDER / "readme.png").write_bytes(small(page.screenshot(full_page=True)))
    button(page, "Send").click()
    page.wait_for_url(re.compile("/sent/"))
    until(lambda: page.reload() and page.get_by_text("Notice sent", exact=True).count() > 1, "the notices")
    album.take(page, chapter, "tracking", "Where a message went: each recipient's way")
    for path, name, shows in (
        ("/sent", "sent", "Sent mail"),
        ("/inbox", "inbox", "Inbox"),
        ("/patients", "patients", "Patients, and who waits for a code"),
        ("/account", "staff-account", "A staff member's account"),
        ("/account/app-password", "app-password", "A new password for the mail program"),
    ):
        page.goto(path)
        album.take(page, chapter, name, shows)
    enrolling(album, page, chapter)


def enrolling(album: Album, page: Page, chapter: str) -> None:
    """The pages around a patient's code."""
    page.goto("/patients")
    page.get_by_role("link", name=re.compile("^Enrol .*@")).click()
    album.take(page, chapter, "patient-enrol", "Enrolling somebody for whom mail waits")
    page.get_by_label("Full name").fill("Newton Person")
    button(page, "Enrol and show the code").click()
    album.take(page, chapter, "patient-code", "The code, made to be printed, shown once")
    page.goto("/patients")
    page.get_by_role("link", name="Henry Whitlock").click()
    album.take(page, chapter, "patient", "One patient")
    page.get_by_role("link", name="Make a new code").click()
    album.take(page, chapter, "patient-new-code", "What a new code ends, before it does")


def patient(album: Album, page: Page, world: World) -> None:
    """A patient from the code to an answer."""
    chapter, rosa = "Patients", world.cast[ROSA.email]
    page.goto("/sign-in")
    album.take(page, chapter, "sign-in", "Signing in")
    page.goto("/enrol")
    album.take(page, chapter, "enrol-1", "First time: the code from the practice")
    page.get_by_label("Your e-mail address").fill(rosa.email)
    page.get_by_label("Code", exact=True).fill(rosa.enrolment_code)
    button(page, "Continue").click()
    album.take(page, chapter, "enrol-2", "First time: a password")
    page.get_by_label("New password", exact=True).fill("blue horses eat soup")
    button(page, "Continue").click()
    page.get_by_text("I cannot scan the picture").click()
    secret = str(page.locator("details strong").text_content()).replace(" ", "")
    page.get_by_text("I cannot scan the picture").click()
    album.take(page, chapter, "enrol-3", "First time: a second lock")
    page.get_by_label("Six digits from the app").fill(pyotp.TOTP(secret).now())
    button(page, "Finish and open my messages").click()
    page.wait_for_url(re.compile("/conversations"))
    album.take(page, chapter, "conversations", "Conversations")
    page.get_by_role("link", name=re.compile("Your blood pressure")).click()
    page.get_by_label("Message", exact=True).fill("Thank you. It was 130 to 85 this morning.")
    button(page, "Send answer").click()
    page.get_by_text("Your answer was sent").wait_for()
    album.take(page, chapter, "conversation", "A conversation, with who read it")
    for path, name, shows in (("/write", "write", "Writing to the practice"), ("/account", "account", "My account")):
        page.goto(path)
        album.take(page, chapter, name, shows)
    button(page, "Sign out").click()
    album.take(page, chapter, "signed-out", "Signed out")


def answer_read(album: Album, page: Page) -> None:
    """The clinician, still signed in, reads what the patient answered."""
    page.goto("/inbox")
    page.locator("a.item", has_text="Rosa Delgado").first.click()
    page.get_by_text("It was 130 to 85").wait_for()
    album.take(page, "Staff", "message", "A message, beside the inbox and its conversation")


def records(album: Album, page: Page, world: World) -> None:
    """What a records officer sees."""
    chapter = "Records"
    sign_in(page, world, RECORDS.email)
    for path, name, shows in (
        ("/archive", "archive", "The archive"),
        ("/archive?q=appointment", "archive-found", "What a search found and why, and by what it can be narrowed"),
        ("/holds", "holds", "Matters and legal holds"),
        ("/holds/new", "hold-new", "Placing a hold"),
        ("/disposals", "disposals", "Disposals"),
        ("/schedule", "schedule", "The retention schedule"),
        ("/schedule/new", "schedule-new", "Changing the schedule"),
        ("/audit", "audit", "The audit log"),
    ):
        page.goto(path)
        album.take(page, chapter, name, shows)
    saved_searches(album, page, chapter)
    page.goto("/archive?q=appointment")
    page.locator(".results a.item").first.click()
    page.get_by_role("heading", name="Why it is kept").wait_for()
    album.take(page, chapter, "record", "One record: why it is kept, and when it may go")
    page.goto("/holds/new")
    page.get_by_label("Name of the matter").fill("Adams v. Clinic")
    page.get_by_label("Why these messages must be kept").fill("Letter of the insurer")
    page.get_by_label("Only messages that match").fill("appointment")
    button(page, "See what it catches").click()
    album.take(page, chapter, "hold-preview", "What a hold catches, before it is placed")
    button(page, "Place the hold").click()
    album.take(page, chapter, "hold", "One hold")


def saved_searches(album: Album, page: Page, chapter: str) -> None:
    """A search that is saved, and what no search can find."""
    page.goto("/archive?q=appointment")
    page.get_by_text("Save this search").click()
    page.get_by_label("Name").fill("Appointments")
    page.get_by_label("Look for new messages every day").check()
    button(page, "Save").click()
    page.wait_for_url(re.compile("/archive/saved"))
    album.take(page, chapter, "archive-saved", "Saved searches, and what is new in them")
    page.goto("/archive/unread")
    album.take(page, chapter, "archive-unread", "What cannot be found by words, and why")


def administrator(album: Album, page: Page, world: World) -> None:
    """What the administrator sees."""
    sign_in(page, world, ADMIN.email)
    page.goto("/health")
    album.take(page, "Administration", "health", "Health")


def sealed(album: Album, browser: Browser, world: World) -> None:
    """What a machine shows that was started without a secret, and how it is opened."""
    chapter = "Sealed"
    world.console.must("seal")
    with window(browser, world.portal) as page:
        until(lambda: (page.goto("/"), page.get_by_text("Temporarily unavailable").count())[1], "the sealed pages")
        album.take(page, chapter, "sealed", "Every page of a sealed machine")
        page.goto("/unseal")
        page.get_by_label("Passphrase").fill("four loud herons wade")
        button(page, "Unseal").click()
        page.get_by_text("This opens nothing").wait_for()
        album.take(page, chapter, "unseal-wrong", "Unsealing: a wrong passphrase")
        page.goto("/unseal")
        page.get_by_text("I have recovery shares instead").click()
        album.take(page, chapter, "unseal", "Unsealing")
        world.console.must("unseal", "--key-file", str(world.console.data / "keys" / "unlock.key"))
        until(lambda: (page.goto("/unseal"), page.get_by_text("has been sorted in").count())[1], "the open pages")
        album.take(page, chapter, "unsealed", "Unsealed: how much of what came meanwhile is sorted in")


def walk(browser: Browser, world: World) -> Album:
    """Everybody's pages, in the order of a message's life."""
    album = Album(
        {"Patients": [], "Staff": [], "Records": [], "Administration": [], "Sealed": [], long_story.CHAPTER: []}
    )
    with window(browser, world.portal) as clinician:
        staff(album, clinician, world)
        with window(browser, world.portal) as page:
            patient(album, page, world)
        answer_read(album, clinician)
    for visit in (records, administrator):
        with window(browser, world.portal) as page:
            visit(album, page, world)
    sealed(album, browser, world)
    long_story.told(album, browser)
    return album


def main() -> None:
    """Make the practice, fill it, walk through it, and end it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="strongroom-pages-") as folder:
        world = create(Path(folder) / "data", base=free_base(), detached=False)
        try:
            tour.fill(world, lambda _line: None)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                album = walk(browser, world)
                browser.close()
        finally:
            world.stop()
    (FOLDER / "README.md").write_text(album.index() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
