from __future__ import annotations

import base64
import email
import email.policy
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.addresses import Address
from mailstore.header_block import headers_of, parametrised
from mailstore.message import Envelope, Origin, ReceivedMessage
from mailstore.message_parts import Limits, listed, parse, summary_of

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

MIXED = b"""Subject: =?utf-8?q?Ergebnis_f=C3=BCr_Sie?=
From: =?utf-8?q?J=C3=B6rg?= <j@elsewhere.example>
To: "Doe, Jane" <jane@clinic.example>,
 bob@clinic.example
Message-ID: <m1@elsewhere.example>
References: <r1@x.example> <r2@x.example>
In-Reply-To: <r2@x.example>
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PGI+Y2Fmw6k8L2I+
--inner--
--outer
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="report.pdf"
Content-Transfer-Encoding: base64

JVBERi0=
--outer
Content-Type: message/rfc822

Subject: inside

nested text
--outer
Content-Type: image/png
Content-ID: <logo@x>
Content-Disposition: inline
Content-Transfer-Encoding: base64

iVBORw==
--outer--
epilogue
""".replace(b"\n", b"\r\n")


def test_bodies_and_attachments_come_in_the_order_of_the_message() -> None:
    parsed = parse(MIXED)
    assert [(body.kind, body.text) for body in parsed.bodies] == [("text", "café"), ("html", "<b>café</b>")]
    assert [(each.file_name, each.content_type, each.content) for each in parsed.attachments] == [
        ("report.pdf", "application/pdf", b"%PDF-"),
        ("attachment-2.eml", "message/rfc822", b"Subject: inside\r\n\r\nnested text"),
        ("attachment-3", "image/png", b"\x89PNG"),
    ]
    assert [each.position for each in parsed.attachments] == [0, 1, 2]
    assert (parsed.attachments[2].is_inline, parsed.attachments[2].content_id) == (True, "logo@x")
    assert parsed.attachments[0].size_bytes == 5
    assert parsed.problems == ()


def test_mail_with_bare_line_feeds_reads_the_same() -> None:
    parsed = parse(MIXED.replace(b"\r\n", b"\n"))
    assert [body.text for body in parsed.bodies] == ["café", "<b>café</b>"]
    assert parsed.attachments[1].content == b"Subject: inside\n\nnested text"


def test_message_without_mime_is_one_text() -> None:
    (body,) = parse(b"Subject: x\r\n\r\nhello\r\nworld\r\n").bodies
    assert (body.kind, body.text) == ("text", "hello\nworld\n")


def test_text_that_asks_to_be_an_attachment_is_one() -> None:
    parsed = parse(b"Content-Disposition: attachment; filename=a.txt\r\n\r\nhello")
    assert parsed.bodies == ()
    assert parsed.attachments[0].content == b"hello"


def test_digest_parts_are_messages() -> None:
    parsed = parse(b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n\r\nx\r\n--b--\r\n")
    assert [each.content_type for each in parsed.attachments] == ["message/rfc822"]


def test_multipart_without_its_boundary_is_shown_as_text() -> None:
    parsed = parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\nhello")
    assert [body.text for body in parsed.bodies] == ["hello"]
    assert parsed.problems == ("a multipart does not contain its boundary",)


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nhello",
        b"Content-Type: multipart/mixed\r\n\r\nhello",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nhello",
        b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--",
        b"Content-Type: multipart/mixed\r\n\r\n--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nhello",
    ],
)
def test_a_problem_that_cost_no_word_is_no_loss(content: bytes) -> None:
    parsed = parse(content)
    assert "hello" in parsed.bodies[0].text
    assert len(parsed.problems) == 1
    assert parsed.losses == ()


ENCODED = b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed; boundary=other",
        b"Content-Type: multipart/mixed",
        b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b",
    ],
)
def test_an_encoded_part_that_was_not_found_is_a_loss(head: bytes) -> None:
    parsed = parse(head + b"\r\n\r\n" + ENCODED)
    assert parsed.losses == parsed.problems != ()


def test_text_beyond_the_limit_is_cut_and_told() -> None:
    parsed = parse(b"\r\n" + b"x" * 100, Limits(body_bytes=10))
    assert parsed.bodies[0].text == "x" * 10
    assert len(parsed.problems) == len(parsed.losses) == 1


def test_summary_is_what_a_list_shows() -> None:
    envelope = Envelope(Address("j", "elsewhere.example"), (Address("jane", "clinic.example"),))
    summary = summary_of(ReceivedMessage(envelope, MIXED, NOW, Origin.SMTP), "Received: x\r\n")
    assert summary.subject == "Ergebnis für Sie"
    assert summary.from_ == "Jörg <j@elsewhere.example>"
    assert summary.to == '"Doe, Jane" <jane@clinic.example>, bob@clinic.example'
    assert summary.header_message_id == "<m1@elsewhere.example>"
    assert summary.references == ("<r1@x.example>", "<r2@x.example>")
    assert summary.sender == "j@elsewhere.example"
    assert summary.recipients == ("jane@clinic.example",)
    assert summary.trace_fields == "Received: x\r\n"


