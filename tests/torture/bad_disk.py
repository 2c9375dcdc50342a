"""Disks that fail: an fsync that is refused or slow, and a disk without room. Takes root, as mounting does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.torture.home import PostgresqlHome
from tests.torture.theatre import PATIENCE_SECONDS, Played, Playing
from tests.torture.trial import Trial

SYNCS = "fsync,fdatasync"
LATEST_SYNC = 12
SLOW_MICROSECONDS = 40_000
MAGNITUDES = range(12, 18)
"""Powers of two of the bytes that are left free: a few letters fit in, and then nothing does."""
SLACK = 4 * 1024 * 1024
SERVERS_MAGNITUDES = range(14, 25)
"""Powers of two of the bytes that are left to PostgreSQL, which takes room for its log 16 MiB at a time."""


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
    """The data directory, or one directory in it, lies on a disk of its own that fills up in the middle of the act."""
    data = trial.place / "data"
    one_in_it = trial.chance.choice(sorted(path for path in data.iterdir() if path.is_dir()))
    where = trial.chance.choice((data, one_in_it))
    if trial.scenario.act.scene == "start":
        where = one_in_it  # on another disk the whole directory is a copy, which rightly refuses to start on one store
    with small_disk(where) as disk:
        ballast = disk / "ballast"
        _fill(ballast, but=1 << trial.chance.choice(MAGNITUDES))
        played = trial.play(trial.scenario.act)
        trial.struck += ["disk:filled"] * _is_full(disk, played)
        ballast.unlink(missing_ok=True)  # an index that is made anew clears its directory
        trial.mend()


def _is_full(disk: Path, played: Played) -> bool:
    found = os.statvfs(disk)
    return bool(played.code) or found.f_bavail * found.f_frsize < found.f_frsize


def server_full(trial: Trial) -> None:
    """The disk of the database server fills up in the middle of the act, and the server may fall over it."""
    home = trial.world.home(trial.scenario.home)
    assert isinstance(home, PostgresqlHome)
    server = home.server
    server.kill(signal.SIGINT)
    try:
        with small_disk(server.data, slack=2 << SERVERS_MAGNITUDES[-1]) as disk:
            server.start_again()
            ballast = disk / "ballast"
            _fill(ballast, but=1 << trial.chance.choice(SERVERS_MAGNITUDES))
            played = trial.play(trial.scenario.act)
            trial.struck += ["server_disk:filled"] * _is_full(disk, played)
            ballast.unlink()
            server.kill(signal.SIGQUIT)
    finally:
        server.start_again()
    trial.oracle.interruptions += 1


@contextmanager
def small_disk(directory: Path, *, slack: int = SLACK) -> Iterator[Path]:
    """Put what a directory holds on a small disk, and back again at the end.

    Raises when that cannot be done here: a rehearsal that leaves it out would say more than it saw.
    """
    beside, owner = directory.with_name(directory.name + ".beside"), directory.stat()
    _copied(directory, beside)
    used = sum(path.lstat().st_blocks * 512 for path in beside.rglob("*"))
    options = f"size={used + slack},mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    told = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    mounted = subprocess.run(told, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise RuntimeError(f"a small disk takes root and the right to mount: {mounted.stderr}")
    device = directory.stat().st_dev
    try:
        _copied(beside, directory)
        shutil.rmtree(beside)
        yield directory
    finally:
        now = _place_of(device)
        beside = now.with_name(beside.name)
        _copied(now, beside)
        subprocess.run(["umount", "--lazy", str(now)], check=True)
    subprocess.run(["find", str(now), "-mindepth", "1", "-delete"], check=True)  # what was removed stays so
    _copied(beside, now)
    shutil.rmtree(beside)


def _place_of(device: int) -> Path:
    """Where a disk is mounted. What lies above may have got another name, as a lost practice does before a restore."""
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = map(str.split, Path("/proc/self/mountinfo").read_text("utf-8").splitlines())
    return next(Path(mount[4]) for mount in mounts if mount[2] == number)


def _copied(directory: Path, to: Path) -> None:
    """What is in it, with owners and modes, as PostgreSQL wants to find its files."""
    subprocess.run(["cp", "-a", f"{directory}/.", str(to)], check=True)


def _fill(ballast: Path, *, but: int) -> None:
    found = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(bytes(max(0, found.f_bavail * found.f_frsize - but)))
