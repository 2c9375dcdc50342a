"""Pictures of what takes weeks or seldom comes: the life of a disposal, the end of a hold, another schedule, mistakes.

They are taken in a practice of the tests, whose clock is moved.
"""

from __future__ import annotations

import re
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page

from archive import disposal_records
from mailstore.addresses import parse_mailbox
from mailstore.deposit import Deposit
from mailstore.message import Envelope, Origin, ReceivedMessage, RecipientPlan, RecipientState, Route, Scan
from mailstore.message_parts import summary_of
from tests.browser_room import ONE_CODE, served, sign_in
from tests.pages.album import Album, button, window
from tests.portal_room import PortalRoom, Somebody
from tests.records_life import SCHEDULE, RecordsLife, records_life

CHAPTER = "What takes weeks, and what seldom comes"
COOLING_OFF = timedelta(days=3)
SHORTER = SCHEDULE.replace('"10 years"', '"20 days"')


def told(album: Album, browser: Browser) -> None:
    """All of it, in a practice of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="strongroom-pages-") as folder,
        records_life(Path(folder) / "vault") as life,
        served(life.room) as address,
    ):
        mistakes(album, browser, address, life)
        mail(album, browser, address, life.room)
        with window(browser, address) as officer, window(browser, address) as approver:
            sign_in(officer, life.room, life.officer)
            sign_in(approver, life.room, life.approver)
            hold_and_nothing_due(album, officer, approver, life)
            disposal(album, officer, approver, life)
            schedule(album, officer, approver, life)


def mistakes(album: Album, browser: Browser, address: str, life: RecordsLife) -> None:
    """The second step of signing in, a form with mistakes, and a page that is not there."""
    with window(browser, address) as page:
        page.goto("/sign-in")
        page.get_by_label("E-mail address").fill(life.officer.email)
        page.get_by_label("Password", exact=True).fill(life.officer.password)
        button(page, "Continue").click()
        page.wait_for_url(re.compile("/sign-in/code"))
        album.take(page, CHAPTER, "sign-in-code", "Signing in: the second factor")
        page.get_by_label("One-time code").fill(life.room.code(life.officer.totp_secret))
        button(page, "Sign in").click()
        page.wait_for_url(lambda url: "/sign-in" not in url)
        life.room.clock.advance(ONE_CODE)
        page.goto("/holds/new")
        page.get_by_label("Only messages that match").fill("color:red (")
        button(page, "See what it catches").click()
        album.take(page, CHAPTER, "form-problems", "A form that cannot be taken as it is")
        page.goto("/holds/none-of-ours")
        album.take(page, CHAPTER, "not-found", "A page that is not there")


def mail(album: Album, browser: Browser, address: str, room: PortalRoom) -> None:
    """What a scanner took for junk, and what was not sent yet."""
    ruiz = room.staff()
    junk(room, ruiz, "Watches for sale")
    junk(room, ruiz, "You have won")
    with window(browser, address) as page:
        sign_in(page, room, ruiz)
        page.goto("/inbox?folder=junk")
        album.take(page, CHAPTER, "junk", "What was taken for junk")
        page.goto("/compose?new=yes")
        page.get_by_label("Subject").fill("Your blood pressure")
        page.get_by_label("Message", exact=True).fill("Dear Pat,")
        button(page, "Keep as draft").click()
        page.goto("/compose/drafts")
        album.take(page, CHAPTER, "drafts", "Messages that were not sent yet")


def junk(room: PortalRoom, somebody: Somebody, subject: str) -> None:
    """A message from outside that a scanner took for junk."""
    to, sender = parse_mailbox(somebody.email), parse_mailbox("shop@example.net")
    content = f"From: Shop <{sender.text}>\r\nTo: {to.text}\r\nSubject: {subject}\r\n\r\nBuy.\r\n".encode()
    received = ReceivedMessage(Envelope(sender, (to,)), content, room.clock.now(), Origin.SMTP, scan=Scan.JUNK)
    plan = RecipientPlan(to, Route.MAILBOX, (), RecipientState.DELIVERED, mailbox=somebody.account.id)
    room.depositor.deposit(Deposit(received, summary_of(received, ""), (plan,), (), ()))


def hold_and_nothing_due(album: Album, officer: Page, approver: Page, life: RecordsLife) -> None:
    """A hold over everything: nothing is due beside it, until it ends."""
    desk = life.room.archive.desk
    hold = desk.holds.place(life.officer.actor, name="Adams v. Clinic", reason="Letter of the insurer").id
    officer.goto("/disposals")
    button(officer, "Propose a disposal").click()
    album.take(officer, CHAPTER, "disposal-empty", "A disposal of nothing, because holds cover all that is due")
    button(officer, "Take it back").click()
    officer.get_by_text("This disposal was taken back").wait_for()
    album.take(officer, CHAPTER, "disposal-withdrawn", "A disposal that was taken back")
    desk.holds.request_release(life.officer.actor, hold, reason="The claim was settled")
    approver.goto(f"/holds/{hold}/release")
    album.take(approver, CHAPTER, "hold-release", "The end of a hold: what would be due then")
    seen = desk.holds.preview_release(life.approver.actor, hold).set_hash
    desk.holds.approve_release(life.approver.actor, hold, set_hash=seen)


def disposal(album: Album, officer: Page, approver: Page, life: RecordsLife) -> None:
    """From the proposal to the certificate; one message is saved by a hold on the way."""
    desk = life.room.archive.desk
    proposed = desk.disposals.propose(life.officer.actor)
    path = f"/disposals/{proposed.id}"
    officer.goto(f"{path}?done=proposed")
    album.take(officer, CHAPTER, "disposal-proposed", "A disposal that was proposed, as its proposer sees it")
    approver.goto(path)
    album.take(approver, CHAPTER, "disposal-approval", "The same, as the approver sees it")
    approved = desk.disposals.approve(life.approver.actor, proposed.id, set_hash=proposed.set_hash)
    cools_off_until(life, proposed.id, approved.approved_at, COOLING_OFF)
    officer.goto(path)
    album.take(officer, CHAPTER, "disposal-cooling-off", "Time to think again")
    cools_off_until(life, proposed.id, approved.cooled_off_at, timedelta())
    desk.holds.place(life.officer.actor, name="Gym", reason="A claim", query="gym 1")
    officer.goto(path)
    album.take(officer, CHAPTER, "disposal-ready", "A disposal that may be carried out")
    officer.get_by_label("One-time code").fill(life.room.code(life.officer.totp_secret))
    button(officer, "Destroy them now").click()
    officer.get_by_role("heading", name="Carried out").wait_for()
    officer.goto(path)
    album.take(officer, CHAPTER, "disposal-done", "A disposal that was carried out, and its certificate")


def cools_off_until(life: RecordsLife, disposal: str, begin: datetime | None, longer: timedelta) -> None:
    """The practice of the tests has no time to think again: its end is put into the row."""
    assert begin is not None, "it was approved"
    with life.room.database.write() as connection:
        disposal_records.change(connection, disposal, cooled_off_at=begin + longer)


def schedule(album: Album, officer: Page, approver: Page, life: RecordsLife) -> None:
    """What another schedule would do, and its approval by somebody else."""
    officer.goto("/schedule/new")
    officer.get_by_label("Schedule (TOML)").fill(SHORTER)
    button(officer, "See what it would do").click()
    album.take(officer, CHAPTER, "schedule-preview", "What another schedule would do, before it is proposed")
    version = life.room.archive.desk.schedules.propose(life.officer.actor, SHORTER)
    approver.goto(f"/schedule/{version}")
    album.take(approver, CHAPTER, "schedule-version", "A schedule that waits for approval")
    approver.goto(f"/schedule/{version}?simulate=yes")
    album.take(approver, CHAPTER, "schedule-simulated", "The same, with what it would do")
