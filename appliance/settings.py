"""Core: every setting of the appliance, with its unit, its bounds and one sentence about it.

``config`` reads these from ``strongroom.toml`` and writes the commented sample and the reference page from
the same fields, so that the three cannot drift apart.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.alert_settings import AlertSettings
from appliance.backup_settings import BackupSettings
from appliance.scanning_settings import ScanningSettings
from mailstore import object_store_url
from mailstore.addresses import BadAddressError, parse_mailbox
from mailstore.errors import StrongroomError
from portal import unsealing
from portal.settings import LEAST_CONTRAST, contrast_with_white

COOLING_OFF_DEFAULT_HOURS = 168
"""A week between the approval of a disposal and the first destroyed key."""

COMMAND_SESSION_CEILING_HOURS = 12

MINIMUM_ARGON2_KIB = 19 * 1024
"""OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, two iterations, one lane is the least to use."""

MINIMUM_ARGON2_PASSES = 2

_DOMAIN = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TIME_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")

Check = Callable[[Any], str]
"""Says what is wrong with a value, or nothing."""


def setting(default: Any, says: str, check: Check | None = None) -> Any:
    """A dataclass field that carries its own sentence and its own check."""
    return field(default=default, metadata={"says": says, "check": check or _anything})


def _anything(_value: Any) -> str:
    return ""


def between(low: int, high: int) -> Check:
    """The value lies in a closed range."""
    return lambda value: "" if low <= value <= high else f"must lie between {low} and {high}"


def one_of(*words: str) -> Check:
    """The value is one of a few words."""
    return lambda value: "" if value in words else "must be one of " + ", ".join(words)


def text_up_to(length: int) -> Check:
    """One line of text with no control characters."""

    def check(value: str) -> str:
        if not value.strip():
            return "must not be empty"
        if len(value) > length or not value.isprintable():
            return f"must be one printable line of at most {length} characters"
        return ""

    return check


def domain_name(value: str) -> str:
    """A lower-case host name of at least two labels, in ASCII (an international name as its A-label)."""
    return "" if _DOMAIN.fullmatch(value) else "must be a lower-case domain name, for example clinic.example"


def host_name_or_empty(value: str) -> str:
    """A host name, or nothing to derive it from the practice's domain."""
    return "" if value in {"", "localhost"} else domain_name(value)


def ip_address(value: str) -> str:
    """An IPv4 or IPv6 address to listen on."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "must be an IP address, for example 127.0.0.1 or ::"
    return ""


def ip_addresses(value: str) -> str:
    """IP addresses apart by spaces."""
    problem = next((found for each in value.split() if (found := ip_address(each))), "")
    return problem and "must be IP addresses apart by spaces, for example 203.0.113.7 2001:db8::7"


def networks(value: str) -> str:
    """Networks as CIDR writes them, apart by spaces."""
    try:
        unsealing.networks_of(value)
    except ValueError:
        return "must be networks apart by spaces, for example 127.0.0.0/8 192.168.0.0/16"
    return ""


def mail_address(value: str) -> str:
    """An address such as desk@clinic.example."""
    try:
        parse_mailbox(value)
    except BadAddressError:
        return "must be an address, for example desk@clinic.example"
    return ""


def loopback_address_or_empty(value: str) -> str:
    """An address of this very machine, or nothing."""
    try:
        is_here = not value or ipaddress.ip_address(value).is_loopback
    except ValueError:
        is_here = False
    return "" if is_here else "must be empty or an address of this machine itself, such as 127.0.0.1"


def mail_address_or_empty(value: str) -> str:
    """An address, or nothing for one that is derived from the practice's domain."""
    return mail_address(value) if value else ""


def postgresql_url_or_empty(value: str) -> str:
    """A URL of PostgreSQL, or nothing for a file in the data directory. It is not quoted: it may hold a password."""
    schemes = ("postgresql://", "postgresql+psycopg://", "postgres://")
    return "" if not value or value.startswith(schemes) else "must be empty or begin with postgresql://"


