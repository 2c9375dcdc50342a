"""Disks that fail: an fsync that is refused or slow, and a directory without room. Takes root, as mounting does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.torture.theatre import PATIENCE_SECONDS, Playing
from tests.torture.trial import Trial

SYNCS = "fsync,fdatasync"
LATEST_SYNC = 12
SLOW_MICROSECONDS = 40_000
SMALL_DISKS = ("", "spool", "objects", "index", "certificates", "audit", "run")
"""Directories below the data directory that get a disk of their own; the first is the data directory itself."""
MOST_ROOM = 96 * 1024
"""Bytes that are left free at most: a few letters fit in, and then nothing does."""
SLACK = 4 * 1024 * 1024


def sync_error(trial: Trial) -> None:
    """The kernel answers one fsync with EIO: what it was about may or may not be on the disk."""
    number = 1 + trial.chance.randrange(LATEST_SYNC)
    with _traced(trial, "error", f"EIO:when={number}") as playing:
        trial.heard(playing.ended())


def sync_slow(trial: Trial) -> None:
    """Every fsync takes its time, and in the middle of it the process is killed."""
    with _traced(trial, "delay_enter", str(SLOW_MICROSECONDS)) as playing:
        if not playing.wait(trial.chance.random()):
            playing.signal(signal.SIGKILL)
            trial.struck.append("moment:kill")
        trial.heard(playing.ended())


@contextmanager
def _traced(trial: Trial, what: str, how: str) -> Iterator[Playing]:
    """The act in a child that waits until strace holds it, with what strace injects into its system calls."""
    log = trial.place / "strace.log"
    playing = trial.begin(trial.scenario.act, waits=True)
    playing.until("began")
    words = ["strace", "-f", "-qq", "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:{what}={how}", "-o", str(log)]
    tracer = subprocess.Popen([*words, "-p", str(playing.process)], stderr=subprocess.PIPE)
    try:
        _wait_for_tracer(playing.process, tracer)
        playing.signal(signal.SIGUSR1)
        yield playing
    finally:
        with suppress(ProcessLookupError):
            tracer.terminate()
        tracer.communicate(timeout=PATIENCE_SECONDS)
    text = log.read_text("utf-8")
    trial.oracle.interruptions += text.count("(INJECTED)")  # strace counts for each thread by itself
    trial.struck += [f"sync:{what}"] * ("(INJECTED)" in text or "(DELAYED)" in text)


def _wait_for_tracer(process: int, tracer: subprocess.Popen[bytes]) -> None:
    while "TracerPid:\t0\n" in Path(f"/proc/{process}/status").read_text("utf-8"):
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            raise RuntimeError(f"strace could not take hold: {tracer.stderr.read().decode()}")


def no_room(trial: Trial) -> None:
    """A directory lies on a disk of its own that fills up in the middle of the act."""
    directory = trial.place / "data" / trial.chance.choice(SMALL_DISKS)
    with small_disk(directory) as disk:
        ballast = disk / "ballast"
        _fill(ballast, but=trial.chance.randrange(MOST_ROOM))
        played = trial.play(trial.scenario.act)
        _note(trial, disk, is_refused=bool(played.code))
        ballast.unlink(missing_ok=True)  # an index that is made anew clears its directory
        trial.mend()


def _note(trial: Trial, disk: Path, *, is_refused: bool) -> None:
    found = os.statvfs(disk)
    is_full = is_refused or found.f_bavail * found.f_frsize < found.f_frsize
    trial.struck += ["disk:full"] * is_full


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Put what a directory holds on a small disk, and back again at the end.

    Raises when that cannot be done here: a rehearsal that leaves it out would say more than it saw.
    """
    beside = directory.with_name(directory.name + ".beside")
    shutil.copytree(directory, beside)
    used = sum(path.stat().st_blocks * 512 for path in beside.rglob("*"))
    told = ["mount", "-t", "tmpfs", "-o", f"size={used + SLACK},mode=700", "tmpfs", str(directory)]
    mounted = subprocess.run(told, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise RuntimeError(f"a small disk takes root and the right to mount: {mounted.stderr}")
    try:
        shutil.copytree(beside, directory, dirs_exist_ok=True)
        shutil.rmtree(beside)
        yield directory
        shutil.copytree(directory, beside)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
    shutil.copytree(beside, directory, dirs_exist_ok=True)
    shutil.rmtree(beside)


def _fill(ballast: Path, *, but: int) -> None:
    found = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(bytes(max(0, found.f_bavail * found.f_frsize - but)))
