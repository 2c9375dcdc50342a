"""A data directory after a whole life, lived in this process: real files and every kind of row, in a few seconds.

Mail is taken in at the front door, promoted, captured, indexed, classified, held, disposed of and certified; people
have signed in. What ``serve`` and the portal add to it is lived through in the flows.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp

from appliance import archive_wiring, cli, command_sign_in, portal_wiring, store_wiring
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from archive.intake import Intake
from mailstore import audit_trail
from mailstore.actor import SYSTEM, Actor, Role
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage
from mailstore.promotion import Promotion
from portal.front_door import Accepted
from tests import database_room
from tests.running_practice import LIGHT_HASHES, PASSWORD

ANN, RUTH, PAUL, DESK, PAT = (
    "ann@clinic.example",
    "ruth@clinic.example",
    "paul@clinic.example",
    "desk@clinic.example",
    "pat@home.example",
)
ROLES = {ANN: Role.CLINICIAN, RUTH: Role.RECORDS, PAUL: Role.APPROVER, DESK: Role.FRONTDESK}
SCHEDULE = """
[category.passing]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"

[category.medical]
retain = "10 years"
clock = "receipt"
citation = "State law"

[[rule]]
category = "passing"
match = "subject:newsletter"

[[rule]]
category = "medical"
match = "quokka"
"""
NOBODYS = MessageId("")
CANARIES = ("zqsubjectwombat", "zqbodynumbat", "zqfilebilby", "zqattachedquoll", "zqsender")
"""Words of the messages that are disposed of, and of no other."""


def letter(subject: str, body: str, *, sender: str, file_name: str, attached: str) -> bytes:
    """A message with one attachment."""
    lines = [
        f"From: {sender}",
        f"To: {ANN}",
        f"Subject: {subject}",
        'Content-Type: multipart/mixed; boundary="b"',
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        body,
        "--b",
        "Content-Type: text/plain",
        f'Content-Disposition: attachment; filename="{file_name}"',
        "",
        attached,
        "--b--",
        "",
    ]
    return "\r\n".join(lines).encode()


DOOMED = letter(
    "newsletter zqsubjectwombat",
    "zqbodynumbat",
    sender="zqsender@shop.example",
    file_name="zqfilebilby.txt",
    attached="zqattachedquoll",
)
KEPT = letter("results", "the quokka report", sender="lab@lab.example", file_name="r.txt", attached="potassium")
HELD = letter("newsletter of the matter", "litigated", sender="o@o.example", file_name="h.txt", attached="held")


@dataclass(frozen=True)
class Told:
    """What a command gave back."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class LivedPractice:
    """One data directory, its people's second factors, and which message met which end."""

    path: Path
    secrets: dict[str, str] = field(default_factory=dict)
    kept: MessageId = NOBODYS
    held: MessageId = NOBODYS
    spooled: MessageId = NOBODYS
    doomed: list[MessageId] = field(default_factory=list)
    certificate: Path = Path()

    @property
    def data(self) -> DataDirectory:
        """Its places."""
        return DataDirectory(self.path)

    def ask(self, *words: str, is_json: bool = True) -> Told:
        """Run a command in this process."""
        raw, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(["--data", str(self.path), *(["--json"] if is_json else []), *words])
        return Told(code, raw.getvalue(), err.getvalue())

    def told(self, *words: str) -> dict[str, Any]:
        """The JSON of a command that must be done."""
        answer = self.ask(*words)
        assert answer.code == 0, (words, answer)
        return answer.json

    @contextmanager
    def opened(self) -> Iterator[Appliance]:
        """The directory, unlocked."""
        with Appliance.opened(self.data) as appliance:
            yield appliance

    def sign_in(self, appliance: Appliance, email: str) -> None:
        """A sign-in of the command line."""
        code = pyotp.TOTP(self.secrets[email]).now()
        command_sign_in.sign_in(appliance, email=email, password=PASSWORD, code=code)


