"""Every command of ``strongroom``: its words, its options, and which function answers it.

This is data, so that ``strongroom --help`` is quick, the reference page is generated from it, and a test can
drive every line of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PARTS = ("smtp", "mail", "worker", "key-agent")
"""What ``serve`` can start by itself (``role_charge.Part``)."""

STAFF_ROLES = ("clinician", "frontdesk", "records", "approver", "admin")


SECRETS: Mapping[str, tuple[str, str, str]] = {
    "passphrase": ("--passphrase-file", "STRONGROOM_PASSPHRASE_FILE", "unlocks: a passphrase"),
    "key_file": ("--key-file", "STRONGROOM_KEY_FILE", "unlocks: a key file"),
    "credential": ("--credential", "STRONGROOM_CREDENTIAL", "unlocks: a credential that systemd handed over"),
    "token": ("--token-file", "STRONGROOM_TOKEN_FILE", "unlocks: library and PIN of a PKCS#11 token, a line each"),
    "shares": ("--shares", "STRONGROOM_SHARES", "unlocks: the words of enough recovery shares"),
}
"""For each kind of unlock slot the option that names its secret, the variable, and what it says."""


@dataclass(frozen=True)
class Option:
    """One argument as argparse takes it."""

    name: str
    keywords: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One command. ``answer`` is ``module:function`` below ``appliance.commands``."""

    words: tuple[str, ...]
    says: str
    answer: str
    options: tuple[Option, ...] = field(default=())
    is_in_name_of_person: bool = False


def _option(name: str, says: str, **keywords: Any) -> Option:
    return Option(name, {"help": says, **keywords})


_EMAIL = _option("email", "the person's address", metavar="EMAIL")
_NAME = _option("--name", "the person's name", required=True)
_ID = _option("id", "the id, as a list shows it", metavar="ID")
_REASON = _option("--reason", "why; kept with the matter", required=True)
_PASSWORD = _option("--password-file", "a file whose first line is the password", required=True, metavar="FILE")
_BACKUP_SOURCE = _option("--from", "a target, as create takes it; without it all in the settings", dest="source")
_BUCKET_CREDENTIALS = _option(
    "--credentials", "for a bucket: a file with its access key and secret, a line each", metavar="FILE"
)
_PACE = _option("--bytes-per-second", "no more than this; 0 is no bound", type=int, default=0, metavar="N")

_NAMED_HOLD = _option(
    "--hold",
    "a hold in force whose records may die all the same, for they lie elsewhere; once for each",
    action="append",
    default=[],
    metavar="ID",
)

_FOUNDING = (
    _option(
        "--loopback",
        "for trying out: all ports on 127.0.0.1, at BASE plus the usual number",
        type=int,
        metavar="BASE",
    ),
    _option(
        "--database",
        "where rows are kept, when not in a file here: postgresql://USER@HOST/DATABASE",
        metavar="URL",
    ),
    _option(
        "--keystore",
        "where message keys are kept, when not in a file here: postgresql://USER@HOST/DATABASE",
        metavar="URL",
    ),
    _option(
        "--object-store",
        "where sealed messages lie, when not on this disk: s3+https://HOST:PORT/BUCKET",
        metavar="URL",
    ),
    _option(
        "--object-store-credentials",
        "a file with the access key and the secret of the object store, a line each",
        metavar="FILE",
    ),
    _option(
        "--without-shares",
        "go without recovery shares: once the secret is gone nobody opens the practice, ever",
        action="store_true",
    ),
)
"""How a new data directory is made, for ``init`` and for ``setup``."""

