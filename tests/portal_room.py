"""A whole portal over real files: real rows, real keys, the real front door. For tests of pages and services."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyotp
from litestar import Litestar
from litestar.testing import TestClient

import appliance.tables
import portal.tables
from appliance import encryption_policy
from appliance.acceptance import Acceptance
from appliance.directory import Directory
from appliance.health_finding import Finding
from appliance.smtp_acceptance import AcceptanceLimits
from archive.certification import StaffMember
from mailstore.actor import SYSTEM, Actor, Role
from mailstore.addresses import Address, parse_mailbox
from mailstore.audit_entry import AuditEntry
from mailstore.audit_trail import tail
from mailstore.deposit import Deposit
from mailstore.message import (
    AccountId,
    Envelope,
    MessageId,
    Origin,
    Peer,
    ReceivedMessage,
    RecipientPlan,
    RecipientState,
    Route,
)
from mailstore.message_composition import ComposedAttachment, ComposedMessage, compose, new_message_id
from mailstore.message_parts import summary_of
from portal import access_rules
from portal.account_records import Account
from portal.app import create_app
from portal.front_door import PreviewedRoute
from portal.parts import Parts, Portal, open_portal
from portal.sessions import Session
from portal.settings import PasswordCost, PortalSettings
from portal.unsealing import Opening, networks_of
from tests.archive_room import NO_COOLING_OFF, VaultArchive
from tests.vault_room import RING, Vault

ORIGIN = "https://portal.clinic.example"
CHEAP = PasswordCost(memory_kib=64, passes=1, lanes=1, at_once=2)
STAFF_PASSWORD = "a lamp beside the door"
PATIENT_PASSWORD = "blue horses eat soup"
PATIENT_EMAIL = "pat@mail.example"
OTHER_PATIENT_EMAIL = "olga@mail.example"
RUIZ = "ruiz@clinic.example"
NURSE = "nurse@clinic.example"
HTML_TEXT = "<p>Your <b>next visit</b> is on Monday. <a href='https://clinic.example/map'>The way</a></p>"


def settings(**changes: Any) -> PortalSettings:
    plain = PortalSettings(
        practice="Riverside Clinic",
        origin=ORIGIN,
        local_domains=frozenset({"clinic.example"}),
        recognition_phrase="heron at noon",
        password_cost=CHEAP,
    )
    return replace(plain, **changes)


@dataclass(frozen=True)
class Somebody:
    """A person with everything they sign in with."""

    account: Account
    password: str
    totp_secret: str
    app_password: str = ""
    enrolment_code: str = ""

    @property
    def actor(self) -> Actor:
        return Actor(self.account.id, self.account.role)

    @property
    def email(self) -> str:
        return self.account.person.email


class Visitor:
    """A browser without script: it follows links, keeps cookies, and sends the forms that pages show."""

    def __init__(self, client: TestClient[Litestar]) -> None:
        self.client = client
        self.page = httpx.Response(200)

    def get(self, path: str, **headers: str) -> httpx.Response:
        self.page = self.client.get(path, headers=headers, follow_redirects=True)
        return self.page

    def token(self) -> str:
        return hidden(self.page.text, "form_token")

    def post(
        self,
        path: str,
        fields: Mapping[str, str],
        files: Sequence[tuple[str, tuple[str, bytes, str]]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a form, with the token of the page that was looked at last unless ``fields`` brings another."""
        data = {"form_token": self.token() if "form_token" not in fields else "", **fields}
        self.page = self.client.post(
            path, data=data, files=list(files) or None, headers=dict(headers or {}), follow_redirects=True
        )
        return self.page

    @property
    def at(self) -> str:
        return self.page.url.path