def time_zone(value: str) -> str:
    """The shape of an IANA time zone name; ``config`` also looks whether this machine knows it."""
    return "" if _TIME_ZONE.fullmatch(value) else "must be a time zone name such as America/New_York"


_port = between(1, 65535)


def readable_colour(value: str) -> str:
    """A colour that can be read on white (WCAG 2.2, success criterion 1.4.3)."""
    try:
        is_readable = contrast_with_white(value) >= LEAST_CONTRAST
    except StrongroomError:
        return "must be # and six hexadecimal digits, for example #0b5f6b"
    return "" if is_readable else "is too light to read: choose one with 4.5:1 against white"


@dataclass(frozen=True)
class PracticeSettings:
    """Who this appliance belongs to."""

    name: str = setting("", "The practice's name as patients know it.", text_up_to(100))
    domain: str = setting("", "The domain whose mail lives here.", domain_name)
    time_zone: str = setting("UTC", "Where the practice's day begins and ends.", time_zone)
    recognition_phrase: str = setting(
        "Your practice writes to you through its secure mailbox.",
        "A sentence on every notice by which patients recognise a genuine one. No health information.",
        text_up_to(200),
    )
    language: str = setting("en", "The language of notices: en or es. Pages are in English.", one_of("en", "es"))


@dataclass(frozen=True)
class SmtpSettings:
    """Mail from other servers."""

    listen: str = setting("0.0.0.0", "The address to listen on.", ip_address)  # noqa: S104 - a public mail server listens everywhere
    port: int = setting(25, "The port to listen on (RFC 5321 section 4.5.4.2).", _port)
    host_name: str = setting("", "Our name in the greeting; empty means mx.DOMAIN.", host_name_or_empty)
    processes: int = setting(
        1,
        "Processes that take mail in, on ports 25, 587 and 465 alike; beside each is one that stores it."
        " More than one pays where there are more than two processors.",
        between(1, 16),
    )
    connections: int = setting(
        500, "Connections of one process at a time, from all peers together.", between(1, 10_000)
    )
    connections_per_peer: int = setting(
        50, "Connections of one process at a time from one address (IPv6: from one /64).", between(1, 10_000)
    )
    idle_seconds: int = setting(
        300, "A silent client is dropped after this time (RFC 5321 section 4.5.3.2.7).", between(5, 3600)
    )


@dataclass(frozen=True)
class SubmissionSettings:
    """Mail from the practice's own mail programs (RFC 6409, RFC 8314)."""

    listen: str = setting("0.0.0.0", "The address to listen on.", ip_address)  # noqa: S104 - mail programs connect from anywhere
    port: int = setting(587, "The port that starts TLS on request.", _port)
    implicit_tls_port: int = setting(465, "The port that speaks TLS from the first byte.", _port)


@dataclass(frozen=True)
class PoolSettings:
    """A group at the practice that patients write to by name."""

    name: str = setting("", "What patients read, for example Front desk.", text_up_to(60))
    address: str = setting("", "The address of the mailbox that the group shares.", mail_address)
    reply_window: str = setting(
        "one working day", "When patients may expect an answer; what follows the word within.", text_up_to(60)
    )


@dataclass(frozen=True)
class PortalSettings:
    """The web pages of staff and patients."""

    listen: str = setting("0.0.0.0", "The address to listen on.", ip_address)  # noqa: S104 - patients connect from anywhere
    port: int = setting(443, "The port of HTTPS.", _port)
    host_name: str = setting("", "The name in links; empty means portal.DOMAIN.", host_name_or_empty)
    accent: str = setting(
        "#0b5f6b",
        "The practice's colour on buttons and links: # and six hexadecimal digits, dark enough to read.",
        readable_colour,
    )
    unseal_from: str = setting(
        "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fe80::/10",
        "Networks from which a sealed appliance shows the page that unseals; empty: from nowhere.",
        networks,
    )
    pool: tuple[PoolSettings, ...] = setting((), "Groups that patients write to.")


