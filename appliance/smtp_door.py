"""What all SMTP connections of one port share: its kind, its limits, who is connected, and who answers."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from appliance.connection_count import ConnectionCount
from appliance.data_budget import DataBudget
from appliance.delivery_plan import Located
from appliance.first_run_mark import Latch
from appliance.mail_scanning import MailScanning
from appliance.settings import SmtpSettings
from appliance.settlements import Settlements
from appliance.smtp_acceptance import AcceptanceLimits
from appliance.smtp_authentication import FailureCount, SubmissionDirectory
from mailstore.actor import Actor
from mailstore.addresses import Address
from mailstore.errors import StorageUnavailableError
from mailstore.message import AccountId, MessageId, ReceivedMessage
from mailstore.wall_clock import Clock
from portal.front_door import Refused

PASSWORD_CHECKS_AT_ONCE = 2


class DoorKind(Enum):
    """MX: mail from other servers. SUBMISSION: mail of our own people, who sign in."""

    MX = auto()
    SUBMISSION = auto()


class MessageTaker(Protocol):
    """Takes a message that was received whole: ``appliance.acceptance.Acceptance``, or ``SealedTaker``."""

    def has_room(self) -> bool:
        """False when no message can be taken at all for the time being."""
        ...

    def submit(self, received: ReceivedMessage, actor: Actor | None) -> Future[MessageId] | Refused:
        """Begin to store it. The future is done when it is durable."""
        ...


class CannotTellError(StorageUnavailableError):
    """Whether an address is ours cannot be told now. Nobody may be refused for good on that."""

    code = "cannot_tell"


class AddressBook(Protocol):
    """Knows which addresses are ours: ``appliance.directory.Directory``, or ``SealedAddresses`` while all is sealed."""

    def find(self, address: Address, *, peer: str) -> Located | Future[Located]:
        """Where an address belongs, now or in a moment; ``peer`` asks. ``CannotTellError`` when nobody can say now."""
        ...

    def owns(self, account: AccountId, address: Address) -> bool:
        """True when the account may speak in the name of this address."""
        ...


class Conversation(Protocol):
    """A connection that can be asked to end."""

    def end(self) -> asyncio.Task[None] | None:
        """Say good-bye as soon as the command under way is answered. Answers what to wait for."""
        ...


@dataclass(frozen=True)
class DoorLimits:
    """What one port stands. Times are seconds (RFC 5321 section 4.5.3.2 asks for five minutes a command)."""

    acceptance: AcceptanceLimits
    connections: int = 500
    connections_per_peer: int = 50
    idle_seconds: float = 300.0
    data_seconds: float = 1_800.0
    data_window_seconds: float = 120.0
    data_window_bytes: int = 491_520
    """Of a message, so much comes in every such window, or the rest of it: 4 KB a second."""
    data_bytes: int = 268_435_456
    data_bytes_per_network: int = 134_217_728
    """Of messages under way, held at a time; at the least one of the largest."""
    errors: int = 50
    commands_without_message: int = 5_000

    @classmethod
    def of(cls, settings: SmtpSettings, acceptance: AcceptanceLimits) -> DoorLimits:
        """As the settings say."""
        return cls(
            acceptance=acceptance,
            connections=settings.connections,
            connections_per_peer=settings.connections_per_peer,
            idle_seconds=settings.idle_seconds,
        )

    def data_budget(self) -> DataBudget:
        """Counts messages under way. The largest that is taken always has room when nothing else is there."""
        largest = self.acceptance.message_bytes * 2
        return DataBudget(
            in_all=max(self.data_bytes, largest), of_one_network=max(self.data_bytes_per_network, largest)
        )

    def connection_count(self) -> ConnectionCount:
        """Counts connections to one purpose, as bounded as those of this port."""
        return ConnectionCount(in_all=self.connections, of_one_network=self.connections_per_peer)


@dataclass
class Door:
    """One listening port's state. ``submitters`` is None on the MX port, where nobody signs in.

    ``is_sealed``: nobody can sign in or submit for the time being. ``latch``: keeps mail of other servers out for as
    long as the first run of the practice is not finished. ``scanning`` looks at mail
    before it is taken, where it is on.
    """

    kind: DoorKind
    host_name: str
    domain: str
    limits: DoorLimits
    taker: MessageTaker
    addresses: AddressBook
    clock: Clock
    tls: ssl.SSLContext | None
    submitters: SubmissionDirectory | None = None
    is_sealed: bool = False
    latch: Latch | None = None
    scanning: MailScanning | None = None
    failures: FailureCount = field(default_factory=FailureCount)
    password_threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(PASSWORD_CHECKS_AT_ONCE, thread_name_prefix="smtp-auth")
    )
    settlements: Settlements = field(default_factory=Settlements)
    conversations: set[Conversation] = field(default_factory=set)
    under_way: DataBudget = field(init=False)
    _connected: ConnectionCount = field(init=False)

    def __post_init__(self) -> None:
        """Nobody is connected yet, and nothing under way."""
        self.under_way = self.limits.data_budget()
        self._connected = self.limits.connection_count()

    def enter(self, peer: str, conversation: Conversation) -> bool:
        """Count one more connection from this peer; False when there is no room for it."""
        is_in = self._connected.enter(peer)
        if is_in:
            self.conversations.add(conversation)
        return is_in

    def leave(self, peer: str, conversation: Conversation) -> None:
        """The connection is over."""
        self.conversations.discard(conversation)
        self._connected.leave(peer)