class Lamps:
    """What can be told of a route without asking anybody's server."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def preview(self, addresses: Sequence[Address]) -> tuple[PreviewedRoute, ...]:
        located = [self._directory.locate(address) for address in addresses]
        return tuple(PreviewedRoute(each.address, *encryption_policy.preview(each)) for each in located)


@dataclass
class ReportedHealth:
    """What the doctor said of a practice, for the page that shows it."""

    found: list[Finding] = field(default_factory=list)

    def checks(self) -> list[Finding]:
        return self.found


@dataclass
class PortalRoom:
    """The portal of Riverside Clinic."""

    directory: Path
    settings: PortalSettings = field(default_factory=settings)

    def __post_init__(self) -> None:
        self.vault = Vault(self.directory)
        self.clock = self.vault.clock
        self.database = self.vault.database
        self.database.create_all(portal.tables.METADATA)
        self.database.create_all(appliance.tables.METADATA)
        self.depositor = self.vault.depositor()
        directory = Directory(self.database, lookup_key=RING.lookup_key, domains=["clinic.example"], fresh_seconds=0)
        self.gauge = self.vault.gauge()
        self.door = Acceptance(
            self.depositor,
            directory,
            gauge=self.gauge,
            limits=AcceptanceLimits(60_000_000),
            host_name="portal.clinic.example",
        )
        self.archive = VaultArchive(
            self.vault, self._staff_member, cooling_off=NO_COOLING_OFF, mailboxes=self._mailboxes
        )
        self.health = ReportedHealth()
        self.parts = Parts(
            settings=self.settings,
            database=self.database,
            ring=RING,
            retrieval=self.vault.retrieval(),
            front_door=self.door,
            route_preview=Lamps(directory),
            archive=self.archive.room,
            health=self.health,
            announce=lambda _connection: None,
            opening=Opening(networks_of("127.0.0.1/32"), lambda: None),
            clock=self.clock,
            randomness=os.urandom,
        )
        self.portal: Portal = open_portal(self.parts)

    def _staff_member(self, account: AccountId) -> StaffMember:
        found = self.portal.people.names(frozenset({account}))[account]
        return StaffMember(found.person.name, found.role.value)

    def _mailboxes(self) -> dict[str, str]:
        with self.database.read() as connection:
            staff = self.portal.desk.records.of_roles(connection, access_rules.STAFF)
        return {each.person.email: each.person.name for each in staff}

    def app(self) -> Litestar:
        return create_app(self.parts)

    @contextmanager
    def visitor(self) -> Iterator[Visitor]:
        with TestClient(self.app(), base_url=self.settings.origin, raise_server_exceptions=False) as client:
            yield Visitor(client)

    # people

    def staff(self, email: str = RUIZ, role: Role = Role.FRONTDESK, name: str = "Dr. Elena Ruiz") -> Somebody:
        new = self.portal.people.add_staff(SYSTEM, email, name, role, STAFF_PASSWORD)
        return Somebody(new.account, STAFF_PASSWORD, new.totp_secret, app_password=new.app_password)

    def invited(self, email: str = PATIENT_EMAIL, name: str = "Pat Doe") -> Somebody:
        new = self.portal.people.add_patient(SYSTEM, email, name)
        return Somebody(new.account, PATIENT_PASSWORD, "", enrolment_code=new.enrolment_code)

    def patient(self, email: str = PATIENT_EMAIL, name: str = "Pat Doe") -> Somebody:
        """A patient who has enrolled with an authenticator app."""
        somebody = self.invited(email, name)
        enrolment, session = self.portal.enrolment, self.portal.desk.sessions.anonymous()
        coded = enrolment.code(session, email, somebody.enrolment_code, "192.0.2.9")
        chosen = enrolment.password(self.found(coded), PATIENT_PASSWORD)
        assert not isinstance(chosen, str)
        secret = enrolment.offered_secret(self.found(chosen))
        enrolment.authenticator(self.found(chosen), self.code(secret), "192.0.2.9")
        self.clock.advance(timedelta(minutes=2))
        account = self.portal.people.by_email(email)
        return replace(somebody, account=account, totp_secret=secret)

    def found(self, session: object) -> Session:
        assert isinstance(session, Session)
        again = self.portal.desk.sessions.find(session.id, self.clock.now())
        assert again is not None
        return again

    def code(self, secret: str) -> str:
        return str(pyotp.TOTP(secret).at(self.clock.now()))

    def sign_in(self, visitor: Visitor, somebody: Somebody, next_path: str = "") -> httpx.Response:
        """Password, then one-time code. The clock moves on, so that the next code is a fresh one."""
        visitor.get(f"/sign-in?next={next_path}" if next_path else "/sign-in")
        visitor.post("/sign-in", {"login": somebody.email, "password": somebody.password, "next": next_path})
        answer = visitor.post("/sign-in/code", {"code": self.code(somebody.totp_secret), "next": next_path})
        self.clock.advance(timedelta(minutes=1))
        return answer

    # mail

    def letter(
        self,
        author: Somebody,
        patient: Somebody,
        *,
        subject: str = "Your results",
        text: str = "All is well.",
        html_text: str | None = None,
        attachments: tuple[ComposedAttachment, ...] = (),
    ) -> MessageId:
        """A message of the practice that waits for a patient in the portal, as the outbound worker leaves it."""
        sender, to = parse_mailbox(author.email), parse_mailbox(patient.email)
        composed = ComposedMessage(
            from_name=author.account.person.name,
            from_address=sender,
            to=(to,),
            subject=subject,
            text=text,
            html=html_text,
            attachments=attachments,
        )
        now = self.clock.now()
        content = compose(composed, now=now, message_id=new_message_id(os.urandom(16), "clinic.example"))
        received = ReceivedMessage(
            Envelope(sender, (to,)), content, now, Origin.WEBMAIL, Peer(account=author.account.id)
        )
        plan = RecipientPlan(to, Route.PORTAL, ("the server offered no TLS",), RecipientState.NOTIFIED)
        message = self.depositor.deposit(
            Deposit(received, summary_of(received, ""), (plan,), (), (), sent_mailbox=author.account.id)
        )
        self.clock.advance(timedelta(seconds=10))
        return message

    def audit(self, count: int = 50) -> list[AuditEntry]:
        with self.database.read() as connection:
            return tail(connection, count)

    def events(self, count: int = 50) -> list[str]:
        return [entry.event for entry in self.audit(count)]

    def close(self) -> None:
        self.depositor.close()
        self.archive.close()
        self.vault.close()


def hidden(page: str, name: str) -> str:
    """The value of a hidden field. An empty one when the page has no form."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return html.unescape(found.group(1)) if found else ""


@contextmanager
def portal_room(directory: Path, **changes: Any) -> Iterator[PortalRoom]:
    room = PortalRoom(directory, settings(**changes))
    try:
        yield room
    finally:
        room.close()