@dataclass(frozen=True)
class LimitSettings:
    """How much one message may ask of us. Beyond a limit a message is refused with a reason, never cut."""

    message_bytes: int = setting(
        36_700_160,
        "The largest message taken, in bytes, announced by SIZE (RFC 1870).",
        between(65_536, 268_435_456),
    )
    recipients: int = setting(
        1000,
        "Recipients of one message (RFC 5321 section 4.5.3.1.8 wants at least 100).",
        between(100, 10_000),
    )
    hops: int = setting(
        50, "Received fields before a message counts as looping (RFC 5321 section 6.3).", between(20, 100)
    )
    attachment_text_seconds: int = setting(
        20, "Time to read the text of one attachment for the index.", between(1, 300)
    )
    attachment_text_bytes: int = setting(
        4_194_304, "Text of one attachment kept for the index, in bytes.", between(65_536, 67_108_864)
    )


@dataclass(frozen=True)
class SpoolSettings:
    """The local disk on which mail is durable first, on its way into the object store."""

    dwell_hours: int = setting(
        24,
        "A message stays in the spool for this time after an object store elsewhere has it, in hours.",
        between(0, 720),
    )
    cap_bytes: int = setting(
        21_474_836_480,
        "When the spool takes up so much, mail is put off (452) until the object store has taken some of it.",
        between(67_108_864, 1_125_899_906_842_624),
    )


@dataclass(frozen=True)
class ObjectStoreSettings:
    """Where sealed messages lie for good: below objects/ on this disk, or on a server that speaks S3."""

    url: str = setting(
        "",
        "The bucket, as s3+https://HOST:PORT/BUCKET?prefix=NAME (s3+http on loopback only); empty means objects/.",
        object_store_url.problem,
    )
    region: str = setting("us-east-1", "The region that requests are signed for.", text_up_to(63))
    ca_file: str = setting("", "The authority that signed the store's certificate; empty means the system's.")
    connections: int = setting(8, "Requests of one process at a time.", between(1, 64))
    silence_seconds: int = setting(10, "The store counts as away when it is silent for this time.", between(1, 120))


@dataclass(frozen=True)
class DatabaseSettings:
    """Where rows are kept: everything about messages but their bytes, people, holds, the audit log."""

    url: str = setting(
        "",
        "A PostgreSQL database, as postgresql://USER@HOST/DATABASE; empty means the file rows.sqlite3 here.",
        postgresql_url_or_empty,
    )
    password_file: str = setting("", "A file whose first line is the password; empty means ~/.pgpass or none.")


@dataclass(frozen=True)
class KeystoreSettings:
    """Where message keys are kept, wrapped. Never in one database or one backup with the rows."""

    url: str = setting(
        "",
        "A PostgreSQL database, as postgresql://USER@HOST/DATABASE; empty means the file keystore.sqlite3 here.",
        postgresql_url_or_empty,
    )
    password_file: str = setting("", "A file whose first line is the password; empty means ~/.pgpass or none.")


@dataclass(frozen=True)
class DnsSettings:
    """Where names are looked up, and what the practice publishes of itself."""

    validating_resolver: str = setting(
        "",
        "A resolver on this machine that proves answers by DNSSEC, as 127.0.0.1: its word that an answer is proved is"
        " believed, and only with it DANE proves mail servers (RFC 7672). Empty: the system's resolvers, unproved.",
        loopback_address_or_empty,
    )
    validating_resolver_port: int = setting(53, "The port of that resolver.", _port)
    is_public: bool = setting(
        True,
        "Whether other servers find the practice in the DNS; false in a closed network: then the doctor looks for no"
        " record.",
    )
    addresses: str = setting(
        "",
        "The addresses that strangers reach this machine by, apart by spaces; empty: those of the machine itself.",
        ip_addresses,
    )
    report_address: str = setting(
        "",
        "Where other servers send reports about mail and TLS of the domain; empty: postmaster@DOMAIN.",
        mail_address_or_empty,
    )
    dmarc_policy: str = setting(
        "quarantine",
        "What others do with mail that only pretends to be ours (RFC 7489): none, quarantine or reject.",
        one_of("none", "quarantine", "reject"),
    )
    mta_sts_mode: str = setting(
        "testing",
        "Whether others insist on TLS that proves our mail server (RFC 8461): none, testing or enforce.",
        one_of("none", "testing", "enforce"),
    )


