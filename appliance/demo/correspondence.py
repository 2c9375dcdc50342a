"""Mail as other programs send it: over SMTP to the practice, and over submission from a staff member's client."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path

from appliance.demo.cast import COLLEAGUE, DOMAIN
from mailstore.errors import NotFoundError

REAL_MAIL = Path(__file__).resolve().parents[2] / "tests" / "data" / "mail"


@dataclass(frozen=True)
class File:
    """An attachment to send."""

    name: str
    kind: str
    content: bytes = field(repr=False)


def letter(
    *, sender: str, recipients: Iterable[str], subject: str, text: str, files: Iterable[File] = ()
) -> EmailMessage:
    """A message as an ordinary mail client writes it."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = sender, ", ".join(recipients), subject
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message.set_content(text)
    for file in files:
        main, _, sub = file.kind.partition("/")
        message.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name)
    return message


@dataclass(frozen=True)
class PostOffice:
    """The appliance's SMTP doors on 127.0.0.1, and the authority that its certificate comes from."""

    smtp_port: int
    submission_port: int
    ca_certificate: Path

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_certificate))

    def deliver(self, content: bytes, *, sender: str, recipients: list[str]) -> None:
        """Hand in a message from outside, over STARTTLS."""
        with smtplib.SMTP("localhost", self.smtp_port, timeout=30) as client:
            client.starttls(context=self._context())
            client.sendmail(sender, recipients, content)

    def deliver_many(self, contents: Iterable[bytes], recipients: list[str], progress: Callable[[int], None]) -> int:
        """Hand in many messages over one connection; messages the server refuses by its rules are passed over."""
        accepted = 0
        with smtplib.SMTP("localhost", self.smtp_port, timeout=60) as client:
            client.starttls(context=self._context())
            for number, content in enumerate(contents):
                try:
                    client.sendmail(COLLEAGUE.email, [recipients[number % len(recipients)]], content)
                    accepted += 1
                except smtplib.SMTPDataError:
                    client.rset()
                progress(accepted)
        return accepted

    def submit(self, message: EmailMessage, *, login: str, app_password: str, recipients: list[str]) -> None:
        """Send as a staff member's mail client does: port 587, STARTTLS, AUTH."""
        with smtplib.SMTP("localhost", self.submission_port, timeout=30) as client:
            client.starttls(context=self._context())
            client.login(login, app_password)
            client.send_message(message, from_addr=login, to_addrs=recipients)

    def relay_attempt(self) -> int:
        """Try to use the practice's server to reach a stranger; returns the SMTP code it answered."""
        with smtplib.SMTP("localhost", self.smtp_port, timeout=30) as client:
            client.ehlo(f"probe.{DOMAIN}")
            client.mail(COLLEAGUE.email)
            return client.rcpt("stranger@elsewhere.example")[0]


def real_messages(folder: Path = REAL_MAIL) -> Iterator[bytes]:
    """The shipped real messages, with CRLF line endings as SMTP wants them."""
    paths = sorted(folder.rglob("*.eml"))
    if not paths:
        raise NotFoundError(f"no mail in {folder}", fix="run the demonstration from a checkout of Strongroom")
    for path in paths:
        yield b"\r\n".join(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
