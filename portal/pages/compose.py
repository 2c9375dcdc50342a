"""Writing as staff: to anybody, with a lamp under each recipient that says how it will travel before it does."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from litestar import Response

from mailstore.addresses import parse_mailbox
from mailstore.errors import NotFoundError
from mailstore.header_block import headers_of
from mailstore.message import AccountId, MessageId
from mailstore.message_composition import ComposedAttachment
from mailstore.message_parts import Attachment
from portal import answering, html_view
from portal.answering import Original
from portal.drafts import KeptDraft
from portal.forms import Form, Upload
from portal.front_door import Accepted, Refused
from portal.lamps import Lamp
from portal.pages.write import attached, draft_id
from portal.reading import OpenedMessage
from portal.visit import STAFF, Visit, shows, takes
from portal.writing import Draft, NotReady, Problem

RECIPIENT_FIELDS = ("to", "cc", "bcc")
SHEET_FIELDS = ("subject", "text", "answers", "about", "forwards", *RECIPIENT_FIELDS)
_ID = re.compile(r"[a-z2-7]{26}")
_BUSY = "busy"
_BUSY_TRIES, _BUSY_PAUSE_SECONDS = 20, 0.25
"""A second press while the first is at the door waits for its answer: at most five seconds."""


@dataclass(frozen=True)
class Sheet:
    """The page as it is to be shown. ``lamps`` is None until they were asked for."""

    draft: str
    fields: Mapping[str, str] = field(repr=False)
    restored: bool = False
    lamps: Mapping[str, tuple[Lamp, ...]] | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()
    look_first: bool = False
    lost_files: tuple[Upload, ...] = field(default=(), repr=False)
    kept_files: tuple[int, ...] | None = None


@shows("/compose", audience=STAFF)
def compose_page(visit: Visit) -> Response[Any]:
    """A new message, one to a patient, an answer, a message to forward, or what was left unsent."""
    for name, begin in (("draft", _kept), ("reply", _answer), ("forward", _forward), ("patient", _to_patient)):
        if visit.query(name):
            return _page(visit, begin(visit, _message(visit.query(name))))
    kept = visit.portal.writing.drafts.latest(visit.actor, None)
    if kept is None or visit.query("new"):
        return _page(visit, Sheet(visit.portal.writing.drafts.new_id(), {}))
    return _page(visit, _restored(kept))


@takes("/compose/lamps/{field:str}", audience=STAFF)
def lamps(visit: Visit) -> Response[Any]:
    """The lamps under one field, while somebody types."""
    name = visit.path("field")
    if name not in RECIPIENT_FIELDS:
        raise NotFoundError("no such field")
    asked = visit.portal.lamps.under(visit.actor, {name: visit.form.get(name)})
    return visit.page("pages/lamps.html", lamps=asked[name])


@takes("/compose", audience=STAFF, uploads=True)
def compose(visit: Visit) -> Response[Any]:
    """Send, or only look how it would travel. Nothing is sent whose way its writer did not see."""
    sheet = _typed(visit)
    if visit.form.line("act") == "check":
        return _page(visit, sheet)
    problems = tuple(_impossible(sheet))
    if problems:
        return _again(visit, sheet, problems)
    draft = _draft(visit)
    if not _all_seen(visit.form, sheet):
        found = visit.portal.writing.problems(visit.actor, draft)
        return _again(visit, sheet, found) if found else _again(visit, sheet, (), look_first=True)
    return _sent(visit, sheet, draft)


def _sent(visit: Visit, sheet: Sheet, draft: Draft) -> Response[Any]:
    match _send(visit, draft):
        case Accepted(message_id=message):
            return visit.go(f"/sent/{message}?new=yes")
        case Refused(message=words):
            return _again(visit, sheet, (Problem("to", words),))
        case NotReady(problems=problems):
            return _again(visit, sheet, problems)
        case other:
            assert_never(other)


def _send(visit: Visit, draft: Draft) -> Accepted | Refused | NotReady:
    answer = visit.portal.writing.send(visit.actor, draft)
    for _ in range(_BUSY_TRIES):
        if not isinstance(answer, Refused) or answer.code != _BUSY:
            break
        time.sleep(_BUSY_PAUSE_SECONDS)
        answer = visit.portal.writing.send(visit.actor, draft)
    return answer


def _draft(visit: Visit) -> Draft:
    form = visit.form
    answers = form.line("answers")
    return Draft(
        id=draft_id(form),
        text=form.get("text"),
        subject=form.line("subject"),
        to=form.get("to"),
        cc=form.get("cc"),
        bcc=form.get("bcc"),
        answers=_message(answers) if answers else None,
        files=(*_forwarded_files(visit), *attached(form)),
    )


def _forwarded_files(visit: Visit) -> tuple[ComposedAttachment, ...]:
    """Those files of the forwarded message that were left ticked."""
    if not visit.form.line("forwards"):
        return ()
    message = _message(visit.form.line("forwards"))
    opened = (visit.portal.reading.open_attachment(visit.actor, message, place) for place in _ticked(visit.form))
    return tuple(ComposedAttachment(each.file_name, each.content_type, each.content) for each in opened)


def _ticked(form: Form) -> tuple[int, ...]:
    return tuple(int(each) for each in form.all("keep") if each.isascii() and each.isdigit() and len(each) < 4)  # noqa: PLR2004 - no message has a thousand files


def _all_seen(form: Form, sheet: Sheet) -> bool:
    """True when each recipient's lamp, as it stands now, stood on the page that was sent."""
    seen = set(form.all("seen"))
    return all(lamp.seen in seen for several in (sheet.lamps or {}).values() for lamp in several)


