"""The whole life of a message, step by step, each with the evidence that it happened.

A stage talks to the appliance as strangers do: SMTP, the portal's pages, the command. It raises when what it looks
for is not there, so a stage that returns has shown something.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp

from appliance.demo import patient_visit
from appliance.demo.cast import APPROVER, CLINICIAN, COLLEAGUE, FRONT_DESK, RECORDS, ROSA, SCHEDULE
from appliance.demo.correspondence import File, letter, real_messages
from appliance.demo.plain_text_scan import findings
from appliance.demo.visitor import Upload
from appliance.demo.world import World, fresh_code, until
from archive import verify_certificate
from mailstore.errors import RefusedError

REAL_MESSAGES = 40


@dataclass(frozen=True)
class Stage:
    """One step of the life: its name, and what shows that it happened."""

    name: str
    show: Callable[[World], str]


def require(found: object, what: str) -> None:
    """Raise when something that must be there is not."""
    if not found:
        raise RefusedError(f"not shown: {what}")


def word(world: World, name: str) -> str:
    """A made-up word that occurs nowhere else, remembered for the scan of the disk."""
    words: dict[str, str] = world.notes.setdefault("words", {})
    return words.setdefault(name, f"zq{name}{hashlib.sha256(f'{id(world)}{name}'.encode()).hexdigest()[:10]}")


def sign_in(world: World, email: str) -> None:
    """Sign a member of staff in for commands in their name."""
    person = world.cast[email]
    file = world.outside.folder / f"password-{person.role}"
    code = fresh_code(person.totp_secret, used=world.notes.setdefault("codes", set()))
    world.console.must("sign-in", email, "--password-file", str(file), "--totp", code)


def find(world: World, owner: str, subject: str) -> dict[str, Any]:
    """The message with this subject in somebody's list, as soon as it is there."""

    def look() -> dict[str, Any] | None:
        items = world.console.must("message", "list", owner, person=owner)["items"]
        return next((item for item in items if subject in item["subject"]), None)

    found: dict[str, Any] = until(look, f"a message about {subject!r} in the mailbox of {owner}")
    return found


def accept(world: World) -> str:
    """Mail from outside, by STARTTLS; relaying for strangers is refused."""
    for email in (CLINICIAN.email, RECORDS.email, APPROVER.email, FRONT_DESK.email):
        sign_in(world, email)
    message = letter(
        sender=COLLEAGUE.email,
        recipients=[CLINICIAN.email],
        subject=f"Referral {word(world, 'subject')}",
        text=f"Please see her on Tuesday. {word(world, 'body')}",
        files=[File(f"{word(world, 'filename')}.txt", "text/plain", word(world, "attachment").encode())],
    )
    world.notes["sent"] = message.as_bytes()
    world.office.deliver(world.notes["sent"], sender=COLLEAGUE.email, recipients=[CLINICIAN.email])
    code = world.office.relay_attempt()
    require(code in {550, 554}, f"a refusal to relay (got {code})")
    world.notes["referral"] = find(world, CLINICIAN.email, word(world, "subject"))["id"]
    return f"250 for message {world.notes['referral']}; a stranger's relay attempt got {code}"


def keep_bytes(world: World) -> str:
    """What is kept is what came after DATA, to the byte."""
    raw = world.console.raw("message", "show", world.notes["referral"], "--raw", person=CLINICIAN.email)
    sent: bytes = world.notes["sent"]
    require(raw == sent, "the very bytes that were sent")
    return f"message show --raw gives the {len(raw)} bytes sent, SHA-256 {hashlib.sha256(raw).hexdigest()[:16]}..."


def crowd(world: World) -> str:
    """Real messages by SMTP."""
    contents = [content for content, _ in zip(real_messages(), range(REAL_MESSAGES), strict=False)]
    accepted = world.office.deliver_many(contents, [CLINICIAN.email, FRONT_DESK.email], lambda _count: None)
    require(accepted, "real messages accepted")
    return f"{accepted} of {len(contents)} real messages accepted; the rest break a stated rule of SMTP"


def submit(world: World) -> str:
    """One message of a clinician to a colleague inside, a hospital and a patient."""
    person = world.cast[CLINICIAN.email]
    everybody = [FRONT_DESK.email, COLLEAGUE.email, ROSA.email]
    message = letter(
        sender=CLINICIAN.email,
        recipients=everybody,
        subject=f"Lab result {word(world, 'result')}",
        text=f"Your potassium is back to normal. {word(world, 'letter')}",
    )
    world.office.submit(message, login=person.email, app_password=person.app_password, recipients=everybody)
    world.notes["result"] = find(world, FRONT_DESK.email, word(world, "result"))["id"]
    return f"AUTH on 587 with an app password; message {world.notes['result']}"


