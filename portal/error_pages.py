"""What a stranger hears when something does not go as asked: calm, generic, and never the message of an exception."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from archive.two_persons import NotPermittedError
from mailstore.errors import (
    DestroyedError,
    LimitExceededError,
    NotFoundError,
    RefusedError,
    StorageUnavailableError,
    StrongroomError,
)
from portal.errors import (
    ForbiddenError,
    ForgedFormError,
    NotSignedInError,
    StepMissingError,
    TooManyTriesError,
    UnknownHostError,
)
from portal.forms import UnreadableFormError
from portal.parts import Portal
from portal.visit import HTML, local_path, sign_in_path

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ErrorWords:
    """Status, heading and what to do now."""

    status: int
    heading: str
    text: str


NOT_FOUND = ErrorWords(404, "Page not found", "It may have been moved, or it is not yours to open.")
FORBIDDEN = ErrorWords(403, "Not allowed", "Your role does not allow this. Ask the practice's administrator.")
FORGED = ErrorWords(
    403, "This form is out of date", "Nothing was changed. Go back, load the page again and send the form once more."
)
WRONG_SITE = ErrorWords(421, "Wrong address", "This site answers only under its own name.")
TOO_LARGE = ErrorWords(413, "Too large", "What you sent is larger than this page takes. Send less at once.")
UNREADABLE = ErrorWords(400, "The form could not be read", "Go back, load the page again and try once more.")
REFUSED = ErrorWords(409, "This cannot be done", "Nothing was changed. Go back and look at the page again.")
GONE = ErrorWords(410, "This message no longer exists", "It was destroyed at the end of its time, as the rules ask.")
WRONG_METHOD = ErrorWords(405, "This page works differently", "Start again from the first page.")
OUR_FAULT = ErrorWords(
    503, "Something is wrong on our side", "Nothing you wrote was lost. Please try again in a few minutes."
)
_WORDS: tuple[tuple[type[StrongroomError], ErrorWords], ...] = (
    (UnknownHostError, WRONG_SITE),
    (ForgedFormError, FORGED),
    (ForbiddenError, FORBIDDEN),
    (NotPermittedError, FORBIDDEN),
    (UnreadableFormError, UNREADABLE),
    (LimitExceededError, TOO_LARGE),
    (NotFoundError, NOT_FOUND),
    (DestroyedError, GONE),
    (RefusedError, REFUSED),
    (StorageUnavailableError, OUR_FAULT),
)


def handlers() -> ExceptionHandlersMap:
    """For ``create_app``: every error becomes a page of ours."""
    return {StrongroomError: expected, HTTPException: from_framework, Exception: unexpected}


def expected(request: Request[Any, Any, Any], error: StrongroomError) -> Response[str]:
    """An error that the house knows."""
    if isinstance(error, (NotSignedInError, StepMissingError)):
        return _to_the_sign_in(request, error)
    if isinstance(error, TooManyTriesError):
        return _wait(request, error)
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), OUR_FAULT)
    if words is OUR_FAULT:
        LOG.error("page failed", extra={"code": error.code, "route": _route(request)})
    return _page(request, words)


def from_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
    """Unknown paths, wrong methods, bodies over the limit."""
    by_status = {404: NOT_FOUND, 405: WRONG_METHOD, 413: TOO_LARGE}
    words = by_status.get(error.status_code, UNREADABLE if error.status_code < 500 else OUR_FAULT)  # noqa: PLR2004 - RFC 9110
    return _page(request, words)


def unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """A mistake of ours. The log keeps its type and place; its text may hold what somebody wrote."""
    LOG.error("page crashed", extra={"route": _route(request)}, exc_info=error)
    return _page(request, OUR_FAULT)


def refusal_words(error: StrongroomError) -> str:
    """A refusal as a sentence, with what to do, for the page of somebody who may know why."""
    words = f"{error.message}. {error.fix}".strip()
    return words[:1].upper() + words[1:]


def _to_the_sign_in(request: Request[Any, Any, Any], error: StrongroomError) -> Response[str]:
    is_get = request.method == "GET"
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    path = sign_in_path(wanted) if isinstance(error, NotSignedInError) and is_get and local_path(wanted) else "/sign-in"
    if request.headers.get("hx-request"):
        return Response("", media_type=HTML, status_code=200, headers={"HX-Redirect": path})
    return Response("", media_type=HTML, status_code=303, headers={"Location": path})


def _wait(request: Request[Any, Any, Any], error: TooManyTriesError) -> Response[str]:
    minutes = -(-error.seconds // 60)
    wait = f"{error.seconds} seconds" if error.seconds <= 60 else f"{minutes} minutes"  # noqa: PLR2004 - a minute
    text = f"There were several wrong answers. Wait {wait}, then try again. If you need help, telephone the practice."
    answer = _page(request, ErrorWords(429, "Please wait a moment", text))
    answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _page(request: Request[Any, Any, Any], words: ErrorWords) -> Response[str]:
    portal: Portal = request.app.state.portal
    text = portal.templates.render("error.html", layout="bare.html", words=words)
    return Response(text, media_type=HTML, status_code=words.status)


def _route(request: Request[Any, Any, Any]) -> str:
    """The pattern of the path, never the path itself."""
    return str(request.scope.get("path_template", "unknown"))