def founded(directory: Path, *, base: int = 47_000, init_words: tuple[str, ...] = ()) -> LivedPractice:
    """A new practice with its people, and hashes that cost next to nothing."""
    practice = LivedPractice(directory / "data")
    words = ("--practice", "Lakeside Clinic", "--domain", "clinic.example", "--loopback", str(base))
    practice.told("init", *words, *database_room.init_words(practice.path), *init_words)
    settings = practice.data.settings
    text = settings.read_text("utf-8")
    for slow, light in LIGHT_HASHES.items():
        text = text.replace(slow, light)
    settings.write_text(re.sub(r"cooling_off_hours = \d+", "cooling_off_hours = 0", text), "utf-8")
    with practice.opened() as appliance:
        people = portal_wiring.people(appliance)
        for email, role in ROLES.items():
            practice.secrets[email] = people.add_staff(SYSTEM, email, f"The {role}", role, PASSWORD).totp_secret
        people.add_patient(SYSTEM, PAT, "Pat Doe")
        for email in (ANN, RUTH, PAUL):
            practice.sign_in(appliance, email)
    return practice


def lived(directory: Path) -> LivedPractice:
    """A whole life."""
    practice = founded(directory)
    with practice.opened() as appliance:
        doomed = [taken_in(appliance, DOOMED) for _ in range(3)]
        practice.doomed, practice.kept, practice.held = doomed, taken_in(appliance, KEPT), taken_in(appliance, HELD)
        archived(appliance, [*doomed, practice.kept, practice.held])
        disposed(practice, appliance)
        practice.spooled = taken_in(appliance, KEPT)
        archived(appliance, [practice.spooled], is_promoted=False)
        checkpoint(appliance)
    return practice


def actor(appliance: Appliance, email: str) -> Actor:
    """The person as an actor."""
    account = portal_wiring.people(appliance).by_email(email)
    return Actor(account.id, account.role)


def taken_in(appliance: Appliance, content: bytes, *, to: str = ANN) -> MessageId:
    """A message from outside, taken in at the front door."""
    envelope = Envelope(parse_mailbox("outside@elsewhere.example"), (parse_mailbox(to),))
    received = ReceivedMessage(envelope, content, appliance.clock.now(), Origin.SMTP)
    with appliance.front_door() as front:
        answer = front.acceptance.accept(received)
    assert isinstance(answer, Accepted), answer
    return answer.message_id


def intake(appliance: Appliance) -> Intake:
    """What the worker does for the archive."""
    return archive_wiring.intake(appliance)


def archived(appliance: Appliance, messages: list[MessageId], *, is_promoted: bool = True) -> None:
    """What the worker does with messages: promoted, captured, indexed."""
    if is_promoted:
        promotion(appliance).promote_all(messages)
    into = intake(appliance)
    for message in messages:
        into.capture(message)
    into.index(messages)


def promotion(appliance: Appliance) -> Promotion:
    """What moves messages from the spool to the objects."""
    return store_wiring.promotion(appliance)


def disposed(practice: LivedPractice, appliance: Appliance) -> None:
    """A schedule in force, a hold, a disposal by two people, and its certificate."""
    desk, records, approver = archive_wiring.desk(appliance), actor(appliance, RUTH), actor(appliance, PAUL)
    desk.schedules.approve(approver, desk.schedules.propose(records, SCHEDULE))
    desk.reclassification.run()
    desk.holds.place(records, name="Adams v. Clinic", reason="letter of counsel", query="litigated")
    proposed = desk.disposals.propose(records)
    desk.disposals.approve(approver, proposed.id, set_hash=proposed.set_hash)
    outcome = desk.disposal_run.run(records, proposed.id)
    assert (outcome.destroyed, outcome.certificate is not None) == (len(practice.doomed), True), outcome
    practice.certificate = outcome.certificate or Path()


def checkpoint(appliance: Appliance) -> None:
    """A signed checkpoint of the audit tree, as the worker writes it."""
    audit_trail.write_checkpoint(
        appliance.database, appliance.data.checkpoints, signer=appliance.signer, now=appliance.clock.now()
    )
