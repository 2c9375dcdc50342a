"""What this machine knows of the time besides its clock: how long it runs, and whether a time server keeps its clock.

Neither can be moved by setting the clock: the kernel counts the uptime by itself, and forgets that its clock was
kept (``STA_UNSYNC``) as soon as somebody sets it (adjtimex(2), ntp_gettime(3)). A sandbox that forbids setting the
clock forbids asking the kernel as well; there the mark counts that systemd's time service leaves. Dates that strangers
write into mail or greetings are no witnesses: whoever sets a clock can also send mail.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Protocol

from mailstore.errors import StorageUnavailableError
from mailstore.trusted_time import Reading, Witness
from mailstore.wall_clock import Clock, SetClock

KERNEL: Final = "kernel"
TIME_SERVICE: Final = "time_service"
OBJECT_STORE: Final = "object_store"

SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
"""Touched at every synchronisation (systemd-timesyncd.service(8))."""

_MARK_COUNTS: Final = timedelta(minutes=45)
"""The service asks a time server every 34 minutes at the latest (timesyncd.conf(5), ``PollIntervalMaxSec``). Whoever
sets the clock further than this is contradicted by the next synchronisation, and believed by nobody until then."""

_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
_TIME_ERROR: Final = 5
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_UPTIME: Final = Path("/proc/uptime")
_UPTIME_STEP: Final = 0.01
"""``/proc/uptime`` counts hundredths of a second, rounded down."""

Asked = Callable[[datetime], tuple[Witness, ...]]
"""What the witnesses say while the clock on the wall says this."""


class Machine(Protocol):
    """Tells what time it is, and how it could be known."""

    def reading(self) -> Reading:
        """What the machine says now. Raises ``StorageUnavailableError`` when it cannot say how long it has run."""
        ...


class _Timex(ctypes.Structure):
    """``struct timex`` up to the time, and room for the rest (adjtimex(2))."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("fraction", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_witness() -> tuple[Witness, ...]:
    """The kernel's own time while a time server keeps it; nothing when none does or the kernel does not say."""
    told = _Timex()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    if state in {-1, _TIME_ERROR} or told.status & _STA_UNSYNC:
        return ()
    fraction = timedelta(microseconds=told.fraction // 1000 if told.status & _STA_NANO else told.fraction)
    return (Witness(KERNEL, datetime.fromtimestamp(told.seconds, UTC) + fraction),)


def service_witness(wall: datetime, mark: Path = SYNCHRONISED) -> tuple[Witness, ...]:
    """When systemd's time service last set the clock right: it is that late at least. Nothing when that is long ago."""
    try:
        set_right = datetime.fromtimestamp(mark.stat().st_mtime, UTC)
    except OSError:
        return ()
    return (Witness(TIME_SERVICE, set_right),) if timedelta(0) <= wall - set_right <= _MARK_COUNTS else ()


def keepers(wall: datetime) -> tuple[Witness, ...]:
    """What keeps the clock of this machine: the kernel's word, else that of systemd's time service."""
    return kernel_witness() or service_witness(wall)


def dated(name: str, date: str | None) -> tuple[Witness, ...]:
    """What the ``Date`` field of an answer says (RFC 9110 section 6.6.1); nothing when it says nothing sensible."""
    try:
        at = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return ()
    return (Witness(name, at.astimezone(UTC)),) if at.tzinfo is not None else ()


class ThisMachine:
    """The machine that this process runs on.

    The uptime is the kernel's ``CLOCK_BOOTTIME`` (clock_gettime(2)), which counts sleep too. A process that was started
    with a false clock may be lied to about that as well, so ``/proc/uptime`` is read beside it, and the less counts.
    """

    def __init__(self, clock: Clock, asked: Asked = keepers) -> None:
        """``asked`` answers what the witnesses say at this moment."""
        self._clock = clock
        self._asked = asked

    def reading(self) -> Reading:
        """What the machine says now."""
        try:
            boot = _BOOT_ID.read_text("ascii").strip()
            seen = float(_UPTIME.read_text("ascii").split()[0]) + _UPTIME_STEP
        except (OSError, ValueError, IndexError) as error:
            raise StorageUnavailableError(
                "this machine does not say how long it has been running", fix="Mount /proc where the appliance runs."
            ) from error
        uptime = timedelta(seconds=min(time.clock_gettime(time.CLOCK_BOOTTIME), seen))
        wall = self._clock.now()
        return Reading(wall, boot, uptime, self._asked(wall))


class SetMachine:
    """A machine whose time passes as its clock is moved, unless it is told to jump: for rehearsals and tests."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.witnesses: tuple[Witness, ...] = ()
        self._boots = 1
        self._origin = clock.now()

    def reading(self) -> Reading:
        """What the machine says now."""
        return Reading(self.clock.now(), f"boot-{self._boots}", self.clock.now() - self._origin, self.witnesses)

    def jump(self, step: timedelta) -> None:
        """Set the clock forward or back while no time passes."""
        self.clock.advance(step)
        self._origin += step

    def restart(self, clock_gains: timedelta = timedelta(0)) -> None:
        """Start again, with a clock that has moved meanwhile."""
        self._boots += 1
        self.clock.advance(clock_gains)
        self._origin = self.clock.now()
