"""The people of the practice and its patients: added, found, enrolled, closed. Each call is checked and audited."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mailstore import audit_trail, mailboxes
from mailstore.actor import Actor, Role
from mailstore.addresses import Address, BadAddressError, parse_mailbox
from mailstore.audit_entry import AuditFact
from mailstore.errors import NotFoundError, RefusedError
from mailstore.key_hierarchy import address_index
from mailstore.message import AccountId
from portal import access_rules, second_factor
from portal.account_records import (
    Account,
    AccountState,
    EnrolmentCode,
    Person,
    Secrets,
    canonical_login,
)
from portal.delivery_words import Access
from portal.enrolment import CODE_LENGTH, code_from
from portal.errors import ForbiddenError
from portal.passwords import problem_with
from portal.sign_in import Desk
from portal.throttles import account_subject

APP_PASSWORD_BYTES = 15
"""120 bits: enough for a plain keyed digest."""
LONGEST_NAME = 120

Announce = Callable[[Connection], None]
"""Told, inside a transaction, that addresses changed. The door that has no rows must know of a new one before we do,
and go on taking mail for an old one until we do not."""


@dataclass(frozen=True)
class NewStaff:
    """A new member of staff, and the secrets that are shown once."""

    account: Account
    app_password: str = field(repr=False)
    totp_secret: str = field(repr=False)


@dataclass(frozen=True)
class NewPatient:
    """A new patient, and the code that is handed over outside e-mail."""

    account: Account
    enrolment_code: str = field(repr=False)


@dataclass(frozen=True)
class PatientAccess:
    """A patient as the practice sees them, and what a new code would end."""

    account: Account
    code: EnrolmentCode | None
    has_authenticator: bool = False
    passkeys: int = 0
    sessions: int = 0


@dataclass(frozen=True)
class Contact:
    """Somebody a patient may write to: a pool, or a person. ``key`` names it in forms."""

    key: str
    name: str
    addresses: tuple[Address, ...] = field(repr=False)
    reply_window: str


class People:
    """Accounts as the pages and commands see them."""

    def __init__(self, desk: Desk, *, lookup_key: bytes, announce: Announce) -> None:
        self._desk = desk
        self._lookup_key = lookup_key
        self._announce = announce

    # adding

    def add_staff(self, actor: Actor, email: str, name: str, role: Role, password: str) -> NewStaff:
        """A member of staff with a mailbox, ready to sign in. Raises AccountExistsError, RefusedError."""
        _require(access_rules.may_add_staff(actor) and role in access_rules.STAFF)
        person = _person(email, name)
        secrets, app_password = self._staff_secrets(password, person), self._new_app_password()
        with self._desk.database.write() as connection:
            now = self._desk.clock.now()
            account = self._desk.records.add(connection, person=person, role=role, secrets=secrets, now=now)
            self._desk.records.add_app_password(connection, account.id, app_password, now)
            mailboxes.create(connection, account.id, self.index_of(account))
            self._note(connection, actor, "account.added", account.id, role=role.value)
            self._announce(connection)
        return NewStaff(account, app_password, secrets.totp_secret or "")

    def reset_staff(self, actor: Actor, account: AccountId, password: str) -> NewStaff:
        """New secrets for somebody who works here; all old ones end, and a closed account opens again.

        Raises NotFoundError, RefusedError.
        """
        _require(access_rules.may_add_staff(actor))
        secrets = self._staff_secrets(password, self._staff_member(account).person)
        app_password = self._new_app_password()
        with self._desk.database.write() as connection:
            found = self._desk.records.by_id(connection, account)
            self._end_ways_in(connection, found, secrets, AccountState.ACTIVE)
            self._desk.records.add_app_password(connection, account, app_password, self._desk.clock.now())
            mailbox = mailboxes.of_account(connection, account)
            if mailbox is not None and found.state is AccountState.CLOSED:
                mailboxes.add_address(connection, mailbox, self.index_of(found))
            self._note(connection, actor, "account.factors_reset", account)
            self._announce(connection)
        return NewStaff(found, app_password, secrets.totp_secret or "")

    def change_role(self, actor: Actor, account: AccountId, role: Role) -> Account:
        """Make somebody who works here something else to the practice. They sign in again, to act in the new role.

        Raises NotFoundError, and RefusedError for the last administrator.
        """
        _require(access_rules.may_add_staff(actor) and role in access_rules.STAFF and actor.account != account)
        self._staff_member(account)
        with self._desk.database.write() as connection:
            found = self._desk.records.by_id(connection, account)
            if found.role is role:
                return found
            self._require_another_administrator(connection, found)
            self._desk.records.set_role(connection, account, role)
            self._desk.sessions.end_all(connection, account)
            self._note(connection, actor, "account.role_changed", account, role=role.value, former=found.role.value)
            return self._desk.records.by_id(connection, account)

    def add_patient(self, actor: Actor, email: str, name: str) -> NewPatient:
        """A patient with an enrolment code. Raises AccountExistsError, RefusedError."""
        _require(access_rules.may_enrol_patients(actor))
        person = _person(email, name)
        if parse_mailbox(person.email).domain.lower() in self._desk.settings.local_domains:
            raise RefusedError("this is an address of the practice itself", fix="Add staff as staff.")
        with self._desk.database.write() as connection:
            now = self._desk.clock.now()
            account = self._desk.records.add(connection, person=person, role=Role.PATIENT, secrets=Secrets(), now=now)
            code = self._issue_code(connection, actor, account)
            self._note(connection, actor, "account.added", account.id, role=Role.PATIENT.value)
        return NewPatient(account, code)

    def new_enrolment_code(self, actor: Actor, account: AccountId) -> str:
        """A new code after checking who somebody is. Their old factors, sessions and code end with it."""
        _require(access_rules.may_enrol_patients(actor))
        with self._desk.database.write() as connection:
            found = self._desk.records.by_id(connection, account)
            _require(found.role is Role.PATIENT)
            self._end_ways_in(connection, found, Secrets(), AccountState.INVITED)
            code = self._issue_code(connection, actor, found)
            self._note(connection, actor, "account.factors_reset", account)
        return code

    def new_app_password(self, actor: Actor) -> str:
        """A new app password for one's own mail program; the old ones stop working."""
        _require(actor.role.is_staff)
        app_password = self._new_app_password()
        with self._desk.database.write() as connection:
            self._desk.records.remove_app_passwords(connection, actor.account)
            self._desk.records.add_app_password(connection, actor.account, app_password, self._desk.clock.now())
            self._note(connection, actor, "account.app_password_replaced", actor.account)
        return app_password

    def close(self, actor: Actor, account: AccountId) -> None:
        """End an account: every way in and every session ends, and no address names its mailbox. Its mail stays.

        Raises NotFoundError, and RefusedError for the last administrator.
        """
        with self._desk.database.write() as connection:
            found = self._desk.records.by_id(connection, account)
            _require(access_rules.may_close(actor, found.role) and actor.account != account)
            self._require_another_administrator(connection, found)
            self._end_ways_in(connection, found, Secrets(), AccountState.CLOSED)
            mailbox = mailboxes.of_account(connection, account)
            if mailbox is not None:
                mailboxes.remove_addresses(connection, mailbox)
            self._note(connection, actor, "account.closed", account)
        with self._desk.database.write() as connection:
            self._announce(connection)

    # finding

    def by_email(self, email: str) -> Account:
        """The account with this address. Raises NotFoundError."""
        with self._desk.database.read() as connection:
            account = self._desk.records.by_login(connection, email)
        if account is None:
            raise NotFoundError("nobody with this address")
        return account

    def me(self, actor: Actor) -> Account:
        """The acting person's own account."""
        with self._desk.database.read() as connection:
            return self._desk.records.by_id(connection, actor.account)

    def patient(self, actor: Actor, account: AccountId) -> Account:
        """One patient. Raises NotFoundError, also for those who are not patients."""
        _require(access_rules.may_see_patients(actor))
        with self._desk.database.read() as connection:
            found = self._desk.records.by_id(connection, account)
        if found.role is not Role.PATIENT:
            raise NotFoundError("no such patient")
        return found

    def patients(self, actor: Actor) -> list[Account]:
        """Every patient, by name."""
        _require(access_rules.may_see_patients(actor))
        return self._of_roles(frozenset({Role.PATIENT}))

    def patients_with_codes(self, actor: Actor) -> list[PatientAccess]:
        """Every patient, by name, with the code that was last handed to them."""
        patients = self.patients(actor)
        with self._desk.database.read() as connection:
            return [PatientAccess(each, self._desk.records.enrolment_code(connection, each.id)) for each in patients]

    def patient_access(self, actor: Actor, account: AccountId) -> PatientAccess:
        """One patient, and what a new code would end. Raises NotFoundError."""
        found, records = self.patient(actor, account), self._desk.records
        with self._desk.database.read() as connection:
            return PatientAccess(
                found,
                records.enrolment_code(connection, account),
                has_authenticator=records.secrets_of(connection, account).totp_secret is not None,
                passkeys=len(records.passkeys_of(connection, account)),
                sessions=self._desk.sessions.count(connection, account, self._desk.clock.now()),
            )

    def name_of(self, actor: Actor, address: str) -> str:
        """Whose address this is: a colleague's name, or a patient's for those who may see patients; else nothing."""
        with self._desk.database.read() as connection:
            account = self._desk.records.by_login(connection, address)
        if account is None or not (account.role.is_staff or access_rules.may_see_patients(actor)):
            return ""
        return account.person.name

    def access_of(self, actor: Actor, address: str) -> Access:
        """Whether the person behind an address can open the portal; untold to those who may not see patients."""
        if not access_rules.may_see_patients(actor):
            return Access.UNTOLD
        with self._desk.database.read() as connection:
            account = self._desk.records.by_login(connection, address)
        states = {
            AccountState.INVITED: Access.CODE,
            AccountState.ACTIVE: Access.OPEN,
            AccountState.CLOSED: Access.CLOSED,
        }
        return Access.NONE if account is None else states[account.state]

    def staff(self, actor: Actor) -> list[Account]:
        """Everybody who works here, by name."""
        _require(access_rules.may_see_staff(actor))
        return self._of_roles(access_rules.STAFF)

    def names(self, accounts: frozenset[AccountId]) -> dict[AccountId, Account]:
        """Those of the accounts that still exist, for showing who did something."""
        found: dict[AccountId, Account] = {}
        with self._desk.database.read() as connection:
            for account in accounts:
                try:
                    found[account] = self._desk.records.by_id(connection, account)
                except NotFoundError:
                    continue
        return found

    def by_address(self, connection: Connection, address: str) -> Account | None:
        """Whose address this is, if anybody's here."""
        return self._desk.records.by_login(connection, address)

    def index_of(self, account: Account) -> bytes:
        """The blind index of the person's address."""
        return address_index(self._lookup_key, parse_mailbox(account.person.email))

    def pools(self) -> tuple[Contact, ...]:
        """The groups that patients write to: those in the settings, else everybody at the front desk as one."""
        settings = self._desk.settings
        if settings.pools:
            return tuple(
                Contact(f"pool-{number}", pool.name, (parse_mailbox(pool.address),), pool.reply_window)
                for number, pool in enumerate(settings.pools)
            )
        desk = [each for each in self._of_roles(frozenset({Role.FRONTDESK})) if each.state is AccountState.ACTIVE]
        addresses = tuple(parse_mailbox(each.person.email) for each in desk)
        return (Contact("pool-0", "Front desk", addresses, settings.reply_window),) if addresses else ()

    def contact_at(self, address: Address) -> Contact:
        """Who reads mail to an address of the practice: a group, a person, or, when neither is known, the address."""
        for pool in self.pools():
            if [each.canonical for each in pool.addresses] == [address.canonical]:
                return pool
        with self._desk.database.read() as connection:
            account = self.by_address(connection, address.canonical)
        if account is not None:
            return self.contact_of(account)
        return Contact(address.canonical, address.canonical, (address,), self._desk.settings.reply_window)

    def contact_of(self, account: Account) -> Contact:
        """A member of staff as somebody to write to."""
        address = parse_mailbox(account.person.email)
        return Contact(account.id, account.person.name, (address,), self._desk.settings.reply_window)

    # details

    def _of_roles(self, roles: frozenset[Role]) -> list[Account]:
        with self._desk.database.read() as connection:
            found = self._desk.records.of_roles(connection, roles)
        return sorted(found, key=lambda account: account.person.name.casefold())

    def _issue_code(self, connection: Connection, actor: Actor, account: Account) -> str:
        desk = self._desk
        code, now = code_from(desk.randomness(CODE_LENGTH)), desk.clock.now()
        until = now + desk.settings.enrolment_life
        desk.records.set_enrolment_code(connection, account.id, code, by=actor.account, now=now, until=until)
        return code

    def _staff_member(self, account: AccountId) -> Account:
        with self._desk.database.read() as connection:
            found = self._desk.records.by_id(connection, account)
        if not found.role.is_staff:
            raise NotFoundError("nobody who works here")
        return found

    def _end_ways_in(self, connection: Connection, account: Account, secrets: Secrets, state: AccountState) -> None:
        """Only ``secrets`` open the account from now on; what was counted of wrong ones is forgotten."""
        records = self._desk.records
        records.set_secrets(connection, account.id, secrets, state)
        records.remove_passkeys(connection, account.id)
        records.remove_app_passwords(connection, account.id)
        records.remove_enrolment_code(connection, account.id)
        self._desk.sessions.end_all(connection, account.id)
        self._desk.throttles.forget(connection, account_subject(canonical_login(account.person.email)))

    def _require_another_administrator(self, connection: Connection, account: Account) -> None:
        if account.role is not Role.ADMIN or account.state is AccountState.CLOSED:
            return
        every = self._desk.records.of_roles(connection, frozenset({Role.ADMIN}))
        if not any(each.state is AccountState.ACTIVE and each.id != account.id for each in every):
            raise RefusedError("this is the last administrator", fix="Add another one first.")

    def _staff_secrets(self, password: str, person: Person) -> Secrets:
        self._check_password(password, person)
        totp = second_factor.secret_from(self._desk.randomness(second_factor.SECRET_BYTES))
        return Secrets(self._desk.vault.hashed(password), totp)

    def _check_password(self, password: str, person: Person) -> None:
        about = (person.name, person.email, self._desk.settings.practice)
        problem = problem_with(password, shortest=self._desk.settings.shortest_password, about=about)
        if problem:
            raise RefusedError("the password cannot be used", fix=problem)

    def _new_app_password(self) -> str:
        letters = base64.b32encode(self._desk.randomness(APP_PASSWORD_BYTES)).decode("ascii").lower()
        return "-".join(letters[at : at + 6] for at in range(0, len(letters), 6))

    def _note(self, connection: Connection, actor: Actor, event: str, about: AccountId, **detail: str) -> None:
        audit_trail.append(connection, [AuditFact(event, actor.account, about, detail)], now=self._desk.clock.now())


def _person(email: str, name: str) -> Person:
    plain = " ".join(name.split())
    if not plain or len(plain) > LONGEST_NAME or not plain.isprintable():
        raise RefusedError("the name cannot be used", fix=f"Write a name of 1 to {LONGEST_NAME} characters.")
    try:
        return Person(plain, parse_mailbox(email.strip()).text)
    except BadAddressError as error:
        raise RefusedError("the address cannot be used", fix="Write an address like name@example.com.") from error


def _require(allowed: bool) -> None:  # noqa: FBT001 - the sentence reads `_require(may_...)`
    if not allowed:
        raise ForbiddenError("this is not allowed in your role", fix="Ask somebody whose role allows it.")