def route(world: World) -> str:
    """Each recipient got a way of their own, with its reason."""

    def settled() -> dict[str, Any] | None:
        trace = world.console.must("message", "trace", world.notes["result"])
        states = {item["state"] for item in trace["recipients"]}
        return trace if states <= {"delivered", "notified", "opened"} else None

    trace = until(settled, "every recipient's way decided and done")
    ways = {item["address"]: item["route"] for item in trace["recipients"]}
    wanted = {FRONT_DESK.email: "mailbox", COLLEAGUE.email: "tls", ROSA.email: "portal"}
    require(ways == wanted, f"the routes {wanted} (got {ways})")
    return "; ".join(f"{item['address']}: {item['route']} ({item['reasons'][-1]})" for item in trace["recipients"])


def nothing_in_clear(world: World) -> str:
    """The hospital got the letter over TLS; the server without TLS got a notice that says nothing."""
    secure = [mail for mail in world.outside.arrived("secure") if word(world, "letter").encode() in mail]
    require(secure and b"tls=none" not in secure[0].splitlines()[0], "the letter at the hospital, over TLS")
    notices = world.outside.arrived("plain")
    require(notices, "a pickup notice")
    told = b"".join(notices)
    require(not any(each.encode() in told for each in world.notes["words"].values()), "notices without content")
    link = next(line.strip() for line in told.decode().splitlines() if line.startswith(world.portal) and "/m/" in line)
    world.notes["link"] = urlsplit(link).path
    return f"TLS to the hospital ({secure[0].splitlines()[0].decode()}); {len(notices)} notice(s) without a word of it"


def scanner(world: World) -> str:
    """A mail scanner follows the link: nothing opens, nothing is counted as read."""
    page = world.visitor().visit(world.notes["link"])
    require(word(world, "letter") not in page.text and "/sign-in" in page.address, "only a sign-in page")
    trace = world.console.must("message", "trace", world.notes["result"])
    state = next(item["state"] for item in trace["recipients"] if item["address"] == ROSA.email)
    require(state == "notified", f"still unread (it is {state})")
    return f"the link led to {urlsplit(page.address).path}; the message is still unread"


def enrol(world: World) -> str:
    """The patient enrols with the code from staff; after no step but the last does anything open."""
    rosa, visitor = world.cast[ROSA.email], world.visitor()
    link, letter_word = world.notes["link"], word(world, "letter")
    done, password, secret = patient_visit.enrol(visitor, rosa, wanted=link, secret_word=letter_word)
    require(done.status == HTTPStatus.OK, f"an open portal (got {done.status} at {done.address})")
    world.notes["rosa"] = (password, secret)
    return "code, password and authenticator in three steps; at each earlier step every page stayed closed"


def pick_up(world: World) -> str:
    """She signs in anew with password and one-time code, and reads."""
    password, secret = world.notes["rosa"]
    visitor, link, letter_word = world.visitor(), world.notes["link"], word(world, "letter")
    used = world.notes["codes"]
    used.add((secret, pyotp.TOTP(secret).now()))  # the code that ended the enrolment is used up
    code = fresh_code(secret, used=used)
    patient_visit.sign_in(visitor, ROSA.email, password, code, wanted=link, secret_word=letter_word)
    page = visitor.visit(link)
    require(letter_word in page.text, "the letter on the page")
    world.notes["visit"] = (visitor, page)
    trace = world.console.must("message", "trace", world.notes["result"])
    state = next(item["state"] for item in trace["recipients"] if item["address"] == ROSA.email)
    require(state == "opened", f"an opened message (it is {state})")
    return f"read at {urlsplit(page.address).path}; its state is now 'opened'"


def reply(world: World) -> str:
    """She answers with an attachment; the clinician has it, byte for byte."""
    visitor, page = world.notes["visit"]
    photo = Upload("rash.png", "image/png", word(world, "photo").encode() * 200)
    text = f"Thank you. Here is the photo. {word(world, 'answer')}"
    patient_visit.answer(visitor, page, text, photo)
    answered = until(lambda: _newest_from(world, ROSA.email), "the patient's answer in the clinician's mailbox")
    world.notes["answer"] = answered["id"]
    raw = world.console.raw("message", "show", answered["id"], "--raw", person=CLINICIAN.email)
    attached = [part.get_payload(decode=True) for part in message_from_bytes(raw).walk() if part.get_filename()]
    require(photo.content in attached, "the attachment as it was sent")
    return f"message {answered['id']} from {answered['from']} with {len(photo.content)} bytes attached"


