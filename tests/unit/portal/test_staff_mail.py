"""Staff pages over plain forms: nothing is sent unseen or twice, blind copies stay blind, codes are shown once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore.actor import Role
from mailstore.addresses import parse_mailbox
from mailstore.deposit import Deposit
from mailstore.errors import NotFoundError
from mailstore.mailboxes import Folder
from mailstore.message import (
    Envelope,
    MessageId,
    Origin,
    ReceivedMessage,
    RecipientPlan,
    RecipientState,
    Route,
    Scan,
)
from mailstore.message_composition import ComposedAttachment
from mailstore.message_parts import summary_of
from portal.account_records import AccountState
from portal.app_passwords import verify_app_password
from portal.delivery_words import Access
from portal.errors import ForbiddenError
from portal.front_door import Accepted
from portal.writing import Draft
from tests.portal_room import (
    NURSE,
    OTHER_PATIENT_EMAIL,
    PATIENT_EMAIL,
    RUIZ,
    PortalRoom,
    Somebody,
    Visitor,
    hidden,
    portal_room,
)
from tests.vault_room import RING

FILE = ComposedAttachment("results.txt", "text/plain", b"all values in range")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@pytest.fixture
def ruiz(room: PortalRoom) -> Somebody:
    return room.staff()


@pytest.fixture
def nurse(room: PortalRoom) -> Somebody:
    return room.staff(NURSE, Role.CLINICIAN, "Nurse Kim")


@pytest.fixture
def visitor(room: PortalRoom, ruiz: Somebody) -> Iterator[Visitor]:
    with room.visitor() as opened:
        room.sign_in(opened, ruiz)
        yield opened


def sent(room: PortalRoom, somebody: Somebody, **fields: object) -> MessageId:
    plain = {"id": room.portal.writing.drafts.new_id(), "text": "Text", "subject": "Subject"}
    answer = room.portal.writing.send(somebody.actor, Draft(**{**plain, **fields}))  # type: ignore[arg-type]  # keyword fields of a frozen dataclass
    assert isinstance(answer, Accepted)
    return answer.message_id


def sheet(visitor: Visitor, **fields: str) -> dict[str, str]:
    """The form on the page, with what somebody types into it and the lamps that it shows."""
    plain = {name: hidden(visitor.page.text, name) for name in ("draft", "answers", "about", "forwards", "seen")}
    return {**plain, "act": "send", "subject": "Tea", "text": "At four?", **fields}


def press_send(visitor: Visitor, **fields: str) -> None:
    """Look first, then send."""
    visitor.post("/compose", sheet(visitor, **{**fields, "act": "check"}))
    visitor.post("/compose", sheet(visitor, **fields))


def count_sent(room: PortalRoom, somebody: Somebody) -> int:
    return room.portal.conversations.folder(somebody.actor, Folder.SENT).total


def test_nothing_is_sent_whose_way_was_not_shown(
    room: PortalRoom, ruiz: Somebody, nurse: Somebody, visitor: Visitor
) -> None:
    assert nurse
    visitor.get("/compose")
    answer = visitor.post("/compose", sheet(visitor, to=NURSE))
    assert answer.status_code == 422
    assert "Not sent yet" in answer.text
    assert "Stays inside the practice" in answer.text
    assert count_sent(room, ruiz) == 0
    visitor.post("/compose", sheet(visitor, to=NURSE))
    assert visitor.at.startswith("/sent/")
    assert count_sent(room, ruiz) == 1


def test_another_recipient_added_after_looking_is_shown_before_it_goes(
    room: PortalRoom, ruiz: Somebody, nurse: Somebody, visitor: Visitor
) -> None:
    assert nurse
    visitor.get("/compose")
    visitor.post("/compose", sheet(visitor, to=NURSE, act="check"))
    visitor.post("/compose", sheet(visitor, to=f"{NURSE}, {PATIENT_EMAIL}"))
    assert visitor.page.status_code == 422
    assert count_sent(room, ruiz) == 0


@pytest.mark.parametrize("typed", ["a," * 20_000, "a@b.example, " * 20_000])
def test_a_field_full_of_recipients_is_looked_at_as_far_as_anybody_may_write(visitor: Visitor, typed: str) -> None:
    """A megabyte of them took minutes of work and a page of sixty megabytes."""
    visitor.get("/compose")
    answer = visitor.post("/compose", sheet(visitor, to=typed, subject="x", text="y"))
    assert answer.status_code == 422
    assert answer.text.count('<li><span class="lamp') <= 101


def test_the_same_form_twice_sends_once(room: PortalRoom, ruiz: Somebody, nurse: Somebody, visitor: Visitor) -> None:
    assert nurse
    visitor.get("/compose")
    visitor.post("/compose", sheet(visitor, to=NURSE, act="check"))
    form = {**sheet(visitor, to=NURSE), "form_token": visitor.token()}
    places = {str(visitor.post("/compose", form).url) for _ in range(2)}
    assert len(places) == 1
    assert count_sent(room, ruiz) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"to": "nobody at all"}, "Not an address yet"),
        ({"to": "ghost@clinic.example", "subject": "x"}, "No mailbox of this name"),
        ({"to": ""}, "Write to whom the message goes"),
        ({"to": NURSE, "subject": ""}, "Write what the message is about"),
        ({"to": NURSE, "text": ""}, "Write your message"),
    ],
)
def test_what_stands_against_sending_is_said_and_what_was_typed_stays(
    room: PortalRoom, ruiz: Somebody, nurse: Somebody, visitor: Visitor, *, fields: dict[str, str], said: str
) -> None:
    assert nurse
    visitor.get("/compose")
    press_send(visitor, **{"cc": RUIZ, **fields} if "subject" in fields and fields["to"] != NURSE else fields)
    assert visitor.page.status_code == 422
    assert said in visitor.page.text
    assert fields.get("text", "At four?") in visitor.page.text
    assert count_sent(room, ruiz) == 0


def test_blind_copies_stay_blind_to_those_who_received_the_message(
    room: PortalRoom, ruiz: Somebody, nurse: Somebody
) -> None:
    message = sent(room, ruiz, to=NURSE, bcc="hidden@mail.example")
    with pytest.raises(NotFoundError):
        room.portal.tracking.of(nurse.actor, message)
    with room.visitor() as opened:
        room.sign_in(opened, nurse)
        opened.get(f"/messages/{message}")
        assert "At four" not in opened.page.text
        assert "Subject" in opened.page.text
        assert "hidden@mail.example" not in opened.page.text
        assert opened.get(f"/sent/{message}").status_code == 404
    assert len(room.portal.tracking.of(ruiz.actor, message).ways) == 2


def test_a_forwarded_file_goes_along_unless_it_is_unticked(
    room: PortalRoom, ruiz: Somebody, nurse: Somebody, visitor: Visitor
) -> None:
    original = sent(room, nurse, to=RUIZ, files=(FILE,))
    for keep, wanted in (({"keep": "0"}, [FILE.content]), ({}, [])):
        visitor.get(f"/compose?forward={original}")
        assert "results.txt" in visitor.page.text
        press_send(visitor, to=NURSE, subject="Fwd", text="See", **keep)
        message = MessageId(visitor.at.rpartition("/")[2])
        files = room.portal.reading.open_message(ruiz.actor, message).parsed.attachments
        assert [each.content for each in files] == wanted


def test_a_strangers_message_cannot_be_forwarded_or_answered(
    room: PortalRoom, nurse: Somebody, visitor: Visitor
) -> None:
    secret = sent(room, nurse, to=NURSE, text="secret words")
    for path in (f"/compose?forward={secret}", f"/compose?reply={secret}", f"/messages/{secret}", f"/sent/{secret}"):
        assert visitor.get(path).status_code == 404
    visitor.get("/compose")
    visitor.post("/compose", sheet(visitor, to=NURSE, forwards=secret, keep="0"))
    assert visitor.page.status_code == 404


def test_an_answer_joins_the_conversation_and_its_draft_is_restored(
    room: PortalRoom, ruiz: Somebody, nurse: Somebody, visitor: Visitor
) -> None:
    original = sent(room, nurse, to=RUIZ)
    visitor.get(f"/compose?reply={original}")
    visitor.post("/drafts", sheet(visitor, to=NURSE, text="half a thought"))
    visitor.get(f"/compose?reply={original}")
    assert "half a thought" in visitor.page.text
    press_send(visitor, to=NURSE)
    stored = room.portal.conversations.of_message(ruiz.actor, original)
    assert len(room.portal.conversations.conversation(nurse.actor, stored.conversation)) == 2
    assert room.portal.writing.drafts.all_open(ruiz.actor) == []


def test_a_draft_to_nobody_and_without_a_subject_is_listed(visitor: Visitor) -> None:
    visitor.get("/compose?new=yes")
    visitor.post("/drafts", sheet(visitor, subject="", to="", text="half a thought"))
    listed = visitor.get("/compose/drafts")
    assert listed.status_code == 200
    assert "To nobody yet" in listed.text
    assert "(no subject)" in listed.text


def test_somebody_elses_draft_is_not_there(room: PortalRoom, nurse: Somebody, visitor: Visitor) -> None:
    drafts = room.portal.writing.drafts
    name = drafts.new_id()
    drafts.keep(nurse.actor, name, None, {"text": "mine"})
    assert visitor.get(f"/compose?draft={name}").status_code == 404
    visitor.get("/compose/drafts")
    visitor.post(f"/compose/drafts/{name}/discard", {"form_token": hidden(visitor.get("/inbox").text, "form_token")})
    assert drafts.find(nurse.actor, name).fields == {"text": "mine"}


def test_the_code_is_shown_once_and_opens_the_way_in(room: PortalRoom, visitor: Visitor) -> None:
    visitor.get("/patients/new")
    visitor.post("/patients/new", {"name": "Pat Doe", "email": PATIENT_EMAIL})
    code = re.search(r"[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]{4}", visitor.page.text)
    assert code is not None
    assert code.group(0) not in visitor.get("/patients").text
    account = room.portal.people.by_email(PATIENT_EMAIL)
    assert code.group(0) not in visitor.get(f"/patients/{account.id}").text
    session = room.portal.desk.sessions.anonymous()
    assert room.found(room.portal.enrolment.code(session, PATIENT_EMAIL, code.group(0), "192.0.2.9"))


@pytest.mark.parametrize(
    ("name", "email", "said"),
    [
        ("", PATIENT_EMAIL, "Write a name"),
        ("Pat", "no address", "Write an address"),
        ("Sam", "s@clinic.example", "staff"),
    ],
)
def test_a_patient_who_cannot_be_is_refused_beside_the_field(
    visitor: Visitor, name: str, email: str, said: str
) -> None:
    visitor.get("/patients/new")
    answer = visitor.post("/patients/new", {"name": name, "email": email})
    assert answer.status_code == 422
    assert said in answer.text


def test_a_new_code_needs_the_check_and_a_fresh_second_factor(
    room: PortalRoom, ruiz: Somebody, visitor: Visitor
) -> None:
    pat = room.patient()
    room.clock.advance(timedelta(minutes=10))
    path = f"/patients/{pat.account.id}/code"
    visitor.get(path)
    assert "Their password" in visitor.page.text
    assert "Check who the person is" in visitor.post(path, {"code": room.code(ruiz.totp_secret)}).text
    assert "This code is not right" in visitor.post(path, {"checked": "yes", "code": "000000"}).text
    assert room.portal.people.by_email(PATIENT_EMAIL).state is AccountState.ACTIVE
    done = visitor.post(path, {"checked": "yes", "code": room.code(ruiz.totp_secret)})
    assert "Your access to secure messages" in done.text
    assert room.portal.people.by_email(PATIENT_EMAIL).state is AccountState.INVITED
    assert visitor.get("/inbox").status_code == 200


def test_a_message_begun_at_a_patient_is_addressed_to_them(room: PortalRoom, ruiz: Somebody, visitor: Visitor) -> None:
    pat = room.patient()
    page = visitor.get(f"/patients/{pat.account.id}").text
    path = re.search(r'href="(/compose[?][^"]*)"', page)
    assert path is not None
    assert PATIENT_EMAIL not in path[1], "an address is no matter for the address bar"
    assert f'value="{PATIENT_EMAIL}"' in visitor.get(path[1]).text
    assert visitor.get(f"/compose?patient={ruiz.account.id}").status_code == 404


def test_staff_are_no_patients_to_be_reset(room: PortalRoom, nurse: Somebody, visitor: Visitor) -> None:
    visitor.get("/patients")
    assert visitor.get(f"/patients/{nurse.account.id}").status_code == 404
    assert visitor.get(f"/patients/{nurse.account.id}/code").status_code == 404
    visitor.get("/patients/new")
    assert visitor.post(f"/patients/{nurse.account.id}/code", {"checked": "yes"}).status_code in {403, 404}
    assert room.portal.people.by_email(NURSE).state is AccountState.ACTIVE


def test_whoever_waits_in_the_portal_without_access_is_listed_until_enrolled(room: PortalRoom, ruiz: Somebody) -> None:
    ghost = Somebody(room.invited("ghost@mail.example", "Ghost").account, "", "")
    stranger = Somebody(ghost.account, "", "")
    letter = room.letter(ruiz, stranger)
    assert room.portal.tracking.waiting_for_access(ruiz.actor) == []
    unknown = room.letter(ruiz, _unknown(stranger))
    (waiting,) = room.portal.tracking.waiting_for_access(ruiz.actor)
    assert (waiting.address, waiting.message, waiting.messages) == (OTHER_PATIENT_EMAIL, unknown, 1)
    assert room.portal.tracking.waiting_person(ruiz.actor, unknown, 0) == OTHER_PATIENT_EMAIL
    assert [way.access for way in room.portal.tracking.of(ruiz.actor, letter).ways] == [Access.CODE]
    assert [way.access for way in room.portal.tracking.of(ruiz.actor, unknown).ways] == [Access.NONE]
    room.portal.people.add_patient(ruiz.actor, OTHER_PATIENT_EMAIL, "Olga")
    assert room.portal.tracking.waiting_for_access(ruiz.actor) == []


def _unknown(somebody: Somebody) -> Somebody:
    """The same person as the fixture knows them, under an address that has no account."""
    person = type(somebody.account.person)("Olga", OTHER_PATIENT_EMAIL)
    account = type(somebody.account)(
        somebody.account.id, Role.PATIENT, AccountState.INVITED, person, -1, somebody.account.created_at
    )
    return Somebody(account, "", "")


def test_records_officers_learn_nothing_of_patients(room: PortalRoom, ruiz: Somebody) -> None:
    officer = room.staff("records@clinic.example", Role.RECORDS, "Rita Records")
    pat = room.patient()
    letter = room.letter(ruiz, pat)
    assert room.portal.people.access_of(officer.actor, PATIENT_EMAIL) is Access.UNTOLD
    assert room.portal.people.name_of(officer.actor, PATIENT_EMAIL) == ""
    for attempt in (
        lambda: room.portal.tracking.waiting_for_access(officer.actor),
        lambda: room.portal.tracking.waiting_person(officer.actor, letter, 0),
        lambda: room.portal.tracking.waiting_messages(officer.actor, PATIENT_EMAIL),
    ):
        with pytest.raises(ForbiddenError):
            attempt()


def test_a_new_app_password_ends_the_old_one(room: PortalRoom, ruiz: Somebody, visitor: Visitor) -> None:
    visitor.get("/account/app-password")
    visitor.post("/account/app-password", {})
    shown = re.search(r'class="secret code">([^<]+)<', visitor.page.text)
    assert shown is not None
    assert verify_app_password(room.database, RING.lookup_key, RUIZ, shown.group(1)) is not None
    assert verify_app_password(room.database, RING.lookup_key, RUIZ, ruiz.app_password) is None
    assert shown.group(1) not in visitor.get("/account/app-password").text


def test_an_app_password_needs_a_fresh_second_factor(room: PortalRoom, ruiz: Somebody, visitor: Visitor) -> None:
    room.clock.advance(timedelta(minutes=10))
    visitor.get("/account/app-password")
    assert visitor.post("/account/app-password", {"code": "000000"}).status_code == 422
    assert verify_app_password(room.database, RING.lookup_key, RUIZ, ruiz.app_password) is not None


def test_a_hostile_subject_and_name_are_shown_as_text(room: PortalRoom, nurse: Somebody, visitor: Visitor) -> None:
    message = sent(room, nurse, to=RUIZ, subject="<script>alert(1)</script> \u202egpj.exe")
    for path in ("/inbox", f"/messages/{message}", f"/compose?reply={message}"):
        text = visitor.get(path).text
        assert "<script>alert" not in text
    assert "[U+202E]" in visitor.get(f"/messages/{message}").text


def test_a_page_of_a_list_that_cannot_be_is_the_newest_or_empty(visitor: Visitor) -> None:
    for query in ("before=-1", "before=x", "before=99999999999999999999", "before=%00", "before=1"):
        assert visitor.get(f"/inbox?{query}").status_code == 200
        assert visitor.get(f"/sent?{query}").status_code == 200
    for query in ("page=0", "page=999999999", "page=x", "find=%3Cscript%3E"):
        assert visitor.get(f"/patients?{query}").status_code == 200


def arrived(
    room: PortalRoom,
    somebody: Somebody,
    subject: str,
    *,
    scan: Scan = Scan.CLEAN,
    head: str = "From: shop@example.net\r\n",
) -> MessageId:
    """A message from outside, as the door hands it over after the scanners have spoken."""
    to = parse_mailbox(somebody.email)
    content = f"{head}To: {to.text}\r\nSubject: {subject}\r\n\r\nBuy.\r\n".encode()
    envelope = Envelope(parse_mailbox("shop@example.net"), (to,))
    received = ReceivedMessage(envelope, content, room.clock.now(), Origin.SMTP, scan=scan)
    plan = RecipientPlan(to, Route.MAILBOX, (), RecipientState.DELIVERED, mailbox=somebody.account.id)
    return room.depositor.deposit(Deposit(received, summary_of(received, ""), (plan,), (), ()))


def test_junk_is_not_in_the_inbox_and_not_out_of_sight(room: PortalRoom, ruiz: Somebody, visitor: Visitor) -> None:
    assert "in junk" not in visitor.get("/inbox").text
    junk = arrived(room, ruiz, "Watches for sale", scan=Scan.JUNK)
    arrived(room, ruiz, "A referral", scan=Scan.CLEAN)
    inbox = visitor.get("/inbox").text
    assert "A referral" in inbox
    assert "Watches for sale" not in inbox
    assert 'href="/inbox?folder=junk">1 in junk' in inbox
    shelf = visitor.get("/inbox?folder=junk").text
    assert "Watches for sale" in shelf
    assert "A referral" not in shelf
    assert f'href="/messages/{junk}?folder=junk"' in shelf
    page = visitor.get(f"/messages/{junk}?folder=junk").text
    assert 'href="/inbox?folder=junk">Junk</a>' in page
    assert "A referral" in visitor.get("/inbox?folder=sent").text, "what is no folder of this page is the inbox"


def test_message_that_names_no_sender_shows_where_it_came_from(
    room: PortalRoom, ruiz: Somebody, visitor: Visitor
) -> None:
    message = arrived(room, ruiz, "Paper clips", head="")
    assert '<span class="who">shop@example.net</span>' in visitor.get("/inbox").text
    page = visitor.get(f"/messages/{message}").text
    assert "<dt>From</dt><dd>shop@example.net</dd>" in page
    assert "(nobody named)" not in page
