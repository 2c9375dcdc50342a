"""Forms are read within limits, in memory, and never adopt what they cannot read."""

from __future__ import annotations

import pytest

from mailstore.errors import LimitExceededError
from portal.errors import ForgedFormError
from portal.forms import Form, UnreadableFormError, parse, require_token

MULTIPART = "multipart/form-data; boundary=frontier"


def part(name: str, content: str, file_name: str | None = None) -> str:
    more = f'; filename="{file_name}"' if file_name is not None else ""
    return f'--frontier\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{content}\r\n'


def multipart(*parts: str) -> bytes:
    return ("".join(parts) + "--frontier--\r\n").encode()


def test_fields_and_files_arrive_whole() -> None:
    body = multipart(part("text", "two\r\nlines"), part("files", "bytes", "a.txt"), part("files", "more", "b.txt"))
    form = parse(body, MULTIPART, files_at_most=10)
    assert form.get("text") == "two\nlines"
    assert [(file.file_name, file.content) for file in form.files] == [("a.txt", b"bytes"), ("b.txt", b"more")]


def test_an_empty_file_field_is_no_file() -> None:
    assert parse(multipart(part("files", "", "")), MULTIPART, files_at_most=10).files == ()


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\\\temp\\\\x.txt", "/x.txt"])
def test_a_file_name_never_keeps_its_folders(name: str) -> None:
    form = parse(multipart(part("files", "x", name)), MULTIPART, files_at_most=10)
    assert "/" not in form.files[0].file_name
    assert "\\" not in form.files[0].file_name


def test_more_files_than_stated_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        parse(multipart(*(part("files", "x", "a") for _ in range(3))), MULTIPART, files_at_most=2)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"text": "x"}', "application/json"),
        (b"text=%ff%fe", "application/x-www-form-urlencoded"),
        (b"a=1&" * 400, "application/x-www-form-urlencoded"),
        (b"--frontier\r\nno end", MULTIPART),
        (multipart(*(part(str(number), "x") for number in range(400))), MULTIPART),
        (b"x", "multipart/form-data"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"x=1", "text/plain"),
    ],
)
def test_what_no_browser_sends_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises((UnreadableFormError, LimitExceededError)):
        parse(body, kind, files_at_most=10)


@pytest.mark.parametrize("given", ["", "wrong", "é"])
def test_a_form_without_this_sessions_token_is_forged(given: str) -> None:
    with pytest.raises(ForgedFormError):
        require_token(Form((("form_token", given),)), "right")


def test_a_line_is_trimmed_and_a_text_keeps_its_spaces() -> None:
    form = Form((("subject", "  a \r\n b "), ("text", " a  b ")))
    assert form.line("subject") == "a b"
    assert form.get("text") == " a  b "
    assert not form.is_set("nothing")