def _newest_from(world: World, sender: str) -> dict[str, Any] | None:
    items = world.console.must("message", "list", CLINICIAN.email, person=CLINICIAN.email)["items"]
    return next((item for item in items if sender in item["from"]), None)


def readers(world: World) -> str:
    """The patient sees who at the practice opened her answer."""
    visitor, _ = world.notes["visit"]
    page = visitor.visit(world.notes["link"])
    require(CLINICIAN.name in page.text, f"{CLINICIAN.name} as a reader")
    return f"her page says that {CLINICIAN.name} opened it"


def capture(world: World) -> str:
    """What was accepted is archived and indexed, all of it."""

    def caught_up() -> dict[str, Any] | None:
        status = world.console.must("archive", "status")
        return status if status["accepted"] == status["archived"] == status["indexed"] else None

    status = until(caught_up, "accepted = archived = indexed")
    return f"accepted {status['accepted']} = archived {status['archived']} = indexed {status['indexed']}"


def found_ids(world: World, query: str) -> set[str]:
    """Ids that the archive search gives."""
    answer = world.console.must("archive", "search", query, person=RECORDS.email)
    return {item["id"] for item in answer["items"]}


def search(world: World) -> str:
    """Records staff find the message by a word of its attachment, and nobody else may search."""
    referral = world.notes["referral"]
    for query in (word(world, "attachment"), f'subject:"referral {word(world, "subject")}"', word(world, "filename")):
        require(found_ids(world, query) == {referral}, f"exactly the referral for {query}")
    refused = world.console.ask("archive", "search", "potassium", person=CLINICIAN.email)
    require(refused.exit_code == 1, "a refusal for a clinician")
    return "found by subject, file name and attachment text; a clinician is refused"


def retain(world: World) -> str:
    """A schedule is proposed by one person and approved by another."""
    file = world.outside.folder / "schedule.toml"
    file.write_text(SCHEDULE)
    world.console.must("schedule", "simulate", str(file), person=RECORDS.email)
    proposed = world.console.must("schedule", "propose", str(file), person=RECORDS.email)
    alone = world.console.ask("schedule", "approve", str(proposed["id"]), person=RECORDS.email)
    require(alone.exit_code == 1, "no approval by the one who proposed")
    world.console.must("schedule", "approve", str(proposed["id"]), person=APPROVER.email)
    return f"schedule {proposed['id']} with {SCHEDULE.count('[category.')} categories is in force"


def newsletter(world: World, number: int, extra: str) -> str:
    """A message that is due at once, and its id."""
    subject = f"Newsletter {word(world, f'issue{number}')}"
    text = f"News of the week. {extra} {word(world, f'news{number}')}"
    message = letter(sender=COLLEAGUE.email, recipients=[FRONT_DESK.email], subject=subject, text=text)
    world.office.deliver(message.as_bytes(), sender=COLLEAGUE.email, recipients=[FRONT_DESK.email])
    return str(find(world, FRONT_DESK.email, subject)["id"])


def hold(world: World) -> str:
    """A hold catches what is there, and what comes later."""
    first = newsletter(world, 1, word(world, "matter"))
    capture(world)
    words = ("hold", "place", "--name", "Adams v. Clinic", "--reason", "litigation", "--query", word(world, "matter"))
    placed = world.console.must(*words, person=RECORDS.email)
    require(placed["matched"] >= 1, "the newsletter held")
    later, free = newsletter(world, 2, word(world, "matter")), newsletter(world, 3, "")
    capture(world)
    listed = next(item for item in world.console.must("hold", "list")["items"] if item["id"] == placed["id"])
    require(listed["matched"] == placed["matched"] + 1, f"the later message held too (got {listed['matched']})")
    world.notes["hold"], world.notes["held"], world.notes["free"] = placed["id"], {first, later}, free
    return f"hold {placed['id']} matched {placed['matched']}, then {listed['matched']} as new mail came in"