def _impossible(sheet: Sheet) -> list[Problem]:
    """What can go to nobody, said beside its field."""
    return [
        Problem(name, f"{lamp.shown}: {lamp.reasons[0] if lamp.reasons else lamp.words.heading}.")
        for name, several in (sheet.lamps or {}).items()
        for lamp in several
        if lamp.words.kind == "bad"
    ]


def _typed(visit: Visit) -> Sheet:
    form = visit.form
    fields = {name: form.get(name) for name in SHEET_FIELDS}
    asked = visit.portal.lamps.under(visit.actor, {name: fields[name] for name in RECIPIENT_FIELDS})
    return Sheet(draft_id(form), fields, lamps=asked, lost_files=form.files, kept_files=_ticked(form))


def _again(visit: Visit, sheet: Sheet, problems: tuple[Problem, ...], *, look_first: bool = False) -> Response[Any]:
    """The same page with what was typed, and what stands against sending."""
    sheet = Sheet(**{**vars(sheet), "problems": problems, "look_first": look_first})
    return _page(visit, sheet)


def _kept(visit: Visit, draft: MessageId) -> Sheet:
    return _restored(visit.portal.writing.drafts.find(visit.actor, draft))


def _restored(kept: KeptDraft) -> Sheet:
    return Sheet(kept.id, {**kept.fields, "about": kept.about or ""}, restored=True)


def _answer(visit: Visit, message: MessageId) -> Sheet:
    opened = visit.portal.reading.open_message(visit.actor, message)
    conversation = opened.stored.conversation
    kept = visit.portal.writing.drafts.latest(visit.actor, conversation)
    if kept is not None and kept.fields.get("answers") == message and not visit.query("new"):
        return _restored(kept)
    me = parse_mailbox(visit.portal.people.me(visit.actor).person.email).canonical
    fields = answering.answer(_original(visit, opened), {me}, to_all=visit.query("all") == "yes")
    about = {"answers": message, "about": conversation}
    return Sheet(visit.portal.writing.drafts.new_id(), {**fields, **about})


def _forward(visit: Visit, message: MessageId) -> Sheet:
    opened = visit.portal.reading.open_message(visit.actor, message)
    fields = {**answering.forward(_original(visit, opened)), "forwards": message}
    return Sheet(visit.portal.writing.drafts.new_id(), fields)


def _to_patient(visit: Visit, patient: str) -> Sheet:
    email = visit.portal.people.patient(visit.actor, AccountId(patient)).person.email
    return Sheet(visit.portal.writing.drafts.new_id(), {"to": email})


def _original(visit: Visit, opened: OpenedMessage) -> Original:
    text = opened.text if opened.text is not None else html_view.plain_words(opened.html or "")
    return Original(
        opened.summary,
        headers_of(opened.content).addresses("reply-to"),
        text.replace("\r\n", "\n"),
        visit.portal.templates.when(opened.stored.received_at),
    )


def _files_of(visit: Visit, message: str) -> tuple[Attachment, ...]:
    return visit.portal.reading.open_message(visit.actor, _message(message)).parsed.attachments if message else ()


def _message(name: str) -> MessageId:
    if not _ID.fullmatch(name):
        raise NotFoundError("no such message")
    return MessageId(name)


def _page(visit: Visit, sheet: Sheet) -> Response[Any]:
    fields = {name: sheet.fields.get(name, "") for name in SHEET_FIELDS}
    return visit.page(
        "pages/compose.html",
        status=422 if sheet.problems or sheet.look_first else 200,
        sheet=sheet,
        fields=fields,
        problems=sheet.problems,
        files=_files_of(visit, fields["forwards"]),
        me=visit.portal.people.me(visit.actor),
    )


ROUTES = (compose_page, lamps, compose)