_LIMIT = _option("--limit", "at most this many", type=int, default=20, metavar="N")
_ASKED = (
    _option(
        "query",
        "words, fields and phrases, as docs/reference/query-language.md says",
        metavar="QUERY",
        nargs="?",
        default="",
    ),
    _option(
        "--narrow",
        "only results with this value of a facet; may be said for several facets",
        action="append",
        metavar="FACET=VALUE",
    ),
    _option("--order", "newest first, or by where the words stand", choices=("newest", "relevance"), default="newest"),
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        ("init",),
        "make a data directory for a practice",
        "init:run",
        (
            _option("--practice", "the practice's name", required=True, metavar="NAME"),
            _option("--domain", "the domain whose mail lives here", required=True),
            *_FOUNDING,
        ),
    ),
    Entry(
        ("setup",),
        "the first run, at a terminal: practice, first administrator, recovery shares typed back from paper",
        "setup:run",
        (
            _option("--practice", "the practice's name, asked for otherwise", metavar="NAME"),
            _option("--domain", "the domain whose mail lives here, asked for otherwise"),
            _option("--look", "only say what is missing still", action="store_true"),
            *_FOUNDING,
        ),
    ),
    Entry(
        ("serve",),
        "run the appliance until it is told to end",
        "serve:run",
        (
            _option(
                "--role",
                "only this part, beside the others; for a service manager, which binds the sockets",
                choices=PARTS,
            ),
        ),
    ),
    Entry(
        ("unseal",),
        "open an appliance that is sealed, with a secret that is named",
        "unseal:run",
        (_option("--no-wait", "do not wait until what came meanwhile is taken in", action="store_true"),),
    ),
    Entry(("seal",), "close the appliance at once; it goes on taking mail in", "seal:run"),
    Entry(
        ("database", "accept"),
        "go on with rows that were put back to an older state: what has no row is swept away from now on",
        "database:accept",
        is_in_name_of_person=True,
    ),
    Entry(
        ("database", "move"),
        "move the rows to PostgreSQL, and the keys if asked, while serve does not run",
        "database:move",
        (
            _option("--to", "the database for the rows: postgresql://USER@HOST/DATABASE", required=True, metavar="URL"),
            _option("--keystore-to", "the database for the message keys, likewise", metavar="URL"),
            _option("--erase", "overwrite and remove the old row file, not set it aside", action="store_true"),
        ),
    ),
    Entry(
        ("database", "rehearse"),
        "try the steps that this release would take on a copy of the rows",
        "database:rehearse",
    ),
    Entry(
        ("user", "add"),
        "add somebody who works at the practice",
        "user:add",
        (
            _EMAIL,
            _NAME,
            _option("--role", "what they are to the practice", required=True, choices=STAFF_ROLES),
            _PASSWORD,
        ),
    ),
    Entry(("user", "list"), "everybody who works at the practice, or did", "user:listing"),
    Entry(
        ("user", "close"),
        "end somebody's account: they sign in no more, and mail to their address is refused",
        "user:close",
        (_EMAIL,),
    ),
    Entry(
        ("user", "role"),
        "give somebody who works here another role; their sign-ins end",
        "user:role",
        (_EMAIL, _option("--role", "what they are to the practice from now on", required=True, choices=STAFF_ROLES)),
    ),
    Entry(
        ("user", "reset"),
        "give somebody a new password, authenticator and app password; every old way in ends",
        "user:reset",
        (_EMAIL, _PASSWORD),
    ),
    Entry(("patient", "add"), "add a patient and print the enrolment code", "patient:add", (_EMAIL, _NAME)),
    Entry(("patient", "close"), "end a patient's access; a new code opens it again", "patient:close", (_EMAIL,)),
    Entry(
        ("sign-in",),
        "sign in on this machine, for commands in your name",
        "sign_in:run",
        (_EMAIL, _PASSWORD, _option("--totp", "the six digits of the moment", required=True, metavar="CODE")),
    ),
    Entry(("sign-out",), "end a sign-in on this machine", "sign_out:run", (_EMAIL,)),
    Entry(
        ("message", "list"),
        "the messages in a mailbox",
        "message:listing",
        (_EMAIL, _option("--limit", "at most this many, newest first", type=int, default=1000, metavar="N")),
        is_in_name_of_person=True,
    ),
    Entry(
        ("message", "show"),
        "one message",
        "message:show",
        (_ID, _option("--raw", "the very bytes that came after DATA", action="store_true")),
        is_in_name_of_person=True,
    ),
    Entry(
        ("message", "export"),
        "one message as it lies sealed, with its key beside it: read without us by read_sealed_message.py",
        "message:export",
        (_ID, _option("--into", "a directory for the two files", required=True, metavar="DIR")),
        is_in_name_of_person=True,
    ),
    Entry(("message", "trace"), "which way a message went, and why", "message:trace", (_ID,)),
    Entry(
        ("archive", "search"),
        "search the archive",
        "archive:search",
        (
            *_ASKED,
            _LIMIT,
            _option("--facets", "count the results by year, sender, mailbox and more", action="store_true"),
            _option("--csv", "the list of results as a CSV file on stdout, at most 10,000", action="store_true"),
        ),
        is_in_name_of_person=True,
    ),
    Entry(
        ("archive", "unread"),
        "messages of which a search does not see all, and why",
        "archive:unread",
        (_LIMIT,),
        is_in_name_of_person=True,
    ),
    Entry(("archive", "saved", "list"), "your saved searches", "saved_search:show", is_in_name_of_person=True),
    Entry(
        ("archive", "saved", "add"),
        "save a search",
        "saved_search:add",
        (
            _option("--name", "what you call it; kept sealed", required=True),
            *_ASKED,
            _option("--daily", "look every day for what is new", action="store_true"),
        ),
        is_in_name_of_person=True,
    ),
    Entry(
        ("archive", "saved", "change"),
        "rename a saved search, or run it daily or not any more",
        "saved_search:change",
        (
            _ID,
            _option("--name", "what you call it from now on"),
            _option("--daily", "look every day for what is new", choices=("yes", "no")),
        ),
        is_in_name_of_person=True,
    ),
    Entry(
        ("archive", "saved", "remove"),
        "forget a saved search",
        "saved_search:remove",
        (_ID,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("archive", "saved", "run"),
        "the results of a saved search, with what came since you looked last marked as new",
        "saved_search:run",
        (_ID, _LIMIT),
        is_in_name_of_person=True,
    ),
    Entry(("archive", "status"), "whether all that was accepted is archived and indexed", "archive:status"),
    Entry(("archive", "rebuild"), "make the search index anew from the messages", "archive:rebuild"),
    Entry(("archive", "engine", "show"), "which engine keeps the search index, and how it does", "engine:show"),
    Entry(
        ("archive", "engine", "set"),
        "change the engine of the search index: build the other one beside it, compare, and swap",
        "engine:change",
        (_option("engine", "whoosh, or sqlite for more than 50,000 messages", choices=("whoosh", "sqlite")),),
    ),
    Entry(
        ("schedule", "show"),
        "the retention schedule in force",
        "schedule:show",
        (_option("--toml", "as the file that propose takes", action="store_true"),),
    ),
    *(
        Entry(
            ("schedule", word),
            says,
            f"schedule:{word}",
            (_option("file", "the schedule as TOML", metavar="FILE"),),
            is_in_name_of_person=True,
        )
        for word, says in (
            ("simulate", "what a schedule would change, without changing it"),
            ("propose", "propose a schedule for approval"),
        )
    ),
    Entry(
        ("schedule", "approve"),
        "put a proposed schedule in force (another person)",
        "schedule:approve",
        (_ID,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("schedule", "withdraw"),
        "take back one's own proposed schedule",
        "schedule:withdraw",
        (_ID,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("hold", "place"),
        "keep everything that matches, and what will match later",
        "hold:place",
        (
            _option("--name", "the matter's name", required=True),
            _REASON,
            _option("--custodian", "an address whose mail is held; may be repeated", action="append", default=[]),
            _option("--since", "received on this day (UTC) or later", metavar="DATE"),
            _option("--until", "received on this day (UTC) or earlier", metavar="DATE"),
            _option("--query", "in the language of the archive search"),
        ),
        is_in_name_of_person=True,
    ),
    Entry(("hold", "list"), "all holds", "hold:listing"),
    Entry(
        ("hold", "release"),
        "ask for a hold's release",
        "hold:release",
        (_ID, _REASON),
        is_in_name_of_person=True,
    ),
    Entry(
        ("hold", "approve-release"),
        "release a hold (another person); shows what is then due",
        "hold:approve_release",
        (
            _ID,
            _option("--preview", "only show what would be due", action="store_true"),
            _option("--set-hash", "the hash that the preview showed", metavar="H"),
        ),
        is_in_name_of_person=True,
    ),
    Entry(
        ("disposal", "propose"),
        "propose the destruction of all that is due",
        "disposal:propose",
        is_in_name_of_person=True,
    ),
    Entry(("disposal", "show"), "one disposal and its messages", "disposal:show", (_ID,)),
    Entry(
        ("disposal", "approve"),
        "approve exactly the set shown (another person)",
        "disposal:approve",
        (_ID, _option("--set-hash", "the hash that show printed", required=True, metavar="H")),
        is_in_name_of_person=True,
    ),
    Entry(
        ("disposal", "withdraw"),
        "take back one's own proposal or approval, while nothing was destroyed",
        "disposal:withdraw",
        (_ID,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("disposal", "run"),
        "destroy what was approved and certify it",
        "disposal:execute",
        (_ID,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("decommission", "show"), "what the end of this practice would destroy, and how far it is", "decommission:show"
    ),
    Entry(
        ("decommission", "propose"),
        "put forward the end of all keys",
        "decommission:propose",
        (_NAMED_HOLD,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("decommission", "approve"),
        "agree to it (another person)",
        "decommission:approve",
        (_ID, _NAMED_HOLD),
        is_in_name_of_person=True,
    ),
    Entry(
        ("decommission", "withdraw"),
        "take back one's own proposal or approval, while nothing was destroyed",
        "decommission:withdraw",
        (_ID,),
        is_in_name_of_person=True,
    ),
    Entry(
        ("decommission", "run"),
        "destroy every key within reach and certify it, or go on with what was cut off; serve must not run",
        "decommission:execute",
        (
            _ID,
            _NAMED_HOLD,
            _option("--practice", "the practice's name, typed out", default="", metavar="NAME"),
            _option(
                "--leave-unreached",
                "a target of backups that is away and stays as it is, with the backups of keys in it; once for each",
                action="append",
                default=[],
                metavar="NAME",
            ),
        ),
        is_in_name_of_person=True,
    ),
    Entry(
        ("certificate", "verify"),
        "check a certificate of disposal",
        "certificate:verify",
        (_option("file", "the certificate (JSON)", metavar="FILE"),),
    ),
    Entry(
        ("audit", "tail"),
        "the newest audit entries",
        "audit:tail",
        (_option("-n", "how many", type=int, default=20, metavar="N", dest="count"),),
    ),
    Entry(("audit", "verify"), "check the whole audit trail", "audit:verify"),
    Entry(
        ("check",),
        "hold rows, keys, bytes, index and log against each other",
        "check:run",
        (
            _option("--repair", "mend what a second copy can mend, and sweep left-overs", action="store_true"),
            _option("--quick", "look whether bytes are there, do not read them; open no message", action="store_true"),
            _option(
                "--checkpoint",
                "hold the log against checkpoints kept elsewhere: a copy of audit/checkpoints.jsonl",
                metavar="FILE",
            ),
        ),
    ),
    Entry(
        ("backup", "create"),
        "back up the data and the keys that changed",
        "backup:create",
        (
            _option("--to", "a target of the settings by its name, a directory, or s3+https://HOST:PORT/BUCKET"),
            _BUCKET_CREDENTIALS,
            _option("--only", "one of the two", choices=("data", "keys")),
            _option(
                "--with-waiting",
                "also mail that came while sealed and is not taken in yet, which no disposal reaches there",
                action="store_true",
            ),
            _PACE,
        ),
    ),
    Entry(
        ("backup", "list"),
        "the backups that there are, and whether any was put away",
        "backup:listing",
        (_BACKUP_SOURCE, _BUCKET_CREDENTIALS),
    ),
    Entry(("due", "backup"), "back up what is due; for a timer", "due:backup"),
    Entry(("due", "drill"), "rehearse the restores that are due; for a timer", "due:drill"),
    Entry(("due", "scrub"), "read on in the sealed bytes as far as the time says; for a timer", "due:scrub"),
    Entry(
        ("due", "retention"),
        "take up holds and the ledger where they were cut off, and say what waits for people; for a timer",
        "due:retention",
    ),
    Entry(
        ("backup", "verify"),
        "read every byte of the backups and hold it against what was written",
        "backup:verify",
        (_BACKUP_SOURCE, _BUCKET_CREDENTIALS, _PACE),
    ),
    Entry(
        ("restore",),
        "put everything back from backups and a secret, into the new directory that --data names",
        "restore:run",
        (
            _option(
                "--from",
                "the target: a directory, s3+https://HOST:PORT/BUCKET, or its name in the settings",
                required=True,
                dest="source",
                metavar="TARGET",
            ),
            _option("--keys-from", "the target that has the keys, where that is another one", metavar="TARGET"),
            _option("--generation", "this generation of the data, not the newest", type=int, metavar="NUMBER"),
            _option("--keys-generation", "this generation of the keys, not the newest", type=int, metavar="NUMBER"),
            _option("--message", "one message alone, into the living directory that --data names", metavar="ID"),
            _option(
                "--objects-later",
                "end as soon as serve may be started; it brings sealed mail back, and check is for later",
                action="store_true",
            ),
            _option(
                "--keep-store",
                "the mail stays in its object store, a server that outlived the box; store take-over opens it",
                action="store_true",
            ),
            _BUCKET_CREDENTIALS,
            _option("--ca-file", "the authority that signed the bucket's certificate", metavar="FILE"),
        ),
    ),
    Entry(
        ("backup", "drill"),
        "rehearse a restore: a sample is put together in scratch, compared and opened, and a signed report written",
        "drill:run",
        (
            _BACKUP_SOURCE,
            _BUCKET_CREDENTIALS,
            _option("--sample", "how many messages", type=int, default=25, metavar="N"),
        ),
    ),
    Entry(("clock", "show"), "whether the time is trusted, and by whom", "clock:show"),
    Entry(
        ("clock", "confirm"),
        "say that this machine's clock is right (one person, then an approver)",
        "clock:confirm",
        is_in_name_of_person=True,
    ),
    Entry(
        ("doctor",),
        "check the appliance and say what to mend",
        "doctor:run",
        (_option("--quick", "do not read every sealed message to its last byte", action="store_true"),),
    ),
    Entry(
        ("self-test",),
        "send one message through the whole path of the running appliance, and follow it",
        "self_test:run",
        (_option("--wait", "seconds that each step may take", type=float, default=60.0, metavar="SECONDS"),),
    ),
    Entry(
        ("dns", "records"),
        "every record to publish in the DNS",
        "dns:records",
        (_option("--zone", "as lines of a zone file", action="store_true"),),
    ),
    Entry(("dns", "dkim", "list"), "the keys that sign mail which leaves", "dns:dkim_list"),
    Entry(("dns", "dkim", "prepare"), "make new keys, to be published before they sign", "dns:dkim_prepare"),
    Entry(
        ("dns", "dkim", "activate"),
        "let the prepared keys sign, once the DNS shows them; those before never sign again",
        "dns:dkim_activate",
        (_option("--unseen", "do not look in the DNS first", action="store_true"),),
    ),
    Entry(
        ("dns", "tlsa", "prepare"),
        "make the key of a later certificate, to be published before that is in use",
        "dns:tlsa_prepare",
    ),
    Entry(("key", "slot", "list"), "every way in: its kind, its label, and when it was last tried", "key:slot_list"),
    Entry(
        ("key", "slot", "add"),
        "let one more secret open the practice",
        "key:slot_add",
        (
            _option("--new-passphrase-file", "a file whose text is the new passphrase", metavar="FILE"),
            _option("--new-key-file", "a file of 64 hexadecimal digits", metavar="FILE"),
            _option("--new-credential", "such digits, as systemd handed them over", metavar="FILE"),
            _option("--new-token-file", "library and PIN of a PKCS#11 token, a line each", metavar="FILE"),
            _option("--token", "the label of the token", default="", metavar="LABEL"),
            _option("--token-key", "the label of its RSA or AES key", default="", metavar="LABEL"),
            _option("--label", "what people shall call this way in", default="", metavar="TEXT"),
        ),
    ),
    Entry(
        ("key", "slot", "remove"),
        "take a way in away and renew the keys that it opened; give the secret of one that stays",
        "key:slot_remove",
        (_ID,),
    ),
    Entry(("key", "slot", "test"), "open everything with the secret given, and note that it worked", "key:slot_test"),
    Entry(
        ("key", "copies"), "every place outside this machine that holds copies of keys, and until when", "key:copies"
    ),
    Entry(
        ("key", "rotate"),
        "renew the root key and the pair that mail is sealed to, or finish what was cut off",
        "key:rotate",
        (
            _option(
                "--with-data-recovery",
                "renew the key of the data's backups too: the next one is a whole one",
                action="store_true",
            ),
            _option(
                "--with-index",
                "renew the key of the search index too, which is then made anew from the mail",
                action="store_true",
            ),
            _option(
                "--with-certificates",
                "renew the key that signs certificates too; the old one names it as its successor",
                action="store_true",
            ),
        ),
    ),
    Entry(
        ("key", "shares", "make"),
        "print recovery shares for several people, some of whom together open the practice",
        "key:shares_make",
        (
            _option("--need", "how many of them it takes", required=True, type=int, metavar="K"),
            _option("--of", "how many there are", required=True, type=int, metavar="N"),
            _option(
                "--into", "a new directory for the pages, here unless named", default="recovery-shares", metavar="DIR"
            ),
        ),
    ),
    Entry(
        ("key", "agent", "status"),
        "what the process that has the keys opened for whom, its alarms, and whether its account is whole",
        "key_agent:status",
    ),
    Entry(("store", "status"), "how the object store does, and how much mail waits for it", "store:status"),
    Entry(
        ("sealed-mail", "list"),
        "mail that came while sealed and was set aside: it does not open",
        "sealed_mail:listing",
    ),
    Entry(("sealed-mail", "again"), "have the next start take in what opens of it by then", "sealed_mail:again"),
    Entry(
        ("sealed-mail", "release"),
        "overwrite and remove one segment of it, for good",
        "sealed_mail:release",
        (_option("name", "the segment, as sealed-mail list names it", metavar="SEGMENT"),),
    ),
    Entry(
        ("store", "take-over"),
        "let the appliance work from this data directory, when the one it worked from is ended for good",
        "store:take_over",
    ),
    Entry(
        ("demo",),
        "a whole practice to try out",
        "demo:run",
        (
            _option("--check", "run one message's whole life and print the evidence", action="store_true"),
            _option("--codes", "the one-time codes of this moment", action="store_true"),
            _option("--stop", "end the running demonstration", action="store_true"),
            _option("--base", "ports at BASE plus the usual number", type=int, metavar="BASE"),
        ),
    ),
)

GROUPS: Mapping[str, str] = {
    "key": "the keys of the practice, and who can open it",
    "key slot": "the ways in: each is one secret that opens the practice",
    "key agent": "the process that has the keys while the appliance runs",
    "key shares": "recovery shares: several people together open the practice",
    "database": "where rows and keys are kept",
    "dns": "what the practice publishes of itself",
    "dns dkim": "keys that sign mail which leaves",
    "dns tlsa": "the published key of the mail server",
    "user": "people who work at the practice",
    "patient": "patients",
    "message": "single messages",
    "archive": "the archive",
    "archive engine": "the engine of the search index",
    "archive saved": "searches that you saved",
    "schedule": "the retention schedule",
    "hold": "legal holds",
    "disposal": "disposal of what is due",
    "decommission": "the end of a practice",
    "due": "what the clock asks for, done now if it is due",
    "certificate": "certificates of disposal",
    "audit": "the audit trail",
    "sealed-mail": "mail that came while sealed and does not open",
    "store": "the object store behind the spool",
    "clock": "the time by which records are decided about",
    "backup": "backups of the data and of the keys",
}