def test_shown_addresses_cannot_pretend_to_be_others() -> None:
    block = headers_of(b"From: =?utf-8?q?boss=40clinic.example_=3Cx?= <evil@x.example>\r\n\r\n")
    assert listed(block.addresses("from")) == '"boss@clinic.example <x" <evil@x.example>'


def test_damaged_header_block_is_noticed() -> None:
    assert headers_of(b"A: b\r\nC: d\r\n e\r\n\r\nbody").is_whole
    assert headers_of(b"A: b\r\n\tc\r\n").is_whole
    assert headers_of(b"\r\nbody").is_whole
    assert not headers_of(b" continued\r\nA: b\r\n\r\n").is_whole
    assert not headers_of(b"A: b\r\nno field\r\nC: d\r\n\r\n").is_whole
    assert not headers_of(b"A: " + b"x" * 70_000 + b"\r\n\r\n").is_whole


def test_fields_are_found_whatever_their_case_and_repeated_ones_are_counted() -> None:
    block = headers_of(b"SUBJECT: a\r\nsubject : b\r\n\r\nSubject: c")
    assert block.text("subject") == "a"
    assert block.count("subject") == 2
    assert block.values("subject") == (b"a", b"b")


@pytest.mark.parametrize(
    ("raw", "name", "expected"),
    [
        ("text/plain; charset=utf-8", "charset", "utf-8"),
        ('text/plain; CHARSET = "utf-8" ', "charset", "utf-8"),
        ('a/b; name="x; y=z"; y=w', "y", "w"),
        ('a/b; name="a \\" b"', "name", 'a " b'),
        ("a/b; name=a b.pdf; x=y", "name", "a b.pdf"),
        ("a/b; name*0=one; name*1=two", "name", "onetwo"),
        ("a/b; name*=utf-8'en'%C3%A9", "name", "é"),
        ("a/b; name=first; name=second", "name", "first"),
    ],
)
def test_parameters_are_read(raw: str, name: str, expected: str) -> None:
    assert parametrised(raw).parameters[name] == expected


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400),
    st.lists(st.sampled_from([MIXED[:120], b"--outer\r\n", b"--inner--\r\n", b"\r\n", b"=?", b"\xff"]), max_size=8),
)
def test_no_bytes_make_reading_fail(rubbish: bytes, pieces: list[bytes]) -> None:
    for content in (rubbish, MIXED[:400] + rubbish + b"".join(pieces)):
        for attachment in parse(content).attachments:
            assert attachment.size_bytes >= 0


def test_shipped_real_mail_reads_as_the_standard_library_does() -> None:
    """Texts and attachments of each message that comes with the project, against an independent reader."""
    folder = Path(__file__).parents[2] / "data" / "mail"
    paths = [path for name in ("mikel-mail", "spamassassin-public") for path in sorted((folder / name).rglob("*.*"))]
    assert len(paths) > 100
    for path in paths:
        content = path.read_bytes()
        reference = email.message_from_bytes(content)
        if any(part.defects or part.get_content_maintype() == "message" for part in reference.walk()):
            continue
        parsed = parse(content)
        leaves = [part for part in reference.walk() if not part.is_multipart() and str(part.get_payload()).strip()]
        bodies = [body for body in parsed.bodies if body.text.strip()]
        attachments = [each for each in parsed.attachments if each.encoded.tobytes().strip()]
        assert len(leaves) == len(bodies) + len(attachments), path


@pytest.mark.parametrize("named", ["base64 (as ever)", '"base64"', "base64;", "BASE64 , 8bit"])
def test_an_encoding_is_known_whatever_stands_behind_its_name(named: str) -> None:
    """Readers go by the first word (RFC 2045 section 5.1 allows comments), so words could hide from the archive."""
    head = f"Content-Type: text/html (x); charset=utf-8\r\nContent-Transfer-Encoding: {named}\r\n\r\n".encode()
    parsed = parse(head + base64.b64encode(b"<p>the fee</p>"))
    assert [(body.kind, body.text) for body in parsed.bodies] == [("html", "<p>the fee</p>")]


def test_nothing_behind_padding_stays_unread() -> None:
    pieces = [b"a letter", b"x", b", and what follows"]
    head = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert parse(head + b"\r\n".join(map(base64.b64encode, pieces))).bodies[0].text == "a letterx, and what follows"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n",
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n",
    ],
)
def test_what_another_reader_may_see_and_we_do_not_is_a_loss(head: bytes) -> None:
    assert parse(head + b"\r\n--a\r\n\r\nx\r\n--a--\r\n--b\r\n\r\nthe fee\r\n--b--\r\n").losses
