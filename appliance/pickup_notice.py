"""Core: the mail that tells a patient that a message waits in the portal.

The notice is the only thing that may travel without verified TLS, because it carries nothing about health:
the practice's name, its recognition phrase, a link that only locates the message and opens nothing, and how
to reach the page without the link. It never holds the subject, the writer's own words, or a patient's name.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from mailstore import message_composition
from mailstore.addresses import Address, parse_mailbox
from mailstore.message_composition import ComposedMessage

SENDER_NAME = "notices"
"""The local part of the address that notices come from; bounces come back to it with a mark after ``+``."""


@dataclass(frozen=True)
class NoticeSettings:
    """How this practice writes its notices.

    ``recognition_phrase`` is known to the practice's patients and tells a real notice from a forged one.
    ``portal_url`` is where the portal begins, such as ``https://portal.clinic.example/``.
    """

    practice_name: str
    recognition_phrase: str
    portal_url: str
    from_address: str
    language: str = "en"


@dataclass(frozen=True)
class NoticeTexts:
    """The sentences of a notice in one language; ``{practice}``, ``{phrase}``, ``{portal}`` are filled in."""

    subject: str
    greeting: str
    waiting: str
    link: str
    without_link: str
    phrase: str
    caution: str
    closing: str


TEXTS: Mapping[str, NoticeTexts] = MappingProxyType(
    {
        "en": NoticeTexts(
            subject="A secure message from {practice} is waiting for you",
            greeting="Hello,",
            waiting="{practice} has written you a message. It is kept in our secure portal.",
            link="To read it, open this page and sign in:",
            without_link=(
                "You do not need the link. You can also type {portal} into your browser, sign in, "
                "and find the message in your inbox."
            ),
            phrase="You can tell that this notice is ours by this phrase: {phrase}",
            caution="We never ask for your password or a code by e-mail or telephone.",
            closing="If you have no access yet, or did not expect this, please ask at the practice.",
        ),
        "es": NoticeTexts(
            subject="Tiene un mensaje seguro de {practice}",
            greeting="Hola:",
            waiting="{practice} le ha escrito un mensaje. Se guarda en nuestro portal seguro.",
            link="Para leerlo, abra esta página e inicie sesión:",
            without_link=(
                "No necesita el enlace. También puede escribir {portal} en su navegador, iniciar sesión "
                "y encontrar el mensaje en su bandeja de entrada."
            ),
            phrase="Reconocerá que este aviso es nuestro por esta frase: {phrase}",
            caution="Nunca le pediremos su contraseña ni un código por correo o por teléfono.",
            closing="Si aún no tiene acceso o no esperaba este aviso, pregunte en la consulta.",
        ),
    }
)


@dataclass(frozen=True)
class Notice:
    """One notice to write: to whom, and the locator that leads to the message after sign-in."""

    to: Address
    link: str = field(repr=False)


def compose(notice: Notice, settings: NoticeSettings, *, now: datetime, message_id: str) -> bytes:
    """The notice as RFC 5322 bytes: a plain text and a simple HTML text that say the same.

    A language without a catalogue falls back to English.
    """
    texts = _filled(TEXTS.get(settings.language, TEXTS["en"]), settings)
    composed = ComposedMessage(
        from_name=settings.practice_name,
        from_address=parse_mailbox(settings.from_address),
        to=(notice.to,),
        subject=texts.subject,
        text=_as_text(texts, notice.link),
        html=_as_html(texts, notice.link, settings.language),
        automatic=True,
    )
    return message_composition.compose(composed, now=now, message_id=message_id)


def _filled(texts: NoticeTexts, settings: NoticeSettings) -> NoticeTexts:
    def fill(sentence: str) -> str:
        return (
            sentence.replace("{practice}", settings.practice_name)
            .replace("{phrase}", settings.recognition_phrase)
            .replace("{portal}", settings.portal_url)
        )

    without_phrase = "" if not settings.recognition_phrase.strip() else fill(texts.phrase)
    return NoticeTexts(
        subject=fill(texts.subject),
        greeting=texts.greeting,
        waiting=fill(texts.waiting),
        link=texts.link,
        without_link=fill(texts.without_link),
        phrase=without_phrase,
        caution=texts.caution,
        closing=texts.closing,
    )


def _as_text(texts: NoticeTexts, link: str) -> str:
    paragraphs = (
        texts.greeting,
        texts.waiting,
        f"{texts.link}\n{link}",
        texts.without_link,
        texts.phrase,
        texts.caution,
        texts.closing,
    )
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def _as_html(texts: NoticeTexts, link: str, language: str) -> str:
    target = html.escape(link, quote=True)
    anchor = f'{html.escape(texts.link)}<br><a href="{target}">{target}</a>'
    plain = (texts.without_link, texts.phrase, texts.caution, texts.closing)
    paragraphs = [html.escape(texts.greeting), html.escape(texts.waiting), anchor]
    paragraphs += [html.escape(sentence) for sentence in plain if sentence]
    inner = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f'<!DOCTYPE html>\n<html lang="{html.escape(language, quote=True)}">\n'
        f"<head><title>{html.escape(texts.subject)}</title></head>\n<body>\n{inner}\n</body>\n</html>\n"
    )
