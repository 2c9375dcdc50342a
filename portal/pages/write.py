"""Patients writing: an answer in a conversation, or a new message to somebody at the practice."""

from __future__ import annotations

import re
from typing import Any, assert_never

from litestar import Response

from mailstore.errors import NotFoundError
from mailstore.message_composition import ComposedAttachment
from portal.forms import Form
from portal.front_door import Accepted, Refused
from portal.pages.conversations import conversation
from portal.visit import EVERYBODY, PATIENTS, Visit, shows, takes
from portal.writing import Draft, NotReady, Problem

_ID = re.compile(r"[a-z2-7]{26}")
KEPT_FIELDS = ("text", "subject", "contact", "to", "cc", "bcc", "answers", "forwards")
"""What a draft keeps of a form. Files are not kept: they are chosen again."""


@takes("/conversations/{conversation:str}/answer", audience=PATIENTS, uploads=True)
def answer(visit: Visit) -> Response[Any]:
    """Send an answer."""
    name = visit.path("conversation")
    newest = visit.portal.conversations.conversation(visit.actor, name)[-1]
    text = visit.form.get("text")
    draft = Draft(id=draft_id(visit.form), text=text, answers=newest.id, files=attached(visit.form))
    match visit.portal.writing.send(visit.actor, draft):
        case Accepted():
            return visit.go(f"/conversations/{name}?sent=yes#main")
        case Refused(message=message):
            return conversation(visit, name, text=text, draft=draft.id, problems=(Problem("text", message),))
        case NotReady(problems=problems):
            return conversation(visit, name, text=text, draft=draft.id, problems=problems)
        case other:
            assert_never(other)


@shows("/write", audience=PATIENTS)
def write_page(visit: Visit) -> Response[Any]:
    """A new message, or the one that was left unsent."""
    kept = visit.portal.writing.drafts.latest(visit.actor, None)
    draft = kept.id if kept else visit.portal.writing.drafts.new_id()
    return _write_page(visit, Form(tuple(kept.fields.items())) if kept else Form(), draft, restored=kept is not None)


@takes("/write", audience=PATIENTS, uploads=True)
def write(visit: Visit) -> Response[Any]:
    """Send a new message."""
    form = visit.form
    draft = Draft(
        id=draft_id(form),
        text=form.get("text"),
        subject=form.line("subject"),
        contact=form.line("contact"),
        files=attached(form),
    )
    match visit.portal.writing.send(visit.actor, draft):
        case Accepted():
            return visit.go("/conversations?sent=yes")
        case Refused(message=message):
            return _write_page(visit, form, draft.id, problems=(Problem("text", message),))
        case NotReady(problems=problems):
            return _write_page(visit, form, draft.id, problems=problems)
        case other:
            assert_never(other)


@takes("/drafts", audience=EVERYBODY, uploads=True)
def keep_draft(visit: Visit) -> Response[Any]:
    """Keep what was typed; a script asks while one types, a button asks without script."""
    form = visit.form
    about = form.line("about") or None
    if about is not None and not _ID.fullmatch(about):
        raise NotFoundError("no such conversation")
    fields = {name: form.get(name) for name in KEPT_FIELDS if form.is_set(name)}
    draft = draft_id(form)
    visit.portal.writing.drafts.keep(visit.actor, draft, about, fields)
    patients_back = f"/conversations/{about}" if about else "/write"
    return visit.page(
        "pages/draft_kept.html", back=f"/compose?draft={draft}" if visit.actor.role.is_staff else patients_back
    )


def attached(form: Form) -> tuple[ComposedAttachment, ...]:
    """The files of a form, as parts of a message."""
    return tuple(ComposedAttachment(each.file_name, each.content_type, each.content) for each in form.files)


def draft_id(form: Form) -> str:
    """The form's own name for what it sends. Raises NotFoundError for what we did not mint the like of."""
    name = form.line("draft")
    if not _ID.fullmatch(name):
        raise NotFoundError("no such draft")
    return name


def _write_page(
    visit: Visit, form: Form, draft: str, *, problems: tuple[Problem, ...] = (), restored: bool = False
) -> Response[Any]:
    contacts = visit.portal.writing.contacts(visit.actor)
    return visit.page(
        "pages/write.html",
        status=422 if problems else 200,
        contacts=contacts,
        form=form,
        draft=draft,
        problems=problems,
        restored=restored,
    )


ROUTES = (answer, write_page, write, keep_draft)
