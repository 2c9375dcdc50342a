"""What the demonstration is filled with, and what it says to the person who looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.command_call import table
from appliance.demo import life
from appliance.demo.cast import APPROVER, CLINICIAN, COLLEAGUE, FRONT_DESK, HENRY, RECORDS, ROSA
from appliance.demo.correspondence import letter, real_messages
from appliance.demo.world import World

SHOWN = ("name", "email", "role", "password", "totp_secret", "app_password", "enrolment_code")

THINGS_TO_TRY = (
    "Open the portal and sign in as Dr. Ruiz (password, then a code from: .venv/bin/strongroom demo --codes).",
    "Write to rosa@home.example and sorensen@hospital.example and watch the lamps: portal for one, TLS for the other.",
    "Read .demo-outside/plain/: Rosa's notice says who wrote and nothing about health.",
    "Enrol as Rosa with her code at /enrol, read, and answer with a photo.",
    "Sign in as Sam at the front desk, and enrol a patient of your own: the code is printed.",
    "Sign in as Margaret (records) and search: subject:linux has:attachment after:2026",
    'At the command line: strongroom sign-in, then strongroom archive search "linux" --as records@clinic.example.',
    "Place a legal hold, propose a disposal, and see that held messages are kept.",
    "Approve it as Joseph, run it (no cooling-off here), and check the certificate with verify_certificate.py.",
    "strongroom audit verify, then change one byte of .demo/rows.sqlite3 and ask again.",
)


def fill(world: World, tell: Callable[[str], None]) -> None:
    """A few hundred real messages for the practice, and a conversation with each patient."""

    def progress(count: int) -> None:
        if count and count % 100 == 0:
            tell(f"  {count} accepted")

    mailboxes = [CLINICIAN.email, FRONT_DESK.email, RECORDS.email]
    accepted = world.office.deliver_many(real_messages(), mailboxes, progress)
    tell(f"  {accepted} accepted in all")
    person = world.cast[CLINICIAN.email]
    for patient, subject, text in (
        (ROSA, "Your lab results", "Dear Rosa,\n\nyour potassium is back to normal. Please go on with the tablets."),
        (HENRY, "Your appointment", "Dear Henry,\n\nplease bring the list of your medicines on Tuesday."),
    ):
        message = letter(sender=person.email, recipients=[patient.email], subject=subject, text=text)
        world.office.submit(message, login=person.email, app_password=person.app_password, recipients=[patient.email])
    referral = letter(
        sender=COLLEAGUE.email, recipients=[CLINICIAN.email], subject="Referral", text="Please see her on Tuesday."
    )
    world.office.deliver(referral.as_bytes(), sender=COLLEAGUE.email, recipients=[CLINICIAN.email])
    tell("Putting a retention schedule in force: proposed by Margaret, approved by Joseph ...")
    for keeper in (RECORDS, APPROVER):
        life.sign_in(world, keeper.email)
    life.retain(world)


def told(kept: Mapping[str, Any]) -> str:
    """Addresses, credentials and ten things to try."""
    lines = [
        f"The practice is open: {kept['portal']}",
        f"Its own authority, which no browser knows yet: {kept['ca_certificate']}",
        "",
    ]
    lines.append(table(kept["people"], SHOWN))
    lines += ["", "Ten things to try:"]
    lines += [f"{number:2}. {thing}" for number, thing in enumerate(THINGS_TO_TRY, start=1)]
    lines += ["", "Codes of the moment: .venv/bin/strongroom demo --codes. End it: .venv/bin/strongroom demo --stop."]
    return "\n".join(lines)
