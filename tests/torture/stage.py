"""The process in which scenes are played: it loads the product once and forks a child for every scene.

A child opens the data directory, does one job of the appliance, and tells every event on the way, one JSON line each.
It may be killed at any moment: what it told before stays told, as a client keeps the 250 that it got.

A scene that ``warms`` is played in this process itself, in a practice of its own: what is only made when it is first
needed, and then kept for the life of a process, is made once and not in every child. A ``twin`` is a second such
process, forked off this one, which plays scenes at the same time.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from appliance import process_hardening
from appliance.data_directory import DataDirectory
from mailstore import failpoint
from mailstore.errors import StrongroomError
from tests.torture import (
    backup_scenes,
    damage,
    founding,
    inspection,
    key_scenes,
    rare_scenes,
    restore_scenes,
    scenes,
    sealed_scenes,
)

Say = Callable[..., None]
SCENES: Mapping[str, Callable[[scenes.House], None]] = {
    scene.__name__: scene
    for scene in (
        founding.found,
        damage.damage,
        damage.damage_index,
        damage.check,
        backup_scenes.back_up,
        backup_scenes.prove_backup,
        key_scenes.rotate,
        key_scenes.slot,
        key_scenes.change_key_file,
        rare_scenes.confirm,
        rare_scenes.train,
        rare_scenes.move,
        rare_scenes.start,
        rare_scenes.grow_old,
        rare_scenes.lose_newest_rows,
        rare_scenes.accept_rows,
        restore_scenes.restore,
        sealed_scenes.accept_sealed,
        sealed_scenes.drain,
        inspection.inspect,
        scenes.accept,
        scenes.work,
        scenes.rebuild,
        scenes.change_engine,
        scenes.hold,
        scenes.release,
        scenes.reschedule,
        scenes.dispose,
        scenes.recover,
        scenes.duties,
        scenes.lose,
    )
}
LOADED_LATE = (
    "archive.certificate_pdf",
    "appliance.commands.backup",
    "appliance.commands.restore",
    "appliance.commands.check",
    "appliance.commands.doctor",
    "appliance.commands.engine",
    "appliance.commands.init",
    "appliance.commands.key",
)
"""What the product loads when it is first needed: loaded here once, not in every child."""

REFUSED, FAILED = 3, 4
"""How a child ends that was refused in the product's own words, and one that fell over something else."""


def main() -> None:
    """Play what is asked for, one scene after the other, until the line is closed."""
    for name in LOADED_LATE:
        importlib.import_module(name)
    os.umask(0o077)
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve(sys.stdin, out)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _serve(lines: Iterable[str], out: int) -> None:
    for line in lines:
        call = json.loads(line)
        if "twin" in call:
            _fork_twin(*call["twin"])
        elif call["warms"]:
            _write(out, {"event": "ended", "code": _warmed(call, _telling(out))})
        else:
            child = os.fork()
            if not child:
                _play(call, out)
            _, status, used = os.wait4(child, 0)
            cost = round(used.ru_utime + used.ru_stime, 3)
            _write(out, {"event": "ended", "code": os.waitstatus_to_exitcode(status), "cpu_seconds": cost})


def _fork_twin(told: str, tells: str) -> None:
    """Fork a process like this one, which is told by one pipe what to play and tells by another."""
    if not os.fork():
        process_hardening.die_with_parent(os.getppid())
        with Path(told).open(encoding="utf-8") as lines:
            _serve(lines, os.open(tells, os.O_WRONLY))
        os._exit(0)


def _warmed(call: dict[str, Any], say: Say) -> int:
    """Play the scene here, and have what it left behind shared by all children, as memory that none of them writes."""
    logging.disable()
    code = _played(call, say)
    logging.disable(logging.NOTSET)
    gc.collect()
    gc.freeze()
    return code


def _telling(out: int) -> Say:
    writing = threading.Lock()

    def say(event: str, **facts: Any) -> None:
        with writing:
            _write(out, {"event": event, **facts})

    return say


def _play(call: dict[str, Any], out: int) -> NoReturn:
    process_hardening.die_with_parent(os.getppid())
    say = _telling(out)
    _log_into(Path(call["log"]))
    os.environ.update(call["environment"])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    say("began", process=os.getpid())
    if call["waits"]:
        signal.sigwait({signal.SIGUSR1})
    failpoint.rehearse(call["failpoint"], lambda name: say("reached", name=name))
    os._exit(_played(call, say))


def _played(call: dict[str, Any], say: Say) -> int:
    house = scenes.House(DataDirectory(Path(call["data"])), call["told"], say)
    try:
        SCENES[call["scene"]](house)
    except StrongroomError as error:
        say("stopped", code=error.code, message=error.message)
        logging.getLogger("torture").exception("refused")
        return REFUSED
    except BaseException as error:  # noqa: BLE001 - the child must tell what it fell over, whatever it was
        say("stopped", code=type(error).__name__, message=str(error), trace=traceback.format_exc())
        return FAILED
    return 0


def _log_into(path: Path) -> None:
    """What the product logs goes beside the data directory; nothing is written to the pipe but events."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, sys.stderr.fileno())
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)


def _write(out: int, told: dict[str, Any]) -> None:
    """One line. It begins with a line end, in case a killed child left half of one."""
    data = b"\n" + json.dumps(told).encode() + b"\n"
    while data:
        data = data[os.write(out, data) :]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
