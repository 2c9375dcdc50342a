"""A notice names the practice, its phrase and the way in; nothing else, in either language."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from appliance import pickup_notice
from appliance.pickup_notice import TEXTS, Notice, NoticeSettings
from mailstore.addresses import parse_mailbox

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SETTINGS = NoticeSettings(
    practice_name="Clinic & Sons",
    recognition_phrase="The blue door is open",
    portal_url="https://portal.clinic.example/",
    from_address="notices@clinic.example",
)
NOTICE = Notice(to=parse_mailbox("patient@home.example"), link="https://portal.clinic.example/m/abc?x=1&y=2")


def composed(settings: NoticeSettings) -> EmailMessage:
    content = pickup_notice.compose(NOTICE, settings, now=NOW, message_id="<n1@clinic.example>")
    return email.message_from_bytes(content, policy=email.policy.default)


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_the_text_holds_practice_phrase_link_and_the_way_without_the_link() -> None:
    text = " ".join(text_of(composed(SETTINGS), "plain").split())
    assert "Clinic & Sons has written you a message" in text
    assert "The blue door is open" in text
    assert NOTICE.link in text
    assert "You do not need the link. You can also type https://portal.clinic.example/ into" in text


def test_the_html_says_the_same_with_everything_escaped() -> None:
    page = text_of(composed(SETTINGS), "html")
    assert "Clinic &amp; Sons" in page
    assert 'href="https://portal.clinic.example/m/abc?x=1&amp;y=2"' in page
    assert "<img" not in page
    assert "<script" not in page


def test_a_practice_name_cannot_write_markup() -> None:
    page = text_of(composed(replace(SETTINGS, practice_name="<script>alert(1)</script>")), "html")
    assert "<script" not in page


def test_a_notice_is_marked_as_automatic_and_comes_from_the_practice() -> None:
    message = composed(SETTINGS)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"].addresses[0].display_name == "Clinic & Sons"
    assert message["To"] == "patient@home.example"


def test_spanish_is_a_whole_catalogue_of_its_own() -> None:
    spanish = composed(replace(SETTINGS, language="es"))
    assert spanish["Subject"].startswith("Tiene un mensaje seguro")
    assert "inicie sesión" in text_of(spanish, "plain")
    english = vars(TEXTS["en"])
    assert all(english[name] != sentence for name, sentence in vars(TEXTS["es"]).items())


def test_an_unknown_language_falls_back_to_english() -> None:
    assert composed(replace(SETTINGS, language="xx"))["Subject"].startswith("A secure message")


def test_without_a_phrase_the_sentence_about_it_is_left_out() -> None:
    assert "by this phrase" not in text_of(composed(replace(SETTINGS, recognition_phrase=" ")), "plain")


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_braces_in_settings_are_not_filled_in_again(language: str) -> None:
    settings = replace(SETTINGS, language=language, practice_name="Clinic {word}")
    assert "Clinic {word}" in composed(settings)["Subject"]