def dispose(world: World) -> str:
    """What is due and not held is destroyed, approved by a second person who names the exact set."""
    proposed = world.console.must("disposal", "propose", person=RECORDS.email)
    name, wanted = str(proposed["id"]), proposed["set_hash"]
    alone = world.console.ask("disposal", "approve", name, "--set-hash", wanted, person=RECORDS.email)
    require(alone.exit_code == 1, "no approval by the one who proposed")
    other = world.console.ask("disposal", "approve", name, "--set-hash", "0" * 64, person=APPROVER.email)
    require(other.exit_code == 1, "no approval of another set")
    world.console.must("disposal", "approve", name, "--set-hash", wanted, person=APPROVER.email)
    done = world.console.must("disposal", "run", name, person=RECORDS.email)
    require(proposed["held"] == len(world.notes["held"]), f"both held messages kept (held: {proposed['held']})")
    require(done["destroyed"] == proposed["messages"] >= 1, f"all of the set destroyed ({done})")
    world.notes["certificate"] = Path(done["certificate"])
    return f"disposal {name}: {done['destroyed']} destroyed, {proposed['held']} held"


def gone(world: World) -> str:
    """The destroyed message is nowhere: not shown, not found, and its key is dead."""
    free = world.notes["free"]
    shown = world.console.ask("message", "show", free, person=FRONT_DESK.email)
    require(shown.exit_code == 1, "a refusal to show it")
    require(free not in found_ids(world, word(world, "news3")), "nothing in the search")
    require(world.notes["held"] <= found_ids(world, word(world, "matter")), "the held messages still found")
    return f"message {free}: {shown.value['error']['code']}; not in the index; held messages still there"


def certify(world: World) -> str:
    """A stranger checks the certificate with Python alone; a changed byte is refused."""
    certificate: Path = world.notes["certificate"]
    require(world.console.must("certificate", "verify", str(certificate))["valid"], "a valid certificate")
    key = next(certificate.parent.glob("*.pem"))
    verifier = [sys.executable, "-I", verify_certificate.__file__]
    alone = subprocess.run([*verifier, str(certificate), "--public-key", str(key)], capture_output=True, check=False)  # noqa: S603 (our own verifier)
    require(alone.returncode == 0, "the stand-alone verifier's yes")
    forged = world.outside.folder / "forged.json"
    forged.write_bytes(certificate.read_bytes().replace(b'"count":', b'"Count":', 1))
    refused = subprocess.run([*verifier, str(forged), "--public-key", str(key)], capture_output=True, check=False)  # noqa: S603 (our own verifier)
    require(refused.returncode == 1, "the stand-alone verifier's no")
    require(certificate.with_suffix(".pdf").exists(), "the certificate as PDF")
    return f"{certificate.name} verified with python3 -I; with one byte changed it is refused"


def release(world: World) -> str:
    """The hold ends by two people; the first sees what would then be due."""
    held = str(world.notes["hold"])
    world.console.must("hold", "release", held, "--reason", "settled", person=RECORDS.email)
    alone = world.console.ask("hold", "approve-release", held, person=RECORDS.email)
    require(alone.exit_code == 1, "no release by the one who asked")
    world.console.must("hold", "approve-release", held, person=APPROVER.email)
    return f"hold {held} released by a second person"


def audit(world: World) -> str:
    """The audit tree holds."""
    report = world.console.must("audit", "verify")
    return f"{report['entries']} entries, root {report['tree_root'][:16]}..."


def health(world: World) -> str:
    """The doctor finds nothing that fails."""
    items = world.console.must("doctor")["items"]
    failing = [item["check"] for item in items if item["state"] == "fail"]
    require(not failing, f"no failing check (failing: {failing})")
    return f"{len(items)} checks, none failing"


def no_plain_text(world: World) -> str:
    """No word of all that mail lies in plain text anywhere in the data directory."""
    words = [*world.notes["words"].values(), ROSA.email, COLLEAGUE.email, ROSA.name, "Adams v. Clinic"]
    hits = findings(world.console.data, words)
    require(not hits, f"no word in plain text (found {hits[:3]})")
    return f"{len(words)} words in 5 encodings, every file below {world.console.data}: 0 hits"


STAGES = (
    Stage("accepted over SMTP", accept),
    Stage("kept to the byte", keep_bytes),
    Stage("real mail", crowd),
    Stage("submitted by staff", submit),
    Stage("routed per recipient", route),
    Stage("nothing in clear", nothing_in_clear),
    Stage("link is only a locator", scanner),
    Stage("patient enrols", enrol),
    Stage("picked up with two factors", pick_up),
    Stage("answered", reply),
    Stage("readers shown", readers),
    Stage("captured and indexed", capture),
    Stage("found", search),
    Stage("under a schedule", retain),
    Stage("held", hold),
    Stage("disposed of", dispose),
    Stage("gone", gone),
    Stage("certified", certify),
    Stage("hold released", release),
    Stage("audited", audit),
    Stage("healthy", health),
    Stage("sealed on disk", no_plain_text),
)
