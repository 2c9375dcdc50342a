"""What is sent arrives once and whole; what is opened is recorded first and by those alone who may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailstore.actor import Role
from mailstore.errors import NotFoundError
from mailstore.mailboxes import Folder
from mailstore.message import MessageId, RecipientState
from mailstore.message_composition import ComposedAttachment
from mailstore.message_parts import parse
from portal.errors import ForbiddenError
from portal.front_door import Accepted, Refused
from portal.html_view import safe_view
from portal.reading import OpenedMessage
from portal.writing import NO_ROOM, Draft, NotReady
from tests.portal_room import NURSE, PATIENT_EMAIL, RUIZ, PortalRoom, Somebody, portal_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@pytest.fixture
def ruiz(room: PortalRoom) -> Somebody:
    return room.staff()


@pytest.fixture
def pat(room: PortalRoom, ruiz: Somebody) -> Somebody:
    del ruiz
    return room.patient()


def new_draft(room: PortalRoom, **fields: object) -> Draft:
    plain = {"id": room.portal.writing.drafts.new_id(), "text": "I have a question.", "subject": "Tablets"}
    return Draft(**{**plain, **fields})  # type: ignore[arg-type]  # keyword fields of a frozen dataclass


def sent(room: PortalRoom, somebody: Somebody, **fields: object) -> MessageId:
    answer = room.portal.writing.send(somebody.actor, new_draft(room, **fields))
    assert isinstance(answer, Accepted)
    return answer.message_id


def test_a_patients_message_lies_in_the_front_desks_inbox(room: PortalRoom, ruiz: Somebody, pat: Somebody) -> None:
    file = ComposedAttachment("photo.jpg", "image/jpeg", b"\xff\xd8 bytes")
    message = sent(room, pat, contact="pool-0", files=(file,))
    (listed,) = room.portal.conversations.folder(ruiz.actor, Folder.INBOX).items
    assert listed.stored.id == message
    assert listed.is_new
    opened = room.portal.reading.open_message(ruiz.actor, message)
    assert str(opened.text).strip() == "I have a question."
    assert opened.sender is not None
    assert str(opened.sender.address) == PATIENT_EMAIL
    assert opened.parsed.attachments[0].content == b"\xff\xd8 bytes"


def test_one_draft_is_sent_once_however_often_it_is_asked(room: PortalRoom, ruiz: Somebody, pat: Somebody) -> None:
    draft = new_draft(room, contact="pool-0")
    answers = [room.portal.writing.send(pat.actor, draft) for _ in range(3)]
    assert len(set(answers)) == 1
    assert room.portal.conversations.folder(ruiz.actor, Folder.INBOX).total == 1


@pytest.mark.parametrize(
    ("fields", "field_name"),
    [
        ({"text": " "}, "text"),
        ({"subject": ""}, "subject"),
        ({"contact": "nobody"}, "contact"),
        ({"subject": "x" * 201}, "subject"),
    ],
)
def test_what_is_missing_is_said_beside_its_field(
    room: PortalRoom, pat: Somebody, fields: dict[str, str], field_name: str
) -> None:
    answer = room.portal.writing.send(pat.actor, new_draft(room, **{"contact": "pool-0", **fields}))
    assert isinstance(answer, NotReady)
    assert [problem.field_name for problem in answer.problems] == [field_name]


def test_a_patient_writes_to_the_practice_alone(room: PortalRoom, pat: Somebody) -> None:
    draft = new_draft(room, to="stranger@elsewhere.example", cc="stranger@elsewhere.example", contact="pool-0")
    answer = room.portal.writing.send(pat.actor, draft)
    assert isinstance(answer, Accepted)
    recipients = room.portal.reading.recipients(pat.actor, answer.message_id)
    assert [each.address for each in recipients] == [RUIZ]


def test_an_answer_goes_to_whoever_wrote_and_joins_the_conversation(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    letter = room.letter(ruiz, pat)
    answer = sent(room, pat, answers=letter, subject="")
    (listed,) = room.portal.conversations.conversations(pat.actor)
    assert listed.messages == 2
    assert [each.address for each in room.portal.reading.recipients(pat.actor, answer)] == [RUIZ]
    assert room.portal.reading.open_message(ruiz.actor, answer).summary.subject == "Re: Your results"


def test_a_patient_is_told_beforehand_who_gets_the_answer_and_sees_afterwards_whom_it_is_with(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    letter = room.letter(ruiz, pat)
    told = room.portal.writing.answered_by(pat.actor, letter)
    assert [(each.name, each.reply_window) for each in told] == [("Front desk", "one working day")]
    room.staff(NURSE, Role.FRONTDESK, "Nurse Sam")
    assert [each.name for each in room.portal.writing.answered_by(pat.actor, letter)] == ["Dr. Elena Ruiz"]
    sent(room, pat, answers=letter, subject="")
    (listed,) = room.portal.conversations.conversations(pat.actor)
    assert listed.with_whom == "Dr. Elena Ruiz"


def test_opening_is_recorded_before_and_marks_the_letter_opened(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    letter = room.letter(ruiz, pat)
    assert room.portal.conversations.conversations(pat.actor)[0].new == 1
    room.portal.reading.open_message(pat.actor, letter)
    entry = room.audit(1)[0]
    assert (entry.event, entry.actor, entry.object) == ("message.opened", pat.account.id, letter)
    assert room.portal.conversations.conversations(pat.actor)[0].new == 0
    (recipient,) = room.portal.reading.recipients(ruiz.actor, letter)
    assert recipient.state is RecipientState.OPENED


def test_a_patient_sees_who_at_the_practice_opened_their_message(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    message = sent(room, pat, contact="pool-0")
    assert room.portal.reading.readers_of(pat.actor, message) == ()
    room.portal.reading.open_message(ruiz.actor, message)
    (reader,) = room.portal.reading.readers_of(pat.actor, message)
    assert (reader.name, reader.role) == ("Dr. Elena Ruiz", Role.FRONTDESK)


def test_a_strangers_message_does_not_exist_and_leaves_no_entry(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    letter = room.letter(ruiz, pat)
    strangers = (room.patient("olga@mail.example", "Olga"), room.staff(NURSE, Role.CLINICIAN, "Nurse Kim"))
    before = room.events()
    for stranger in strangers:
        for attempt in (
            lambda who=stranger: room.portal.reading.open_message(who.actor, letter),
            lambda who=stranger: room.portal.reading.open_body(who.actor, letter),
            lambda who=stranger: room.portal.reading.open_attachment(who.actor, letter, 0),
            lambda who=stranger: room.portal.reading.readers_of(who.actor, letter),
            lambda who=stranger: room.portal.reading.recipients(who.actor, letter),
            lambda who=stranger: room.portal.writing.send(who.actor, new_draft(room, answers=letter, to=RUIZ)),
        ):
            with pytest.raises(NotFoundError):
                attempt()
    assert room.events() == before


def test_the_right_role_without_the_mailbox_is_not_enough(room: PortalRoom, ruiz: Somebody, pat: Somebody) -> None:
    del ruiz
    message = sent(room, pat, contact="pool-0")
    records = room.staff("records@clinic.example", Role.RECORDS, "Rita Records")
    with pytest.raises(NotFoundError):
        room.portal.reading.open_message(records.actor, message)


def test_staff_write_to_many_and_the_blind_copy_is_in_no_header(room: PortalRoom, ruiz: Somebody) -> None:
    room.staff(NURSE, Role.CLINICIAN, "Nurse Kim")
    message = sent(room, ruiz, to=f"{NURSE}; pat@mail.example", bcc="hidden@mail.example")
    assert len(room.portal.reading.recipients(ruiz.actor, message)) == 3
    assert b"hidden@" not in room.portal.reading.open_message(ruiz.actor, message).content


@pytest.mark.parametrize("to", ["not an address", "a@b.example c@d.example", "", "a@b.example\r\nBcc: x@y.example"])
def test_an_address_that_could_be_read_two_ways_is_refused(room: PortalRoom, ruiz: Somebody, to: str) -> None:
    assert isinstance(room.portal.writing.send(ruiz.actor, new_draft(room, to=to)), NotReady)


def test_a_header_cannot_be_smuggled_through_the_subject(room: PortalRoom, ruiz: Somebody) -> None:
    message = sent(room, ruiz, to=RUIZ, subject="Hello\r\nBcc: evil@elsewhere.example\r\n\r\nbody")
    head = room.portal.reading.open_message(ruiz.actor, message).content.partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in head


def test_too_many_recipients_are_refused(room: PortalRoom, ruiz: Somebody) -> None:
    many = ", ".join(f"p{number}@mail.example" for number in range(101))
    assert isinstance(room.portal.writing.send(ruiz.actor, new_draft(room, to=many)), NotReady)


def test_a_draft_is_kept_sealed_comes_back_and_is_its_authors_alone(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    drafts = room.portal.writing.drafts
    name = drafts.new_id()
    drafts.keep(pat.actor, name, None, {"text": "CANARYDRAFT"})
    kept = drafts.latest(pat.actor, None)
    assert kept is not None
    assert kept.fields == {"text": "CANARYDRAFT"}
    assert not room.vault.files_hold(b"CANARYDRAFT")
    assert drafts.latest(ruiz.actor, None) is None
    with pytest.raises(NotFoundError):
        drafts.keep(ruiz.actor, name, None, {"text": "mine now"})
    with pytest.raises(NotFoundError):
        room.portal.writing.send(ruiz.actor, new_draft(room, id=name, to=RUIZ))


def test_a_sent_draft_is_gone_and_cannot_be_written_again(room: PortalRoom, pat: Somebody) -> None:
    drafts = room.portal.writing.drafts
    name = drafts.new_id()
    drafts.keep(pat.actor, name, None, {"text": "hello"})
    sent(room, pat, id=name, contact="pool-0")
    drafts.keep(pat.actor, name, None, {"text": "hello again"})
    assert drafts.latest(pat.actor, None) is None


def test_an_idempotency_key_that_is_none_is_refused(room: PortalRoom, pat: Somebody) -> None:
    with pytest.raises(ForbiddenError):
        room.portal.writing.send(pat.actor, new_draft(room, id="../../x", contact="pool-0"))


def test_spool_without_room_is_told_calmly_and_the_draft_can_be_sent_later(room: PortalRoom, pat: Somebody) -> None:
    sent(room, pat, contact="pool-0")
    draft = new_draft(room, contact="pool-0")
    room.gauge.cap_bytes = 1
    answer = room.portal.writing.send(pat.actor, draft)
    assert isinstance(answer, Refused)
    assert (answer.code, answer.message) == ("spool_full", NO_ROOM)
    room.gauge.cap_bytes = 1 << 40
    assert isinstance(room.portal.writing.send(pat.actor, draft), Accepted)


HTML = b"Content-Type: text/html\r\n\r\n<p>%s</p>"
FILE = b'Content-Type: application/pdf; name="a.pdf"\r\n\r\n%PDF\r\n'
WORDS = b"Content-Type: text/plain\r\n\r\n%s"


def put_together(kind: bytes, boundary: bytes, *parts: bytes) -> bytes:
    head = b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (kind, boundary)
    return head + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


def read_as(room: PortalRoom, ruiz: Somebody, pat: Somebody, content: bytes) -> OpenedMessage:
    opened = room.portal.reading.open_message(pat.actor, room.letter(ruiz, pat))
    return replace(opened, content=content, parsed=parse(content))


def test_a_letter_that_goes_on_behind_a_file_is_shown_to_its_end(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    parts = put_together(b"mixed", b"a", HTML % b"Take one a day.", FILE, HTML % b"Stop if it itches.")
    html = read_as(room, ruiz, pat, parts).html or ""
    assert html.index("Take one a day.") < html.index("Stop if it itches.")
    assert safe_view(html, title="t").document.count("<p>") == 2


def test_a_foot_line_in_plain_text_does_not_hide_a_letter_in_html(
    room: PortalRoom, ruiz: Somebody, pat: Somebody
) -> None:
    parts = put_together(b"mixed", b"a", HTML % b"Take one a day.", WORDS % b"Scanned for viruses.")
    assert read_as(room, ruiz, pat, parts).text == "Take one a day.\n\nScanned for viruses."


def test_what_is_said_in_two_forms_is_shown_once(room: PortalRoom, ruiz: Somebody, pat: Somebody) -> None:
    designed = put_together(b"related", b"b", HTML % b"Take one a day.", FILE)
    parts = put_together(b"alternative", b"a", WORDS % b"Take one a day.", designed)
    assert read_as(room, ruiz, pat, parts).text == "Take one a day."


@pytest.mark.parametrize(("kind", "shown"), [(b"image/png", 1), (b"image/svg+xml", 0), (b"text/html", 0)])
def test_a_picture_that_came_with_the_letter_is_shown_in_its_place(
    room: PortalRoom, ruiz: Somebody, pat: Somebody, kind: bytes, shown: int
) -> None:
    head = b"Content-Type: %s\r\nContent-ID: <rash+1@phone>\r\nContent-Transfer-Encoding: base64\r\n\r\n" % kind
    letter = HTML % b'See <img src="cid:rash%2B1@phone" alt="my arm"> and <img src="cid:other">'
    opened = read_as(room, ruiz, pat, put_together(b"related", b"a", letter, head + b"aGVsbG8="))
    document = safe_view(opened.html or "", title="t", picture_of=opened.picture).document
    assert document.count('src="data:image/png;base64,aGVsbG8="') == document.count("src=") == shown
