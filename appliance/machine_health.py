"""What the doctor says about the machine: file modes, room on the disk, its time, its updates, and who serves."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from appliance import mending_words, process_file, set_aside, swap_space
from appliance.data_directory import DataDirectory
from appliance.health_finding import Seen, State
from appliance.settings import Settings
from mailstore import time_witnesses
from mailstore.spool_gauge import SpoolGauge

MEBIBYTE = 1024 * 1024
LEAST_FREE_MEBIBYTES = 512
LOW_FREE_MEBIBYTES = 5 * 1024
MISSED_LOOKS: Final = 3
LATE_UPDATES: Final = timedelta(days=8)
"""Debian's timer runs once a day (apt.systemd.daily); a machine that was off for a week is no alarm."""


RESTART_WANTED: Final = Path("/run/reboot-required")
UPDATED: Final = Path("/var/lib/apt/periodic/unattended-upgrades-stamp")
UPDATES_WANTED: Final = Path("/etc/apt/apt.conf.d/52strongroom")
"""What the playbook sets: from then on they are to be looked for."""

UPDATE: Final = (
    "run: sudo apt-get update && sudo unattended-upgrade --verbose, which says what is in the way; and so that"
    " it goes on by itself: sudo systemctl enable --now apt-daily.timer apt-daily-upgrade.timer"
)
MAKE_ROOM: Final = "docs/operations/what-to-do-when.md"


def modes(data: DataDirectory) -> Seen:
    """Whether another user of the machine could read a file."""
    open_to_others = [path for path in [data.path, *data.path.rglob("*")] if _is_open_to_others(path)]
    if open_to_others:
        first = open_to_others[0]
        return State.FAIL, f"{first} is open to other users", f"run: sudo chmod -R go-rwx {data.path}"
    return State.OK, "every file is for its owner alone", ""


def swap() -> Seen:
    """Whether what lies in memory could come to lie on a disk as it is."""
    places = swap_space.unencrypted()
    if not places:
        return State.OK, "nothing in memory comes to lie on a disk in plain text", ""
    told = f"{', '.join(places)} is not encrypted: what is in memory may come to lie there, mail that is read too"
    return State.WARN, told, "turn the swap off (swapoff, /etc/fstab), or encrypt it (/etc/crypttab, option swap)"


def set_aside_copies(data: DataDirectory) -> Seen:
    """Whether an upgrade that was cut off left a copy of all keys."""
    places = set_aside.copies_of(data.path)
    if not places:
        return State.OK, "no upgrade left a copy of keys behind", ""
    told = (
        f"an upgrade was cut off: {places[0]} holds a copy of all keys, and nothing can be disposed of until it is gone"
    )
    return State.FAIL, told, set_aside.FIX


def space(data: DataDirectory) -> Seen:
    """Room on the disk that everything lies on."""
    found = os.statvfs(data.path)
    free = found.f_bavail * found.f_frsize // MEBIBYTE
    told = f"{free} MiB are free"
    fix = f"make the disk of {data.path} larger, or free {LOW_FREE_MEBIBYTES - free} MiB on it"
    if free < LEAST_FREE_MEBIBYTES:
        return State.FAIL, f"{told}: when the disk is full, mail is put off", f"{fix}; see {MAKE_ROOM}"
    if free < LOW_FREE_MEBIBYTES:
        return State.WARN, told, f"{fix}; see {MAKE_ROOM}"
    return State.OK, told, ""


def spool(data: DataDirectory, settings: Settings) -> Seen:
    """How far the spool is from its cap."""
    gauge = SpoolGauge(data.spool, cap_bytes=settings.spool.cap_bytes)
    told = f"{gauge.used_bytes() // MEBIBYTE} of {gauge.cap_bytes // MEBIBYTE} MiB"
    fix = (
        "do what the line object store says; or, if the disk has room, raise cap_bytes below [spool] in"
        f" {data.settings}, and run: {mending_words.restart(data)}"
    )
    if not gauge.has_room():
        return State.FAIL, f"{told}: no mail is taken until the object store has taken some", fix
    if gauge.is_pressed():
        return State.WARN, f"{told}: when it is full, mail is put off", fix
    return State.OK, told, ""


def served(data: DataDirectory) -> Seen:
    """Whether the appliance runs."""
    process = process_file.holder(data)
    if process is None:
        state = State.FAIL if mending_words.has_units(data) else State.WARN
        return state, "no serve runs here: no mail is taken or sent", f"run: {mending_words.start(data)}"
    return State.OK, f"process {process} serves", ""


def worker(data: DataDirectory, settings: Settings, *, now: datetime) -> Seen:
    """Whether the worker looks around as often as it shall: it notes each look, or is just starting."""
    marks = [path for path in (data.alerts, data.process_file) if path.exists()]
    last = max((datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in marks), default=now)
    minutes = max(0, int((now - last).total_seconds() // 60))
    if minutes > MISSED_LOOKS * settings.alerts.look_minutes:
        told = f"it has not looked around for {minutes} minutes: nothing is filed, delivered or told of"
        return State.FAIL, told, mending_words.worker_log(data)
    return State.OK, f"it looked around {minutes} minutes ago", ""


def time_server(mark: Path = time_witnesses.SYNCHRONISED) -> Seen:
    """Whether the kernel says that a time server keeps its clock (adjtimex(2)), or systemd does.

    A unit with ``ProtectClock`` may not ask the kernel.
    """
    if time_witnesses.kernel_witness() or mark.exists():
        return State.OK, "a time server keeps the clock of this machine", ""
    fix = (
        "run: sudo apt-get install -y systemd-timesyncd && sudo systemctl enable --now systemd-timesyncd;"
        " let UDP port 123 out to its servers; wait a minute"
    )
    return State.WARN, "no time server is seen to keep the clock: one that runs away stops disposals", fix


def restart(mark: Path = RESTART_WANTED) -> Seen:
    """Whether an update waits for the machine to start anew."""
    if mark.exists():
        return (
            State.WARN,
            "an update takes effect only when the machine starts anew",
            "run when it is quiet: sudo systemctl reboot (a practice that starts sealed is unsealed after it)",
        )
    return State.OK, "no update waits for a restart", ""


def security_updates(stamp: Path = UPDATED, wanted: Path = UPDATES_WANTED, *, now: datetime) -> Seen:
    """When Debian's security updates were looked for last by themselves."""
    mark = stamp if stamp.exists() else wanted
    if not mark.exists():
        return State.OFF, "this machine is not set to look for them by itself", ""
    days = max(0, (now - datetime.fromtimestamp(mark.stat().st_mtime, UTC)).days)
    told = f"looked for {days} days ago" if mark == stamp else f"not looked for yet, though set to {days} days ago"
    if timedelta(days=days) > LATE_UPDATES:
        return State.WARN, told, UPDATE
    return State.OK, told, ""


def _is_open_to_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.lstat().st_mode) & 0o077) and not path.is_symlink()
    except FileNotFoundError:
        return False