@dataclass(frozen=True)
class RouteSettings:
    """A fixed way for one domain, as transport maps do elsewhere."""

    domain: str = setting("", "The recipients' domain this route is for.", domain_name)
    mx_name: str = setting("", "The name that the server's certificate must carry.", domain_name)
    address: str = setting("", "The IP address to connect to.", ip_address)
    port: int = setting(25, "The port to connect to.", _port)
    ca_file: str = setting("", "The certificates to trust for it (PEM); empty means the system's.")


@dataclass(frozen=True)
class OutboundSettings:
    """Mail to other servers. Nothing is ever sent in clear."""

    attempt_minutes: tuple[int, ...] = setting(
        (1, 5, 15, 30, 60, 120, 240),
        "Minutes to wait after each failed attempt; the last is repeated (RFC 5321 section 4.5.4.1).",
    )
    delay_report_hours: int = setting(4, "The sender hears of a delay after this time, in hours.", between(1, 72))
    give_up_hours: int = setting(
        120,
        "An attempt is the last one after this time, in hours (RFC 5321 section 4.5.4.1).",
        between(1, 336),
    )
    connect_seconds: int = setting(30, "Time for a server to take the connection.", between(1, 300))
    reply_seconds: int = setting(300, "Time for a server to answer (RFC 5321 section 4.5.3.2).", between(1, 600))
    connections: int = setting(10, "Messages on their way at a time.", between(1, 100))
    conversations_per_domain: int = setting(4, "Conversations with one domain's servers at a time.", between(1, 50))
    portal_after_minutes: int = setting(
        60,
        "When no server of a domain could be reached for this time, the portal takes over, in minutes.",
        between(1, 2880),
    )
    notice_pause_minutes: int = setting(
        10,
        "A recipient gets one notice at most in this time, in minutes; what comes meanwhile joins the next.",
        between(0, 1440),
    )
    public_certificate_suffices: bool = setting(
        True,
        "Whether a public certificate for the server that the DNS names is proof enough where the domain has neither"
        " DANE nor MTA-STS; false: such mail goes by portal.",
    )
    inner_networks: str = setting(
        "",
        "Private networks in which mail servers of other domains may be, as 10.20.0.0/16, apart by spaces.",
        networks,
    )
    route: tuple[RouteSettings, ...] = setting((), "Fixed ways for single domains.")


@dataclass(frozen=True)
class SignInSettings:
    """How people prove who they are, and for how long that holds."""

    session_idle_minutes: int = setting(30, "A silent session of the pages ends after this time.", between(1, 120))
    session_hours: int = setting(12, "Every session of the pages ends after this time.", between(1, 24))
    command_session_hours: int = setting(
        12, "A sign-in on the command line holds this long.", between(1, COMMAND_SESSION_CEILING_HOURS)
    )
    enrolment_code_hours: int = setting(168, "A code handed to a patient can be used for this time.", between(1, 720))


@dataclass(frozen=True)
class PasswordSettings:
    """The cost of guessing a stolen password hash (Argon2id, RFC 9106)."""

    memory_kib: int = setting(65_536, "Memory of one hash in KiB.", between(8, 4_194_304))
    passes: int = setting(3, "Passes over that memory.", between(1, 100))
    lanes: int = setting(1, "Lanes computed side by side.", between(1, 16))


@dataclass(frozen=True)
class DisposalSettings:
    """Between an approved disposal and destruction."""

    cooling_off_hours: int = setting(
        COOLING_OFF_DEFAULT_HOURS,
        "Hours from approval to the earliest run; 0 only in a directory made with --loopback.",
        between(0, 8760),
    )


@dataclass(frozen=True)
class WorkerSettings:
    """What follows a message after it was promised."""

    processes: int = setting(
        1,
        "Processes that move mail into the object store, deliver and notify; the first of them alone writes the index.",
        between(1, 8),
    )


@dataclass(frozen=True)
class CheckSettings:
    """How mail that nobody reads is kept whole."""

    scrub_days: int = setting(30, "Every sealed byte is read and checked once in this time, in days.", between(1, 365))


@dataclass(frozen=True)
class KeyAgentSettings:
    """How fast the key agent opens messages for those that may ask. Beyond it they wait; an alarm is raised."""

    mail_keys_per_minute: int = setting(
        6_000,
        "Message keys that the pages get in a minute; a list shows one message for each.",
        between(60, 10_000_000),
    )
    worker_keys_per_minute: int = setting(
        120_000, "The same for work that follows a message, such as filing and indexing.", between(60, 10_000_000)
    )
    command_keys_per_minute: int = setting(
        120_000, "The same for all commands together while the appliance runs.", between(60, 10_000_000)
    )
    minutes_at_once: int = setting(5, "After a quiet time this many minutes' keys come without a wait.", between(1, 60))


@dataclass(frozen=True)
class Settings:
    """One appliance's settings, read once, whole and checked."""

    practice: PracticeSettings = field(default_factory=PracticeSettings)
    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    submission: SubmissionSettings = field(default_factory=SubmissionSettings)
    portal: PortalSettings = field(default_factory=PortalSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    scanning: ScanningSettings = field(default_factory=ScanningSettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    object_store: ObjectStoreSettings = field(default_factory=ObjectStoreSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    keystore: KeystoreSettings = field(default_factory=KeystoreSettings)
    dns: DnsSettings = field(default_factory=DnsSettings)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    sign_in: SignInSettings = field(default_factory=SignInSettings)
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    disposal: DisposalSettings = field(default_factory=DisposalSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    check: CheckSettings = field(default_factory=CheckSettings)
    key_agent: KeyAgentSettings = field(default_factory=KeyAgentSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)

    @property
    def mx_host(self) -> str:
        """The name we greet with."""
        return self.smtp.host_name or f"mx.{self.practice.domain}"

    @property
    def portal_host(self) -> str:
        """The name in links to the pages."""
        return self.portal.host_name or f"portal.{self.practice.domain}"

    @property
    def ports(self) -> dict[str, int]:
        """The four ports by the names the command gives them."""
        return {
            "smtp": self.smtp.port,
            "submission": self.submission.port,
            "submissions": self.submission.implicit_tls_port,
            "portal": self.portal.port,
        }


def problems_between(settings: Settings, *, is_loopback: bool) -> tuple[tuple[str, str], ...]:
    """What is wrong with values taken together: pairs of dotted key and sentence.

    The floors under cooling-off and hashing cost may be undercut only by a practice ground on 127.0.0.1.
    """
    found: list[tuple[str, str]] = []
    ports = list(settings.ports.values())
    if len(set(ports)) != len(ports):
        found.append(("portal.port", "the four ports must differ"))
    if not is_loopback:
        found.extend(_floors(settings))
    return tuple(found)


def _floors(settings: Settings) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if settings.disposal.cooling_off_hours == 0:
        found.append(("disposal.cooling_off_hours", "0 is accepted only in a directory made with --loopback"))
    if settings.passwords.memory_kib < MINIMUM_ARGON2_KIB:
        found.append(("passwords.memory_kib", f"must be at least {MINIMUM_ARGON2_KIB}"))
    if settings.passwords.passes < MINIMUM_ARGON2_PASSES:
        found.append(("passwords.passes", f"must be at least {MINIMUM_ARGON2_PASSES}"))
    return found
